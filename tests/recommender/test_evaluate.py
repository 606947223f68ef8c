"""Judging lists, as arithmetic: whole, repeat, explore, by length of history."""

import math
from pathlib import Path

import polars as pl
import pytest

from everstay import tables as t
from everstay.metrics.comparison import Interval, JudgedUsers
from everstay.recommender.baselines import PersonalFrequencyRanker
from everstay.recommender.choose import mean_ndcg
from everstay.recommender.config import PersonalFrequencyConfig
from everstay.recommender.evaluate import fallback_shares, judge_lists, length_slices, per_user_metrics
from everstay.recommender.model import ListModel
from everstay.recommender.plots import draw_recall
from everstay.recommender.prepare import count_judged
from everstay.recommender.rows import BasketRows, with_targets
from everstay.recommender.vocabulary import Vocabulary

from .conftest import Order, basket_rows


def lists(items: dict[str, list[str]]) -> pl.DataFrame:
    rows = [(user, rank + 1, item) for user, ranked in items.items() for rank, item in enumerate(ranked)]
    return pl.DataFrame(rows, schema=[t.USER_ID, t.RANK, t.ITEM_ID], orient="row")


@pytest.fixture
def judged() -> pl.DataFrame:
    rows = basket_rows(
        {"ann": [(9.0, ["milk", "tea"]), (2.0, ["milk"])], "bob": [(4.0, ["tea"])], "cold": []},
        {"ann": ["jam", "milk", "salt", "unknown"], "bob": ["tea"], "cold": ["jam"]},
    )
    made = lists({"ann": ["milk", "tea", "jam"], "bob": ["milk", "jam", "tea"], "cold": ["milk", "tea", "salt"]})
    return judge_lists(made, rows, 3)


def test_all_targets(judged: pl.DataFrame) -> None:
    best = 1 + 1 / math.log2(3) + 1 / 2
    assert judged["recall"].to_list() == [2 / 4, 1.0, 0.0]  # what no model knows counts as missed
    assert judged["ndcg"].to_list() == pytest.approx([(1 + 1 / 2) / best, 1 / 2, 0.0])
    assert judged["mrr"].to_list() == pytest.approx([1.0, 1 / 3, 0.0])
    assert judged["hit_rate"].to_list() == [1.0, 1.0, 0.0]


def test_users_with_a_next_basket_are_counted_cold_ones_too(tmp_path: Path) -> None:
    rows = basket_rows(
        {"ann": [(9.0, ["tea"])], "bob": [(4.0, ["tea"])], "cold": []}, {"ann": ["tea"], "cold": ["jam"]}
    )
    assert count_judged(BasketRows(rows, rows).write(tmp_path / "rows")) == JudgedUsers(2)


def test_repeat_and_explore_targets(judged: pl.DataFrame) -> None:
    assert judged["recall_repeat"].fill_nan(None).to_list() == [1.0, 1.0, None]
    assert judged["recall_explore"].fill_nan(None).to_list() == [1 / 3, None, 0.0]
    assert judged["ndcg_repeat"].fill_nan(None).to_list() == pytest.approx([1.0, 1 / 2, None])
    best = 1 + 1 / math.log2(3) + 1 / 2
    assert judged["ndcg_explore"].fill_nan(None).to_list() == pytest.approx([1 / 2 / best, None, 0.0])


def test_slices_by_orders(judged: pl.DataFrame) -> None:
    assert judged["orders"].to_list() == [2, 1, 0]
    slices = dict(length_slices(judged))
    assert {label: users[t.USER_ID].to_list() for label, users in slices.items()} == {
        "0": ["cold"],
        "1-4": ["ann", "bob"],
    }


def test_users_are_the_same_for_every_model(rows: pl.DataFrame, vocabulary: Vocabulary) -> None:
    ranker = PersonalFrequencyRanker.fit(vocabulary, PersonalFrequencyConfig())
    model = ListModel("personal_frequency", ranker, vocabulary, "keep")
    targets = rows.select(t.USER_ID, t.AS_OF, "target_item")
    whole = per_user_metrics(model, rows, targets, 5)
    assert whole.columns == [t.USER_ID, "ndcg", "recall", "mrr", "hit_rate"]
    assert whole[t.USER_ID].to_list() == rows[t.USER_ID].to_list()
    shuffled = per_user_metrics(model, rows.sample(fraction=1.0, shuffle=True, seed=1), targets.reverse(), 5)
    assert shuffled.equals(whole)
    colder = per_user_metrics(model, rows[3:], targets, 5)  # three users whose history is not known
    assert colder[t.USER_ID].to_list() == whole[t.USER_ID].to_list()
    assert colder[3:].equals(whole[3:])
    assert colder["ndcg"][:3].sum() < whole["ndcg"][:3].sum()
    assert mean_ndcg(model, with_targets(rows), 5) == pytest.approx(whole["ndcg"].mean())


def test_a_model_that_knows_everything_is_perfect() -> None:
    rows = basket_rows({"a": [(3.0, ["x", "y"])]}, {"a": ["x", "y"]})
    perfect = judge_lists(lists({"a": ["y", "x"]}), rows, 2)
    assert perfect.select("ndcg", "recall", "mrr", "hit_rate").row(0) == (1.0, 1.0, 1.0, 1.0)


def test_the_plot_shows_every_slice() -> None:
    figure = draw_recall({"1-4": Interval(0.2, 0.1, 0.3), "5-19": Interval(0.4, 0.35, 0.5)}, 10)
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1-4", "5-19"]
    assert [bar.get_height() for bar in axes.patches] == [0.2, 0.4]


def test_what_is_left_to_fallbacks(rows: pl.DataFrame, vocabulary: Vocabulary) -> None:
    ranker = PersonalFrequencyRanker.fit(vocabulary, PersonalFrequencyConfig())
    model = ListModel("personal_frequency", ranker, vocabulary, "keep")
    orders: dict[str, list[Order]] = {
        "warm": [(3.0, ["never-sold", "staple-0-1"])],
        "stranger": [(3.0, ["never-sold"])],
        "new": [],
        "none": [],
    }
    asked = basket_rows(orders, {user: ["staple-0-1", "unheard-of"] for user in orders})
    asked = asked.with_columns(pl.when(pl.col(t.USER_ID) != "none").then("history_item"))
    assert fallback_shares(model, asked, 2) == {
        "cold_user_share": 3 / 4,
        "cold_user_segment_share": 0.0,
        "cold_item_share": 1 / 2,
        "cold_item_content_share": 0.0,
    }
    catalogue = pl.DataFrame({t.ITEM_ID: ["unheard-of"], t.CATEGORY: ["staple-0"], t.SUBCATEGORY: [None]})
    known = Vocabulary.learn(rows, 2, catalogue, with_unsold=True)
    shares = fallback_shares(ListModel("content", ranker, known, "keep"), asked, 2)
    assert (shares["cold_item_share"], shares["cold_item_content_share"]) == (0.0, 1 / 2)
