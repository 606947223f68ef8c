"""The blend candidate: a weighted mean of the calibrated log-odds of other candidates."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import polars as pl
from numpy.typing import NDArray

from everstay import tables as t
from everstay.churn.calibration import Calibrator
from everstay.churn.model import CalibratedModel
from everstay.churn.reasons.attribution import Attribution, mean_attribution
from everstay.churn.rows import outcomes
from everstay.metrics.comparison import clustered_error

FloatArray = NDArray[np.float64]

ALIKE = ("boosting", "network")
"""Blended candidates that are about equally good in most shops."""

_PARTS = 4  # weights are multiples of a quarter: the log-loss is too flat for finer ones to mean anything


@dataclass(frozen=True)
class BlendScorer:
    """Fitted candidates whose log-odds are averaged.

    Attributes:
        members: fitted.
        weights: one per member, that sum to 1.
    """

    members: tuple[CalibratedModel, ...]
    weights: tuple[float, ...]

    def scores(self, rows: pl.DataFrame) -> FloatArray:
        """Mean log-odds."""
        return np.average([member.log_odds(rows) for member in self.members], axis=0, weights=self.weights)

    def attribute(self, rows: pl.DataFrame, usual: Mapping[str, float | None]) -> Attribution:  # noqa: ARG002
        """Mean of the members' attributions, because the score is a mean of their log-odds."""
        return mean_attribution([member.attribute(rows) for member in self.members], self.weights)


def choose_blend(members: Sequence[CalibratedModel], validation: pl.DataFrame) -> BlendScorer:
    """Choose weights in quarters with the lowest calibrated log-loss on `validation`, which is held out from members.

    `ALIKE` with equal weights stays the blend unless other weights are better by a standard error of the difference.
    Members of weight 0 are left out.
    """
    log_odds, churned = np.stack([member.log_odds(validation) for member in members]), outcomes(validation)
    weighings = np.vstack([_alike([member.name for member in members]), _quarters(len(members))])
    losses = np.stack([_losses(weights @ log_odds, churned) for weights in weighings])
    best = int(np.argmin(losses.mean(axis=1)))
    gain = losses[0] - losses[best]
    is_sure = gain.mean() > clustered_error(gain, validation[t.USER_ID].to_numpy())
    weights = weighings[best if is_sure else 0]
    chosen = [(member, float(weight)) for member, weight in zip(members, weights, strict=True) if weight > 0]
    return BlendScorer(tuple(member for member, _ in chosen), tuple(weight for _, weight in chosen))


def _losses(scores: FloatArray, churned: FloatArray) -> FloatArray:
    """Negative log-likelihood of each outcome (n,) after calibration on the same rows."""
    odds = Calibrator.fit(scores, churned).log_odds(scores)
    return np.asarray(np.logaddexp(0, odds) - churned * odds)


def _alike(names: Sequence[str]) -> FloatArray:
    """Equal weights (count,) for the members that are `ALIKE`; for all if none is.

    >>> _alike(["boosting", "network", "purchase_process"]).tolist()
    [0.5, 0.5, 0.0]
    """
    alike = np.array([float(name in ALIKE) for name in names])
    weights = alike if alike.any() else np.ones(len(names))
    return np.asarray(weights / weights.sum())


def _quarters(count: int) -> FloatArray:
    """All weights (choices, count) in quarters that sum to 1.

    >>> _quarters(2).tolist()
    [[0.0, 1.0], [0.25, 0.75], [0.5, 0.5], [0.75, 0.25], [1.0, 0.0]]
    """
    found = [parts for parts in product(range(_PARTS + 1), repeat=count) if sum(parts) == _PARTS]
    return np.array(found) / _PARTS
