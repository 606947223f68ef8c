"""The blend candidate: the mean of the calibrated log-odds of other candidates."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from everstay.churn.model import CalibratedModel
from everstay.churn.reasons.attribution import Attribution, mean_attribution

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class BlendScorer:
    """Fitted candidates whose log-odds are averaged with equal weight."""

    members: tuple[CalibratedModel, ...]

    def scores(self, rows: pl.DataFrame) -> FloatArray:
        """Mean log-odds."""
        return np.mean([member.log_odds(rows) for member in self.members], axis=0)

    def attribute(self, rows: pl.DataFrame, usual: Mapping[str, float | None]) -> Attribution:  # noqa: ARG002
        """Mean of the members' attributions, for the score is a mean of their log-odds."""
        return mean_attribution([member.attribute(rows) for member in self.members])
