"""Blend of the sequential network, the linear models and a matrix factorisation: each covers what the others miss."""

from dataclasses import dataclass

import numpy as np
from numba import njit

from everstay.recommender.config import BlendConfig
from everstay.recommender.histories import Histories, IntArray
from everstay.recommender.ials import IalsRanker
from everstay.recommender.linear import LinearRanker
from everstay.recommender.model import Ranker, Scores
from everstay.recommender.sequential import SequentialRanker
from everstay.recommender.threads import share_out

_SMALLEST_SCALE = 1e-12  # for a model that scores all items equally
_USERS_AT_ONCE = 64


@dataclass(frozen=True)
class BlendRanker:
    """Weighted sum of its members' scores, each standardised over a user's items.

    Attributes:
        config: of the members, and their weights.
        sequential: its weight is 1.
        follows: SLIT.
        alike: item-item cosine.
        together: EASE.
        factors: iALS.
    """

    config: BlendConfig
    sequential: SequentialRanker
    follows: LinearRanker
    alike: LinearRanker
    together: LinearRanker
    factors: IalsRanker

    def scores(self, histories: Histories) -> Scores:
        """Weighted sum of the members' standardised scores, (n, items)."""
        parts = (_standardised(member.scores(histories), weight) for weight, member in self._members())
        total = next(parts)
        for part in parts:
            total += part
        return total

    def explain(self, histories: Histories, user: IntArray, item: IntArray) -> list[str]:
        """The reason of the member that contributes most to the pair's score."""
        members = self._members()
        parts = [_standardised(member.scores(histories), weight)[user, item] for weight, member in members]
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
            (self.config.factors_weight, self.factors),
        ]
        return [(weight, member) for weight, member in weighted if weight > 0]


def _standardised(scores: Scores, weight: float) -> Scores:
    """Each row (n, items) with mean 0 and the weight as standard deviation; scores are overwritten."""
    share_out(lambda part: _standardise(scores[part], weight), len(scores), _USERS_AT_ONCE)
    return scores


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def _standardise(scores: Scores, weight: float) -> None:
    for row in range(len(scores)):
        own, total, squares = scores[row], 0.0, 0.0
        for score in own:
            total += score
        mean = total / len(own)
        for score in own:
            squares += (score - mean) ** 2
        scale = weight / max(np.sqrt(squares / len(own)), _SMALLEST_SCALE)
        for place in range(len(own)):
            own[place] = (own[place] - mean) * scale
