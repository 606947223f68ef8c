"""A support vector machine with Gaussian kernel, learned from a sample of the rows, kept as arrays."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.svm import SVC

from everstay.churn.config import SvmConfig
from everstay.churn.encoding import FeatureEncoder
from everstay.churn.rows import outcomes

FloatArray = NDArray[np.float64]

_BLOCK = 4_096  # rows whose kernel with all support vectors is held at once


@dataclass(frozen=True)
class SvmScorer:
    """S support vectors among E encoded features.

    Attributes:
        encoder: of the features.
        support: (S, E).
        weights: (S,) with the side's sign.
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
        """Fit to a random sample, for the time grows with the square of the rows; `cost` of a row on the wrong side."""
        encoder = FeatureEncoder.fit(rows)
        sample = rows.sample(min(config.max_rows, rows.height), seed=seed)
        if sample["churned"].n_unique() < 2:
            sample = rows
        gamma = config.width_scale / encoder.width
        model = SVC(C=cost, gamma=gamma).fit(encoder.encode(sample), outcomes(sample))
        return cls(
            encoder, model.support_vectors_.copy(), model.dual_coef_[0].copy(), gamma, float(model.intercept_[0])
        )

    def scores(self, rows: pl.DataFrame) -> FloatArray:
        """Signed distance from the border, in units of the margin."""
        encoded = self.encoder.encode(rows)
        blocks = (encoded[start : start + _BLOCK] for start in range(0, len(encoded), _BLOCK))
        told = [rbf_kernel(block, self.support, gamma=self.gamma) @ self.weights for block in blocks]
        return np.concatenate([np.zeros(0), *told]) + self.intercept
