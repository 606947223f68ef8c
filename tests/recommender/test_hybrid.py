"""The hybrid's facts, candidates and features: equal to slow references, and from earlier orders only."""

import numpy as np
import polars as pl
import pytest

from everstay import tables as t
from everstay.errors import NotReady
from everstay.recommender.batches import orders_before
from everstay.recommender.config import HybridConfig
from everstay.recommender.histories import Histories, read_histories
from everstay.recommender.hybrid.facts import COLUMNS, PastFacts, before
from everstay.recommender.hybrid.fit import fit_hybrid_ranker, past_questions, with_next_order, with_targets
from everstay.recommender.hybrid.pairs import Breadth, PairMaker, Pairs, Questions, _largest, feature_names
from everstay.recommender.hybrid.ranker import groupings
from everstay.recommender.model import ListModel
from everstay.recommender.repeats import track_repeats
from everstay.recommender.vocabulary import Vocabulary

from .conftest import basket_rows

LISTS = ["history_item", "history_days_ago", "history_order", "history_price", "history_discount"]
MOMENT = 21.0


def make(histories: Histories, vocabulary: Vocabulary, breadth: Breadth, days_ago: float) -> Pairs:
    tracked = track_repeats(histories)
    users = np.arange(histories.user_count)
    asked_at = np.full(len(users), days_ago)
    questions = Questions(users, orders_before(histories, users, asked_at), asked_at)
    facts = PastFacts(histories, tracked, vocabulary.size).at(int(days_ago))
    return PairMaker(histories, tracked, groupings(vocabulary), breadth).make(questions, facts)


def test_facts_equal_a_slow_reference(histories: Histories, known: Vocabulary) -> None:
    found = PastFacts(histories, track_repeats(histories), known.size).at(int(MOMENT)).columns
    lines = zip(histories.line_user.tolist(), histories.line_item.tolist(), histories.line_days_ago, strict=True)
    early = [(user, item, days - MOMENT) for user, item, days in lines if days > MOMENT]
    gaps: dict[int, list[float]] = {item: [] for item in range(known.size)}
    bought: dict[tuple[int, int], list[float]] = {}
    for user, item, days in early:
        if (user, item) in bought:
            gaps[item].append(np.log1p(bought[user, item][-1] - days))
        bought.setdefault((user, item), []).append(days)
    usual = np.mean([gap for each in gaps.values() for gap in each])
    for item in (0, 5, known.size - 1):
        days = [days for _, other, days in early if other == item]
        buyers = [times for (_, other), times in bought.items() if other == item]
        returned, repeats = sum(len(times) > 1 for times in buyers), sum(len(times) - 1 for times in buyers)
        in_week = sum(age <= 7 for _, _, age in early)
        firsts_in_week = sum(times[0] <= 7 for times in bought.values())
        expected = {
            "log_share_7d": np.log((sum(age <= 7 for age in days) + 0.5) / (in_week + 0.5 * known.size)),
            "log_tried_7d": np.log(
                (sum(times[0] <= 7 for times in buyers) + 0.5) / (firsts_in_week + 0.5 * known.size)
            ),
            "log_buyers": np.log1p(len(buyers)),
            "log_age": np.log1p(max(days)),
            "repeat_share": (returned + 0.3) / (len(buyers) + 3),
            "log_repeats": np.log((repeats + 0.3) / (len(buyers) + 3)),
            "log_gap": (sum(gaps[item]) + 3 * usual) / (len(gaps[item]) + 3),
        }
        for name, value in expected.items():
            assert found[item, COLUMNS.index(name)] == pytest.approx(value, rel=1e-4), name


def test_the_past_is_what_a_log_that_ended_then_would_say(
    rows: pl.DataFrame, known: Vocabulary, histories: Histories
) -> None:
    cut = read_histories(_cut(rows), known)
    past = before(histories, int(MOMENT))
    np.testing.assert_array_equal(past.line_item, cut.line_item)
    np.testing.assert_array_equal(past.order_start, cut.order_start)
    np.testing.assert_array_equal(past.user_start, cut.user_start)
    np.testing.assert_allclose(past.order_days_ago, cut.order_days_ago - MOMENT, rtol=1e-6)


