"""The fitted two-stage candidate as a ranker."""

from collections.abc import Sequence
from dataclasses import dataclass

import lightgbm
import numpy as np

from everstay import tables as t
from everstay.recommender.baselines import popularity
from everstay.recommender.config import HybridConfig
from everstay.recommender.histories import Histories, IntArray
from everstay.recommender.hybrid.facts import ItemFacts
from everstay.recommender.hybrid.pairs import Breadth, PairMaker, Questions
from everstay.recommender.hybrid.reasons import pair_reasons
from everstay.recommender.model import Scores
from everstay.recommender.reasons import POPULAR
from everstay.recommender.repeats import track_repeats
from everstay.recommender.vocabulary import Vocabulary

GROUPINGS = (t.CATEGORY, t.SUBCATEGORY)


@dataclass(frozen=True)
class HybridRanker:
    """Boosted trees over candidates; all other items follow by popularity.

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
        """What contributed most: own purchases, nearness to the user's items, their category, price, or popularity."""
        maker = PairMaker(histories, track_repeats(histories), groupings(self.vocabulary), breadth(self.config))
        pairs = maker.make(now(histories), self.facts)
        key, asked = pairs.question * self.vocabulary.size + pairs.item, user * self.vocabulary.size + item
        place = np.minimum(np.searchsorted(key, asked), len(key) - 1) if len(key) else np.zeros(len(item), np.int64)
        is_candidate = key[place] == asked if len(key) else np.zeros(len(item), bool)
        reasons = np.full(len(item), POPULAR, dtype=object)
        if is_candidate.any():
            chosen = (histories, user[is_candidate], item[is_candidate])
            features, names = pairs.features[place[is_candidate]], known_groupings(self.vocabulary)
            reasons[is_candidate] = pair_reasons(self.booster, features, chosen, self.facts, self.vocabulary, names)
        return list(reasons)

    def _share(self) -> Scores:
        return popularity(self.vocabulary, self.config.window_days)


def now(histories: Histories) -> Questions:
    """The questions at serving time: everything before the as-of is seen."""
    users = np.arange(histories.user_count)
    return Questions(users, histories.user_start[1:], np.zeros(len(users)))


def groupings(vocabulary: Vocabulary) -> Sequence[IntArray]:
    """Groups of the items by catalogue attribute; none without a catalogue."""
    return [vocabulary.codes(name) for name in known_groupings(vocabulary)]


def known_groupings(vocabulary: Vocabulary) -> Sequence[str]:
    """Names of the groupings."""
    return [name for name in GROUPINGS if name in vocabulary.items.columns]


def breadth(config: HybridConfig) -> Breadth:
    """How many candidates of each kind."""
    new = (config.popular_candidates, config.near_candidates, config.tried_candidates)
    return Breadth(config.own_candidates, *new)
