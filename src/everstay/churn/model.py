"""The interface of every churn model: rows in, calibrated probabilities and reasons out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import polars as pl
from numpy.typing import NDArray

from everstay.churn.calibration import Calibration
from everstay.churn.reasons import Attribution, tell_reasons
from everstay.churn.survival import silence_curve, usual_silence_days
from everstay.errors import NotReady

FloatArray = NDArray[np.float64]


class Scorer(Protocol):
    """A fitted candidate before calibration."""

    def scores(self, rows: pl.DataFrame) -> FloatArray:
        """Rows (n) -> finite scores (n,), higher for likelier churners."""

    def attribute(self, rows: pl.DataFrame, usual: Mapping[str, float | None]) -> Attribution:
        """What each feature adds to the scores; `usual` are the training rows' medians."""


@runtime_checkable
class CurveScorer(Protocol):
    """A scorer that can predict silence up to several times."""

    @property
    def is_curve(self) -> bool:
        """Whether its silences fall with time."""

    def silences(self, rows: pl.DataFrame) -> FloatArray:
        """Rows (n) -> chance of silence until the end of each quarter of the label window, (n, 4)."""


class ChurnModel(Protocol):
    """What `load_artifact` gives."""

    @property
    def name(self) -> str:
        """The candidate's name."""

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

    def silence(self, rows: pl.DataFrame, horizon_days: int, days: Sequence[float]) -> FloatArray:
        """Rows (n) -> chance of no order before each of D days from the label window's start, (n, D).

        Args:
            rows: with the features and token lists.
            horizon_days: of the label that was learned.
            days: any; beyond the horizon the last hazard is extrapolated.

        Raises:
            NotReady: this candidate has no curve; `hazard` and `transformer` do.
        """
        return silence_curve(*self._curve(rows), horizon_days, days)

    def next_order_days(self, rows: pl.DataFrame, horizon_days: int, chance: float = 0.5) -> FloatArray:
        """Rows (n) -> days within which the next order comes with this chance, (n,); raises as `silence` does."""
        return usual_silence_days(*self._curve(rows), horizon_days, chance)

    @property
    def tells_curve(self) -> bool:
        """Whether `silence` and `next_order_days` are available."""
        return isinstance(self.scorer, CurveScorer) and self.scorer.is_curve

    def _curve(self, rows: pl.DataFrame) -> tuple[FloatArray, FloatArray]:
        if not isinstance(self.scorer, CurveScorer) or not self.scorer.is_curve:
            raise NotReady(f"the churn candidate {self.name} has no survival curve; hazard and transformer do")
        return self.scorer.silences(rows), self.predict_probability(rows)

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
