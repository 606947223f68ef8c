"""Scores -> probabilities: a monotone curve fitted on held-out rows, of three kinds to choose from."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, logit
from sklearn.isotonic import IsotonicRegression

from everstay.metrics.comparison import clustered_error

FloatArray = NDArray[np.float64]

_FLAT = 1e-3  # smallest slope: a score that ranks the wrong way round is nearly ignored, never reversed
_ROUNDING = 1e-4  # scores of a smaller deviation, relative to their size if that is above 1, all say the same


class Calibration(Protocol):
    """Maps scores to probabilities."""

    def log_odds(self, scores: FloatArray) -> FloatArray:
        """Scores (n,) -> calibrated log-odds (n,), finite, in the same order."""

    def probability(self, scores: FloatArray) -> FloatArray:
        """Scores (n,) -> probabilities (n,)."""


@dataclass(frozen=True)
class Calibrator:
    """Platt scaling: log-odds = intercept + slope × score, with a positive slope, so that the order is kept.

    Source: Platt, Advances in Large Margin Classifiers (1999), with his smoothed targets.
    """

    intercept: float
    slope: float

    @classmethod
    def fit(cls, scores: FloatArray, churned: FloatArray) -> Self:
        """Fit to scores (n,) and outcomes (n,) of 0 and 1 of held-out rows."""
        left = churned.sum()
        stayed = len(churned) - left
        target = np.where(churned == 1, (left + 1) / (left + 2), 1 / (stayed + 2))
        if _is_constant(scores):  # a refit may tell users apart, but nothing says how right it is
            return cls(float(logit(target.mean()) - _FLAT * scores.mean()), _FLAT)
        center, scale = scores.mean(), scores.std()
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


@dataclass(frozen=True)
class BetaCalibrator:
    """Beta calibration: log-odds = shift + rise × log q - fall × log(1 - q), q the probability by Platt scaling.

    Bends where the low and the high probabilities are wrong in different ways.
    Source: Kull, Silva Filho, Flach, AISTATS (2017).
    """

    intercept: float
    slope: float
    shift: float
    rise: float
    fall: float

    @classmethod
    def fit(cls, scores: FloatArray, churned: FloatArray) -> Self:
        """Fit to scores (n,) and outcomes (n,) of 0 and 1 of held-out rows."""
        platt = Calibrator.fit(scores, churned)
        first = platt.log_odds(scores)
        parts = np.stack([np.ones(len(first)), -np.logaddexp(0, -first), np.logaddexp(0, first)])

        def loss(weights: FloatArray) -> tuple[float, FloatArray]:
            odds = weights @ parts
            value = np.logaddexp(0, odds) - churned * odds
            return float(value.mean()), parts @ (expit(odds) - churned) / len(odds)

        bounds = [(None, None), (_FLAT, None), (_FLAT, None)]
        found = minimize(loss, np.array([0.0, 1.0, 1.0]), jac=True, bounds=bounds, method="L-BFGS-B").x
        return cls(platt.intercept, platt.slope, *(float(value) for value in found))

    def log_odds(self, scores: FloatArray) -> FloatArray:
        """Scores (n,) -> calibrated log-odds (n,)."""
        first = self.intercept + self.slope * scores
        return self.shift - self.rise * np.logaddexp(0, -first) + self.fall * np.logaddexp(0, first)

    def probability(self, scores: FloatArray) -> FloatArray:
        """Scores (n,) -> probabilities (n,)."""
        return expit(self.log_odds(scores))


@dataclass(frozen=True)
class IsotonicCalibrator:
    """Isotonic regression with its steps joined by straight lines, so that different scores stay different.

    Source: Zadrozny, Elkan, KDD (2002); lines between the steps' middles as in Jiang et al., JAMIA 18 (2011).

    Attributes:
        middles: (K,) mean score of each step, ascending.
        levels: (K,) its log-odds, smoothed by one pseudo-churner and one pseudo-stayer; ascending.
    """

    middles: tuple[float, ...]
    levels: tuple[float, ...]

    @classmethod
    def fit(cls, scores: FloatArray, churned: FloatArray) -> Self:
        """Fit to scores (n,) and outcomes (n,) of 0 and 1 of held-out rows."""
        known = np.full(len(scores), scores.mean()) if _is_constant(scores) else scores
        _, step = np.unique(IsotonicRegression().fit_transform(known, churned), return_inverse=True)
        rows = np.bincount(step)
        middles, left = np.bincount(step, known) / rows, np.bincount(step, churned)
        levels = np.maximum.accumulate(logit((left + 1) / (rows + 2)))
        return cls(tuple(middles.tolist()), tuple(levels.tolist()))

    def log_odds(self, scores: FloatArray) -> FloatArray:
        """Scores (n,) -> calibrated log-odds (n,); a slight slope is added, also beyond the outer steps."""
        steps = np.interp(scores, self.middles, self.levels)
        reach = self.middles[-1] - self.middles[0]
        return steps if reach == 0 else steps + _FLAT * (scores - self.middles[0]) / reach

    def probability(self, scores: FloatArray) -> FloatArray:
        """Scores (n,) -> probabilities (n,)."""
        return expit(self.log_odds(scores))


CALIBRATORS: Mapping[str, type[Calibrator] | type[BetaCalibrator] | type[IsotonicCalibrator]] = {
    "platt": Calibrator,
    "beta": BetaCalibrator,
    "isotonic": IsotonicCalibrator,
}


def choose_calibrator(scores: FloatArray, churned: FloatArray, parts: NDArray, users: NDArray) -> Calibration:
    """Fit the kind with the lowest cross-validated log-loss; Platt if none is better by a standard error.

    Args:
        scores: (n,) of held-out rows.
        churned: (n,) of 0 and 1.
        parts: (n,) which rows are left out together: their as-of, a fold of users where there is one as-of or label
            windows overlap, or a part of a labelled table.
        users: (n,) clusters of the standard error.
    """
    losses = {kind: left_out_losses(kind, scores, churned, parts) for kind in CALIBRATORS}
    best = min(losses, key=lambda kind: float(losses[kind].mean()))
    gain = losses["platt"] - losses[best]
    is_sure = gain.mean() > clustered_error(gain, users)
    return CALIBRATORS[best if is_sure else "platt"].fit(scores, churned)


def left_out_losses(kind: str, scores: FloatArray, churned: FloatArray, parts: NDArray) -> FloatArray:
    """Negative log-likelihood of each outcome, (n,), by a curve of that kind fitted to the other parts."""
    model, odds = CALIBRATORS[kind], np.zeros(len(scores))
    for part in np.unique(parts):
        out = parts == part
        odds[out] = model.fit(scores[~out], churned[~out]).log_odds(scores[out])
    return np.logaddexp(0, odds) - churned * odds


def _is_constant(scores: FloatArray) -> bool:
    return bool(scores.std() <= _ROUNDING * max(1.0, float(np.abs(scores).max())))


def calibrator_kind(calibrator: Calibration) -> str:
    """Its name in `CALIBRATORS`."""
    return next(kind for kind, model in CALIBRATORS.items() if type(calibrator) is model)
