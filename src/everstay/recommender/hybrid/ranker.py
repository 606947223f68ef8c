"""The fitted two-stage candidate as a ranker."""

from collections.abc import Sequence
from dataclasses import dataclass

import lightgbm
import numpy as np
import polars as pl

from everstay import tables as t
from everstay.recommender.baselines import decayed_counts, popularity, strongest_links
from everstay.recommender.config import HybridConfig
from everstay.recommender.histories import Histories, IntArray
from everstay.recommender.hybrid.facts import ItemFacts
from everstay.recommender.hybrid.pairs import Breadth, PairMaker, Questions
from everstay.recommender.model import Scores
from everstay.recommender.reasons import POPULAR, bought_before, due_again, first_known
from everstay.recommender.repeats import track_repeats
from everstay.recommender.vocabulary import Vocabulary

GROUPINGS = (t.CATEGORY, t.SUBCATEGORY)

_HALF_LIFE_DAYS = 84.0  # as in the features


@dataclass(frozen=True)
class HybridRanker:
    """Boosted trees over candidates; what is no candidate follows in the order of popularity.

    Attributes:
        config: of the candidates and the trees.
        booster: gives the probability that a pair's item is in the next basket.
        facts: of the items as of the fit.
        vocabulary: the items.
    """

    config: HybridConfig
    booster: lightgbm.Booster
    facts: ItemFacts
    vocabulary: Vocabulary

    def scores(self, histories: Histories) -> Scores:
        """Probabilities of the candidates, and popularity minus one of all others: (n, items)."""
        scores: Scores = np.tile(self._share() - np.float32(1.0), (histories.user_count, 1))
        maker = PairMaker(histories, track_repeats(histories), groupings(self.vocabulary), breadth(self.config))
        pairs = maker.make(now(histories), self.facts)
        scores[pairs.question, pairs.item] = self.booster.predict(pairs.features, num_threads=1)
        return scores

    def explain(self, histories: Histories, user: IntArray, item: IntArray) -> list[str]:
        """What made the item a candidate: that it is due or was bought, what it is near to, or that it is popular."""
        own = decayed_counts(histories, self.vocabulary.size, _HALF_LIFE_DAYS)
        pair, bought = strongest_links(own, self.facts.neighbours, user, item)
        near = pl.Series([None] * len(item), dtype=pl.String)
        near = near.scatter(pair, "because you bought " + self.vocabulary.ids(bought))
        repeats = (due_again(histories, user, item), bought_before(histories, user, item))
        return first_known(*repeats, near, otherwise=POPULAR)

    def _share(self) -> Scores:
        return popularity(self.vocabulary, self.config.window_days)


def now(histories: Histories) -> Questions:
    """What is asked when a list is wanted: everything before the as-of is seen."""
    users = np.arange(histories.user_count)
    return Questions(users, histories.user_start[1:], np.zeros(len(users)))


def groupings(vocabulary: Vocabulary) -> Sequence[IntArray]:
    """Groups of the items by what the catalogue says; none where there is no catalogue."""
    return [vocabulary.codes(name) for name in GROUPINGS if name in vocabulary.items.columns]


def breadth(config: HybridConfig) -> Breadth:
    """How many candidates of each kind."""
    return Breadth(config.own_candidates, config.popular_candidates, config.near_candidates)
