"""Users for an item: against going through all of them."""

from dataclasses import dataclass, field

import numpy as np
import polars as pl
import pytest

from everstay import tables as t
from everstay.recommender import model as model_module
from everstay.recommender.histories import Histories, read_histories
from everstay.recommender.model import ListModel, Scores
from everstay.recommender.rules import ListRules
from everstay.recommender.vocabulary import Vocabulary
from everstay.settings import Recommender

from .conftest import AS_OF
from .test_rules import RandomRanker, Seed, catalogue


@pytest.mark.parametrize("policy", ["keep", "remove"])
def test_users_for_items_equal_a_slow_search(rows: pl.DataFrame, vocabulary: Vocabulary, policy: str):
    model = ListModel("random", RandomRanker(vocabulary.size, Seed(seed=5)), vocabulary, "keep")
    rules = ListRules.read(catalogue(vocabulary, 3), AS_OF, Recommender(already_bought=policy))
    ids = vocabulary.items[t.ITEM_ID].to_list()
    items = [*ids[2:9], "never sold"]
    found = model.find_users(rows, items, 12, rules)
    scores = model.ranker.scores(read_histories(rows, vocabulary))
    lists = model.recommend(rows, vocabulary.size, rules)  # all that is allowed, in order
    expected = []
    for user, name in enumerate(rows[t.USER_ID]):
        allowed = lists.filter(pl.col(t.USER_ID) == name)[t.ITEM_ID].to_list()
        best = next((item for item in allowed if item in items), None)
        if best is not None:
            expected.append((float(scores[user, ids.index(best)]), name, best, allowed.index(best) + 1))
    expected = sorted(expected, key=lambda one: (-one[0], one[1]))[:12]
    assert found.select(t.USER_ID, t.ITEM_ID, t.PLACE).rows() == [one[1:] for one in expected]
    assert found[t.SCORE].to_list() == [one[0] for one in expected]
    assert found[t.REASON].unique().to_list() == ["by chance"]


def test_items_nobody_knows_are_for_nobody(rows: pl.DataFrame, vocabulary: Vocabulary):
    model = ListModel("random", RandomRanker(vocabulary.size), vocabulary, "keep")
    rules = ListRules.read(t.ITEMS.empty(), AS_OF, Recommender())
    for asked, items in ((rows, ["never sold"]), (rows.clear(), vocabulary.items[t.ITEM_ID].to_list())):
        found = model.find_users(asked, items, 5, rules)
        assert found.is_empty()
        assert set(found.columns) == {t.USER_ID, t.ITEM_ID, t.SCORE, t.PLACE, t.REASON}
    everything = model.find_users(rows, vocabulary.items[t.ITEM_ID].to_list(), 5, rules)
    assert everything[t.PLACE].to_list() == [1] * 5


@dataclass(frozen=True)
class Factors(RandomRanker):
    """Notes how many users are scored at once; its lists need no matrix of scores."""

    asked: list[int] = field(default_factory=list)

    def user_vectors(self, histories: Histories) -> Scores:
        return np.ones((histories.user_count, 1), np.float32)

    def item_vectors(self) -> Scores:
        return np.ones((self.items, 1), np.float32)

    def scores(self, histories: Histories) -> Scores:
        self.asked.append(histories.user_count)
        return super().scores(histories)


def test_of_a_large_catalogue_few_users_are_scored_at_once(
    rows: pl.DataFrame, vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(model_module, "_CELLS", 3 * vocabulary.size)
    ranker = Factors(vocabulary.size)
    ListModel("factors", ranker, vocabulary, "keep").find_users(
        rows, vocabulary.items[t.ITEM_ID].to_list(), 5, ListRules.read(t.ITEMS.empty(), AS_OF, Recommender())
    )
    assert sum(ranker.asked) == len(rows)
    assert max(ranker.asked) == 3
