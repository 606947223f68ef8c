"""A churn model as everybody uses it: rows in, calibrated probabilities and reasons out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from everstay.churn.calibration import Calibration
from everstay.churn.reasons import Attribution, tell_reasons

FloatArray = NDArray[np.float64]


class Scorer(Protocol):
    """A fitted candidate before calibration."""

    def scores(self, rows: pl.DataFrame) -> FloatArray:
        """Rows (n) -> finite scores (n,), larger for those who rather leave."""

    def attribute(self, rows: pl.DataFrame, usual: Mapping[str, float | None]) -> Attribution:
        """What each feature adds to the scores; `usual` are the training rows' medians."""


class ChurnModel(Protocol):
    """What `load_artifact` gives."""

    @property
    def name(self) -> str:
        """Of the candidate."""

    def predict_probability(self, rows: pl.DataFrame) -> FloatArray:
        """Rows (n) with the features and token lists of `everstay.features` -> probability of churning (n,)."""

    def attribute(self, rows: pl.DataFrame) -> Attribution:
        """What each feature adds to the probability's log-odds; complete: base and parts are the log-odds."""

    def explain(self, rows: pl.DataFrame) -> list[list[str]]:
        """Up to three reasons in words per row, the strongest first."""


@dataclass(frozen=True)
class CalibratedModel:
    """A scorer, its calibrator, and the usual values that its reasons compare with."""

    name: str
    scorer: Scorer
    calibrator: Calibration
    usual: Mapping[str, float | None]

    def predict_probability(self, rows: pl.DataFrame) -> FloatArray:
        """Rows (n) -> probability of churning (n,)."""
        return self.calibrator.probability(self.scorer.scores(rows))

    def log_odds(self, rows: pl.DataFrame) -> FloatArray:
        """Rows (n) -> the probability's log-odds (n,)."""
        return self.calibrator.log_odds(self.scorer.scores(rows))

    def attribute(self, rows: pl.DataFrame) -> Attribution:
        """What each feature adds to the probability's log-odds."""
        raw = self.scorer.attribute(rows, self.usual)
        base = float(self.calibrator.log_odds(np.array([raw.base]))[0])
        return raw.moved(base, self.calibrator.log_odds(raw.scores))

    def explain(self, rows: pl.DataFrame) -> list[list[str]]:
        """Up to three reasons in words per row, the strongest first."""
        return tell_reasons(self.attribute(rows), rows, self.usual)
