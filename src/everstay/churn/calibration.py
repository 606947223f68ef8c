"""Scores -> probabilities: a logistic curve fitted on rows later than the training's."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, logit

FloatArray = NDArray[np.float64]

_FLAT = 1e-3  # smallest slope: a score that ranks the wrong way round says next to nothing, and never reverses


@dataclass(frozen=True)
class Calibrator:
    """Platt scaling: log-odds = intercept + slope × score, with a positive slope, so that no order changes.

    Source: Platt, Advances in Large Margin Classifiers (1999), with his smoothed targets.
    """

    intercept: float
    slope: float

    @classmethod
    def fit(cls, scores: FloatArray, churned: FloatArray) -> Self:
        """Fit to scores (n,) and outcomes (n,) of 0 and 1 that the scores were not learned from."""
        left = churned.sum()
        stayed = len(churned) - left
        target = np.where(churned == 1, (left + 1) / (left + 2), 1 / (stayed + 2))
        center, scale = scores.mean(), max(float(scores.std()), 1e-9)
        standard = (scores - center) / scale

        def loss(parameters: FloatArray) -> tuple[float, FloatArray]:
            odds = parameters[0] + parameters[1] * standard
            error = expit(odds) - target
            value = np.logaddexp(0, odds) - target * odds
            return float(value.mean()), np.array([error.mean(), (error * standard).mean()])

        start = np.array([logit(target.mean()), 1.0])
        intercept, slope = minimize(loss, start, jac=True, bounds=[(None, None), (_FLAT, None)], method="L-BFGS-B").x
        return cls(float(intercept - slope * center / scale), float(slope / scale))

    def log_odds(self, scores: FloatArray) -> FloatArray:
        """Scores (n,) -> calibrated log-odds (n,)."""
        return self.intercept + self.slope * scores

    def probability(self, scores: FloatArray) -> FloatArray:
        """Scores (n,) -> probabilities (n,)."""
        return expit(self.log_odds(scores))
