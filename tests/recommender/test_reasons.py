"""A reason names the part that weighs most in the score of the model that made the list."""

import numpy as np
import polars as pl
import pytest

from everstay import tables as t
from everstay.recommender.baselines import ItemNeighboursRanker, PersonalFrequencyRanker, find_neighbours
from everstay.recommender.config import ItemNeighboursConfig, PersonalFrequencyConfig
from everstay.recommender.histories import Histories, read_histories
from everstay.recommender.model import Ranker
from everstay.recommender.reasons import due_again, heaviest, linked
from everstay.recommender.vocabulary import Vocabulary

from .conftest import basket_rows


@pytest.fixture(scope="module")
def histories(rows: pl.DataFrame, vocabulary: Vocabulary) -> Histories:
    return read_histories(rows, vocabulary)


def every_pair(histories: Histories, items: int) -> tuple[np.ndarray, np.ndarray]:
    user, item = np.divmod(np.arange(histories.user_count * items), items)
    return user, item


def decayed(histories: Histories, user: int, item: int) -> float:
    lines = (histories.line_user == user) & (histories.line_item == item)
    return float((2.0 ** (-histories.line_days_ago[lines] / 84.0)).sum())


@pytest.mark.parametrize("prior", [0.0, 3.0, 30.0])
def test_personal_frequency_tells_the_larger_of_own_and_average(
    histories: Histories, vocabulary: Vocabulary, prior: float
):
    ranker: Ranker = PersonalFrequencyRanker.fit(vocabulary, PersonalFrequencyConfig(prior_orders=prior))
    user, item = every_pair(histories, vocabulary.size)
    reasons = ranker.explain(histories, user, item)
    for pair, reason in enumerate(reasons):
        own = decayed(histories, user[pair], item[pair])
        average = prior * ranker.share[item[pair]]
        if abs(own - average) > 1e-5:
            assert reason.startswith("bought" if own > average else "popular"), (own, average)


def test_neighbours_tell_the_largest_part_and_the_item_behind_it(histories: Histories, vocabulary: Vocabulary):
    near = find_neighbours(histories, vocabulary.size)
    config = ItemNeighboursConfig(prior_orders=2.0, neighbour_weight=0.5)
    ranker = ItemNeighboursRanker.build(vocabulary, config, near)
    user, item = every_pair(histories, vocabulary.size)
    cosine, names = near.toarray(), vocabulary.items[t.ITEM_ID].to_list()
    told = {"bought": 0, "because": 0, "popular": 0}
    for one, goal, reason in zip(user, item, ranker.explain(histories, user, item), strict=True):
        own = np.array([decayed(histories, one, other) for other in range(vocabulary.size)]) if goal == 0 else own  # noqa: F821
        parts = {"bought": own[goal], "because": 0.5 * own @ cosine[:, goal], "popular": 2.0 * ranker.share[goal]}
        first, second = sorted(parts, key=parts.get, reverse=True)[:2]
        if parts[first] - parts[second] > 1e-5:
            assert reason.startswith(first)
            told[first] += 1
            if first == "because":
                assert reason == f"because you bought {names[int((own * cosine[:, goal]).argmax())]}"
    assert min(told.values()) > 5


def test_what_is_due_says_its_rhythm():
    orders = [(28.0, ["milk", "tea"]), (19.0, ["milk"]), (10.0, ["milk", "tea"]), (2.0, ["salt", "tea"])]
    rows = basket_rows({"ann": orders})
    vocabulary = Vocabulary.learn(rows, 1)
    items = vocabulary.items[t.ITEM_ID].to_list()
    reasons = due_again(read_histories(rows, vocabulary), np.zeros(3, np.int64), np.arange(3))
    assert dict(zip(items, reasons, strict=True)) == {
        "milk": "due: you buy it every 9 days, last 10 days ago",
        "salt": None,  # once
        "tea": None,  # every 13 days, last 2 days ago
    }


def test_links_tell_purchases_where_an_item_speaks_for_itself(histories: Histories, vocabulary: Vocabulary):
    user, item = np.zeros(3, np.int64), np.array([histories.line_item[0], 1, 2])
    ids = pl.Series([f"item {number}" for number in range(vocabulary.size)])
    reasons = linked(histories, (user, item), np.array([item[0], -1, 5]), ids)
    assert reasons[0].startswith("bought ")
    assert reasons.to_list()[1:] == [None, "because you bought item 5"]


def test_of_equal_parts_the_first_is_told():
    weights = np.array([1.0, 0.0])
    assert heaviest([(weights, "own"), (weights, "near"), (np.array([0.5, 0.1]), "popular")]) == ["own", "popular"]
