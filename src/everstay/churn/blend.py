"""The blend candidate: the mean of the calibrated log-odds of other candidates."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from everstay.churn.model import CalibratedModel

FloatArray = NDArray[np.float64]

BLENDED = ("boosting", "network")
"""Candidates that are blended, those of them that are trained."""


@dataclass(frozen=True)
class BlendScorer:
    """Fitted candidates whose log-odds are averaged with equal weight."""

    members: tuple[CalibratedModel, ...]

    def scores(self, rows: pl.DataFrame) -> FloatArray:
        """Mean log-odds."""
        return np.mean([member.log_odds(rows) for member in self.members], axis=0)
