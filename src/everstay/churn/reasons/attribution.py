"""Additive parts of scores: what each feature adds to the score of the base user, who is the same for everybody.

Shapes: N rows, S sources.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from everstay.churn.encoding import MODEL_COLUMNS, FeatureEncoder

FloatArray = NDArray[np.float64]

HISTORY = "history"
"""The source for a network's encoding of the day tokens, as one part."""
SOURCES = (*MODEL_COLUMNS, HISTORY)
"""What parts belong to, in this order, for every model; the part of what a model does not read is 0."""

_STILL = 1e-9  # a score this close to the base's: the quotient would be rounding error


@dataclass(frozen=True)
class Attribution:
    """Parts of N scores: the scores are `base + parts.sum(axis=1)`.

    Attributes:
        base: score of the base user.
        parts: (N, S).
    """

    base: float
    parts: FloatArray

    @property
    def scores(self) -> FloatArray:
        """Base plus parts, (N,)."""
        return self.base + self.parts.sum(axis=1)

    def moved(self, base: float, scores: FloatArray) -> "Attribution":
        """Parts of a monotone function of the scores, whose values are `base` and `scores` (N,).

        Each part keeps its share (the rescale rule of DeepLIFT, Shrikumar et al. 2017): for a linear function, such as
        Platt scaling, that is the slope times the part; completeness is exact for any curve.
        """
        change = self.parts.sum(axis=1)
        is_still = np.abs(change) < _STILL
        share = np.where(is_still, 0.0, (scores - base) / np.where(is_still, 1.0, change))
        return Attribution(base, self.parts * share[:, None])


def mean_attribution(members: Sequence[Attribution], weights: Sequence[float] | None = None) -> Attribution:
    """Parts of the mean, weighted or not, of several scores of the same rows."""
    shares = weights or [1 / len(members)] * len(members)
    base = sum(share * member.base for share, member in zip(shares, members, strict=True))
    parts = sum(share * member.parts for share, member in zip(shares, members, strict=True))
    return Attribution(float(base), np.asarray(parts))


def placed(parts: FloatArray, columns: Sequence[str]) -> FloatArray:
    """Scatter parts (N, F) of `columns` to their positions among the sources: (N, S)."""
    whole = np.zeros((len(parts), len(SOURCES)))
    whole[:, [SOURCES.index(name) for name in columns]] = parts
    return whole


def encoded_parts(parts: FloatArray, encoder: FeatureEncoder) -> FloatArray:
    """Parts (N, E) of encoded features -> (N, S): indicators of undefined values count for their feature."""
    count = len(encoder.columns)
    own = parts[:, :count].copy()
    own[:, encoder.is_marked] += parts[:, count:]
    return placed(own, encoder.columns)
