"""A support vector machine with Gaussian kernel, learned from a sample of the rows, kept as arrays."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.svm import SVC

from everstay.churn.config import SvmConfig
from everstay.churn.encoding import FeatureEncoder
from everstay.churn.reasons.attribution import Attribution, encoded_parts
from everstay.churn.rows import outcomes

FloatArray = NDArray[np.float64]

_BLOCK = 4_096  # rows whose kernel with all support vectors is held at once
_FEWEST = 20  # rows of the rarer outcome in a sample
_POINTS = 24  # of the quadrature of reasons


def sampled_places(outcome: FloatArray, most: int, seed: int) -> NDArray[np.int64]:
    """Places, ascending, of at most `most` rows, given their outcomes (N,) of 0 and 1.

    Outcomes have the shares that they have among all rows, so that scores learned from more or fewer rows are alike; of
    the rarer there are at least twenty rows, or all.
    """
    if len(outcome) <= most:
        return np.arange(len(outcome))
    shuffled = np.random.default_rng(seed).permutation(len(outcome))
    rare, common = sorted((shuffled[outcome[shuffled] == value] for value in (0, 1)), key=len)
    kept = rare[: max(round(most * len(rare) / len(outcome)), _FEWEST)]
    return np.sort(np.concatenate([kept, common[: most - len(kept)]]))


@dataclass(frozen=True)
class SvmScorer:
    """S support vectors among E encoded features.

    Attributes:
        encoder: of the features.
        support: (S, E).
        weights: (S,) dual coefficients, signed by class.
        gamma: 1 / (2 squared width) of the kernel.
        intercept: added to the weighted kernels.
    """

    encoder: FeatureEncoder
    support: FloatArray
    weights: FloatArray
    gamma: float
    intercept: float

    @classmethod
    def fit(cls, rows: pl.DataFrame, config: SvmConfig, cost: float, seed: int) -> "SvmScorer":
        """Fit to a sample, as time is quadratic in the rows; `cost` is the penalty of margin violations (C)."""
        encoder = FeatureEncoder.fit(rows)
        sample = rows[sampled_places(outcomes(rows), config.max_rows, seed)]
        gamma = config.width_scale / encoder.width
        model = SVC(C=cost, gamma=gamma).fit(encoder.encode(sample), outcomes(sample))
        return cls(
            encoder, model.support_vectors_.copy(), model.dual_coef_[0].copy(), gamma, float(model.intercept_[0])
        )

    def scores(self, rows: pl.DataFrame) -> FloatArray:
        """Decision function: signed distance from the boundary, in units of the margin."""
        return self._distances(self.encoder.encode(rows))

    def attribute(self, rows: pl.DataFrame, usual: Mapping[str, float | None]) -> Attribution:  # noqa: ARG002
        """Integrated gradients from the mean training user, encoded as zeros."""
        encoded = self.encoder.encode(rows)
        gradient = np.zeros_like(encoded)
        for node, weight in zip(*np.polynomial.legendre.leggauss(_POINTS), strict=True):
            place = encoded * (node + 1) / 2
            for start in range(0, len(place), _BLOCK):
                block = slice(start, start + _BLOCK)
                pull = rbf_kernel(place[block], self.support, gamma=self.gamma) * self.weights
                towards = pull @ self.support - pull.sum(axis=1)[:, None] * place[block]
                gradient[block] += weight * self.gamma * towards  # 2 gamma, halved for the length of the interval
        base = float(self._distances(np.zeros((1, self.encoder.width)))[0])
        parts = Attribution(base, encoded_parts(gradient * encoded, self.encoder))
        return parts.moved(base, self._distances(encoded))

    def _distances(self, encoded: FloatArray) -> FloatArray:
        """Encoded rows (n, E) -> signed distances (n,)."""
        blocks = (encoded[start : start + _BLOCK] for start in range(0, len(encoded), _BLOCK))
        told = [rbf_kernel(block, self.support, gamma=self.gamma) @ self.weights for block in blocks]
        return np.concatenate([np.zeros(0), *told]) + self.intercept
