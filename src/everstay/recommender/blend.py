"""The sequential network and the linear models together: each knows what the others miss."""

from dataclasses import dataclass

import numpy as np

from everstay.recommender.config import BlendConfig
from everstay.recommender.histories import Histories, IntArray
from everstay.recommender.linear import LinearRanker
from everstay.recommender.model import Ranker, Scores
from everstay.recommender.sequential import SequentialRanker

_SMALLEST_SCALE = np.float32(1e-12)  # of a model that finds all items alike


@dataclass(frozen=True)
class BlendRanker:
    """Adds up what its members say, each in standard deviations over a user's items.

    Attributes:
        config: of the members, and their weights.
        sequential: its weight is 1.
        follows: SLIT.
        alike: the cosine of items.
        together: EASE.
    """

    config: BlendConfig
    sequential: SequentialRanker
    follows: LinearRanker
    alike: LinearRanker
    together: LinearRanker

    def scores(self, histories: Histories) -> Scores:
        """Weighted sum of the members' standardised scores, (n, items)."""
        total: Scores = np.zeros(1, np.float32)
        for weight, member in self._members():
            total = total + np.float32(weight) * standardised(member.scores(histories))
        return total

    def explain(self, histories: Histories, user: IntArray, item: IntArray) -> list[str]:
        """The reason of the member that adds most to the pair's score."""
        members = self._members()
        parts = [weight * standardised(member.scores(histories))[user, item] for weight, member in members]
        strongest = np.argmax(parts, axis=0)
        reasons = [""] * len(item)
        for number, (_, member) in enumerate(members):
            pairs = np.flatnonzero(strongest == number)
            told = member.explain(histories, user[pairs], item[pairs])
            for pair, reason in zip(pairs, told, strict=True):
                reasons[pair] = reason
        return reasons

    def _members(self) -> list[tuple[float, Ranker]]:
        weighted: list[tuple[float, Ranker]] = [
            (1.0, self.sequential),
            (self.config.follows_weight, self.follows),
            (self.config.alike_weight, self.alike),
            (self.config.together_weight, self.together),
        ]
        return [(weight, member) for weight, member in weighted if weight > 0]


def standardised(scores: Scores) -> Scores:
    """Each row (n, items) with mean 0 and standard deviation 1."""
    centred = scores - scores.mean(axis=1, keepdims=True)
    result: Scores = centred / np.maximum(centred.std(axis=1, keepdims=True), _SMALLEST_SCALE)
    return result
