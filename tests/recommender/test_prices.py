"""The hybrid's prices: equal to slow references, silent where nothing is known, told in words where they weigh most."""

import numpy as np
import polars as pl
import pytest
from scipy import sparse

from everstay.recommender.batches import orders_before
from everstay.recommender.histories import Histories, read_histories
from everstay.recommender.hybrid.facts import COLUMNS, ItemFacts, PastFacts
from everstay.recommender.hybrid.pairs import Breadth, PairMaker, Pairs, Questions, feature_names
from everstay.recommender.hybrid.prices import ITEM_COLUMNS, price_places
from everstay.recommender.hybrid.ranker import groupings, now
from everstay.recommender.hybrid.reasons import pair_reasons
from everstay.recommender.repeats import track_repeats
from everstay.recommender.vocabulary import Vocabulary

MOMENT = 7
NAMES = feature_names(2)


def facts_at(histories: Histories, vocabulary: Vocabulary, days_ago: int) -> ItemFacts:
    return PastFacts(histories, track_repeats(histories), vocabulary.size).at(days_ago)


def make(histories: Histories, vocabulary: Vocabulary, questions: Questions, facts: ItemFacts) -> Pairs:
    maker = PairMaker(histories, track_repeats(histories), groupings(vocabulary), Breadth(100, 100, 100, 100))
    return maker.make(questions, facts)


def test_prices_of_items_equal_a_slow_reference(histories: Histories, known: Vocabulary) -> None:
    found = facts_at(histories, known, MOMENT).columns
    columns = (histories.line_item, histories.line_days_ago, histories.line_price, histories.line_discount)
    lines = [line for line in zip(*columns, strict=True) if line[1] > MOMENT]
    everything = np.mean([off for *_, off in lines])
    assert 0.01 < everything < 0.19  # some lines are reduced by a fifth, some are not
    for item in range(known.size):

        def mean(values: list[float], usual: float) -> float:
            return (sum(values) + 2 * usual) / (len(values) + 2)

        def lately(days: int) -> list[tuple[float, float]]:
            return [(price, off) for sold, age, price, off in lines if sold == item and age - MOMENT <= days]  # noqa: B023

        quarter = mean([off for _, off in lately(112)], everything)
        week = mean([off for _, off in lately(7)], quarter)
        usual = np.mean([np.log(price) for price, _ in lately(364)])
        paid = [[np.log(price * (1 - off)) for price, off in lately(days)] for days in (112, 7)]
        expected = {
            "discount_7d": week,
            "discount_28d": mean([off for _, off in lately(28)], quarter),
            "discount_112d": quarter,
            "discount_change": week - quarter,
            "price_change": mean(paid[1], mean(paid[0], usual)) - usual,
            "log_price": usual,
        }
        assert tuple(expected) == ITEM_COLUMNS
        for name, value in expected.items():
            assert found[item, COLUMNS.index(name)] == pytest.approx(value, abs=1e-6), name


def test_a_price_has_a_place_within_its_group() -> None:
    prices, kinds = np.array([3.0, 1.0, np.nan, 2.0, 2.0]), np.array([0, 0, 0, 1, 1])
    assert price_places(prices, [np.zeros(5, np.int64), kinds]).tolist() == [0.75, 0.25, 0.5, 0.5, 0.5]
    assert price_places(prices, []).tolist() == [0.875, 0.125, 0.5, 0.5, 0.5]  # one group; the mean of equals


def test_a_user_has_a_level_and_a_share_taken_off(histories: Histories, known: Vocabulary) -> None:
    facts = facts_at(histories, known, MOMENT)
    users = np.arange(histories.user_count)
    moment = np.full(len(users), float(MOMENT))
    questions = Questions(users, orders_before(histories, users, moment), moment)
    pairs = make(histories, known, questions, facts)
    place = price_places(facts.columns[:, COLUMNS.index("log_price")], groupings(known))
    usual = facts.columns[:, COLUMNS.index("discount_112d")]
    assert len({round(level, 4) for level in _column(pairs, "price_level")}) > 10
    for user in range(0, histories.user_count, 9):
        seen = (histories.line_user == user) & (histories.line_days_ago > MOMENT)
        own = np.unique(histories.line_item[seen])
        level = (place[own].sum() + 1.0) / (len(own) + 2)
        off = (histories.line_discount[seen].sum() + 2 * usual.mean()) / (seen.sum() + 2)
        mine = pairs.question == user
        np.testing.assert_allclose(_column(pairs, "price_level")[mine], level, rtol=1e-5)
        np.testing.assert_allclose(_column(pairs, "discount_share")[mine], off, rtol=1e-5)
        item = pairs.item[mine]
        np.testing.assert_allclose(_column(pairs, "price_place")[mine], place[item], rtol=1e-5)
        np.testing.assert_allclose(_column(pairs, "price_fit")[mine], place[item] - level, atol=1e-6)
        np.testing.assert_allclose(_column(pairs, "discount_fit")[mine], off - usual[item], atol=1e-6)


def test_without_prices_nothing_is_said_of_them(rows: pl.DataFrame, known: Vocabulary) -> None:
    free = pl.col("history_price", "history_discount").list.eval(pl.element() * 0)
    histories = read_histories(rows.with_columns(free), known)
    pairs = make(histories, known, now(histories), facts_at(histories, known, 0))
    for name in ("log_price", "price_change"):
        assert np.isnan(_column(pairs, name)).all(), name
    assert (_column(pairs, "price_place") == 0.5).all()
    for name in ("price_fit", "discount_7d", "discount_112d", "discount_change", "discount_share", "discount_fit"):
        assert (_column(pairs, name) == 0).all(), name


@pytest.mark.parametrize(
    ("heavy", "seen", "reason"),
    [
        ("discount_change", {"discount_7d": 0.204}, "recently reduced by 20%"),
        ("discount_fit", {"discount_7d": 0.04}, "popular now"),  # no discount worth a word
        ("price_fit", {"price_fit": 0.1}, "at your usual price level"),
        ("price_place", {"price_fit": -0.4}, "popular now"),
        ("log_share_7d", {"discount_7d": 0.2, "price_fit": 0.0}, "popular now"),
    ],
)
def test_the_reason_is_the_discount_or_the_price_where_they_weigh_most(
    histories: Histories, known: Vocabulary, heavy: str, seen: dict[str, float], reason: str
) -> None:
    class Trees:
        """Whose contributions are one for the heavy feature, and a little for all others of the item's demand."""

        def predict(self, features: np.ndarray, *, pred_contrib: bool, num_threads: int) -> np.ndarray:
            assert pred_contrib
            assert num_threads == 1
            parts = np.zeros((len(features), len(NAMES) + 1))
            parts[:, NAMES.index("log_buyers")] = 0.1
            parts[:, NAMES.index(heavy)] += 1.0
            return parts

    features = np.zeros((1, len(NAMES)), np.float32)
    for name, value in {"price_fit": 1.0, **seen}.items():
        features[0, NAMES.index(name)] = value
    no_links = ItemFacts(np.zeros((known.size, len(COLUMNS)), np.float32), sparse.csr_array((known.size, known.size)))
    asked = (histories, np.array([0]), np.array([0]))
    assert pair_reasons(Trees(), features, asked, no_links, known, ["category", "subcategory"]) == [reason]  # type: ignore[arg-type]


def _column(pairs: Pairs, name: str) -> np.ndarray:
    return pairs.features[:, NAMES.index(name)]