def test_later_orders_change_no_pair(rows: pl.DataFrame, known: Vocabulary, histories: Histories) -> None:
    breadth = Breadth(own=5, popular=6, near=6, tried=6)
    pairs = make(histories, known, breadth, MOMENT)
    alone = make(read_histories(_cut(rows), known), known, breadth, MOMENT)
    assert len(pairs.item) > 500
    np.testing.assert_array_equal(pairs.question, alone.question)
    np.testing.assert_array_equal(pairs.item, alone.item)
    np.testing.assert_array_equal(pairs.features, alone.features)


def _cut(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows without the last orders."""
    early = rows.explode(LISTS).filter(pl.col("history_days_ago") > MOMENT)
    kept = early.with_columns(pl.col("history_order") - pl.col("history_order").min().over(t.USER_ID))
    cut = kept.group_by(t.USER_ID, maintain_order=True).agg(LISTS)
    return rows.select(t.USER_ID).join(cut, on=t.USER_ID, how="left", maintain_order="left")


def test_of_equal_candidates_the_first_items_are_taken() -> None:
    scores = np.array([[0, 2, 1, 1, 1], [0, 0, 0, 0, 3]], np.float32)
    assert sorted(_largest(scores, 3)) == [1, 2, 3, 9]  # none that is zero


def test_candidates_and_features_of_one_user(rows: pl.DataFrame, known: Vocabulary, few: pl.DataFrame) -> None:
    everybody = pl.concat([few[:1], rows])
    histories = read_histories(everybody, known)
    pairs = make(histories, known, Breadth(own=1, popular=3, near=2, tried=2), 0.0)
    mine = pairs.question == 0
    names = feature_names(2)
    assert pairs.features.shape == (len(pairs.item), len(names))
    table = dict(zip(known.ids(pairs.item[mine]), pairs.features[mine], strict=True))
    new = [item for item in table if item not in ("staple-0-1", "new-0-3")]
    assert "staple-0-1" in table  # the one that weighs most
    assert "new-0-3" not in table  # own, but beyond the breadth, and not new either
    assert 3 <= len(new) <= 3 + 2 + 2

    def value(item: str, name: str) -> float:
        return float(table[item][names.index(name)])

    days = (21.0, 14.0, 5.5)
    assert value("staple-0-1", "days_since_order") == pytest.approx(np.log1p(5.5))
    assert value("staple-0-1", "items_per_order") == pytest.approx(4 / 3)
    assert value("staple-0-1", "share_of_new_items") == pytest.approx(2 / 4)
    assert value("staple-0-1", "order_gap") == pytest.approx(np.log1p(15.5 / 2))
    assert value("staple-0-1", "group_0_count") == 3  # of the category staple-0
    assert value("staple-0-1", "group_0_item_share") == pytest.approx(1.0)
    assert value("staple-0-1", "group_0_decayed_84d") == pytest.approx(sum(2 ** (-age / 84) for age in days), abs=0.02)
    usual = value("staple-0-1", "log_gap")
    smoothed = (2 * np.log1p(15.5 / 2) + 2 * usual) / 4
    assert value("staple-0-1", "overdue_smoothed") == pytest.approx(np.log1p(5.5) - smoothed, rel=1e-4)
    assert all(np.isnan(value(item, "log_count")) for item in new)


def test_new_items_come_from_the_kinds_of_which_a_user_tries_new_ones(histories: Histories, known: Vocabulary) -> None:
    """Beside the most popular and the nearest new item: the five likeliest trials, by a slow reference."""
    breadth = Breadth(own=1, popular=1, near=1, tried=5)
    pairs = make(histories, known, breadth, MOMENT)
    firsts: dict[tuple[int, int], float] = {}
    for user, item, days in zip(histories.line_user, histories.line_item, histories.line_days_ago, strict=True):
        if days > MOMENT:
            firsts.setdefault((int(user), int(item)), float(days) - MOMENT)
    tried = np.zeros(known.size)
    for days in (7, 28, 112):
        counts = np.bincount([item for (_, item), age in firsts.items() if age <= days], minlength=known.size) + 0.5
        tried += counts / counts.sum()
    kind = groupings(known)[-1]
    share = tried / np.array([tried[kind == own].sum() for own in kind])
    for user in range(0, histories.user_count, 7):
        mine = {item: age for (buyer, item), age in firsts.items() if buyer == user}
        taste = np.bincount(kind[list(mine)], [2 ** (-age / 84) for age in mine.values()], minlength=kind.max() + 1)
        chances = np.where(np.isin(np.arange(known.size), list(mine)), 0.0, taste[kind] * share)
        found = pairs.item[pairs.question == user]
        new = found[~np.isin(found, list(mine))]
        fifth = np.sort(chances)[-5]
        assert set(np.flatnonzero(chances > fifth * 1.0001)) <= set(new)
        assert (chances[new] > fifth * 0.9999).sum() >= min(5, (chances > 0).sum())
        assert len(new) <= 7


def test_questions_are_asked_of_those_who_came_back(known: Vocabulary) -> None:
    orders = {
        "regular": [(30.0, ["staple-0-0"]), (16.0, ["staple-0-0"]), (9.0, ["staple-0-0"]), (2.0, ["staple-0-0"])],
        "slow": [(90.0, ["staple-0-0"]), (1.0, ["staple-0-0"])],
        "once": [(5.0, ["staple-0-0"])],
    }
    histories = read_histories(basket_rows(orders), known)
    asked = past_questions(histories, HybridConfig(moments=4), 20)
    found = list(zip(asked.user.tolist(), asked.seen_until.tolist(), asked.days_ago.tolist(), strict=True))
    assert found == [(0, 3, 7.0), (0, 2, 14.0), (0, 1, 21.0), (0, 1, 28.0), (1, 5, 7.0), (1, 5, 14.0)]
    half = past_questions(histories, HybridConfig(moments=4, max_questions=3), 20)
    assert half.days_ago.tolist() == [7.0, 21.0, 7.0]
    with pytest.raises(NotReady, match="nothing to learn"):
        past_questions(read_histories(basket_rows({"once": orders["once"]}), known), HybridConfig(), 20)


def test_answers_are_the_next_order_or_the_targets(rows: pl.DataFrame, known: Vocabulary, histories: Histories) -> None:
    tracked = track_repeats(histories)
    maker = PairMaker(histories, tracked, groupings(known), Breadth(own=100, popular=100, near=100, tried=100))
    facts = PastFacts(histories, tracked, known.size)
    asked = past_questions(histories, HybridConfig(), 28)
    examples = with_next_order(maker, facts, asked)
    sizes = np.diff(histories.order_start)[asked.seen_until]
    assert (
        np.bincount(examples.pairs.question, examples.is_target).tolist() == sizes.tolist()
    )  # all items are candidates
    np.testing.assert_allclose(examples.weight, 1.0 / sizes[examples.pairs.question])
    later = with_targets(maker, facts, rows, known)
    assert later is not None
    targets = known.with_index(rows.select("target_item").explode("target_item"), "target_item")
    assert later.is_target.sum() == targets["item_index"].is_not_null().sum()


def test_the_seed_decides_the_trees(rows: pl.DataFrame, known: Vocabulary, histories: Histories) -> None:
    config = HybridConfig(moments=2, min_leaf_pairs=5)
    one, again, other = (
        fit_hybrid_ranker(rows, known, config, 28, seed, trees=2).ranker.scores(histories) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()


def test_a_tiny_shop_whose_targets_are_unknown_is_served() -> None:
    """Nothing can be split or validated: the trees say nothing, and lists come all the same."""
    orders = {f"u{n}": [(30.0, ["x", "y"]), (9.0, ["x"]), (2.0, ["y"])] for n in range(3)}
    rows = basket_rows(orders, {user: ["unheard-of"] for user in orders})
    vocabulary = Vocabulary.learn(rows, 2)
    fitted = fit_hybrid_ranker(rows, vocabulary, HybridConfig(max_trees=3), 28, 1)
    assert fitted.curves == {}
    model = ListModel("hybrid", fitted.ranker, vocabulary, "keep")
    assert model.recommend(rows, 2).height == 6
