"""Choose a candidate's setting on validation: the criterion, and the result."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel

from everstay.churn.calibration import Calibrator
from everstay.churn.model import Scorer
from everstay.churn.rows import ChurnRows, outcomes
from everstay.metrics.classification import log_loss

Curves = Mapping[str, list[float]]


@dataclass(frozen=True)
class Choice:
    """A setting that was chosen.

    Attributes:
        early: scorer learned from the training part only.
        refit: learns a scorer with the same setting from other rows.
        params: fixed and chosen settings.
        curves: losses it was chosen by.
        config: the configuration with the chosen setting as its only one; None: there is none.
    """

    early: Scorer
    refit: Callable[[pl.DataFrame], Scorer]
    params: Mapping[str, Any]
    curves: Curves = field(default_factory=dict)
    config: BaseModel | None = None


def choose_setting(
    name: str, config: BaseModel, settings: str, fit: Callable[[pl.DataFrame, Any], Scorer], rows: ChurnRows
) -> Choice:
    """Fit every setting on `train` and keep the one with the lowest calibrated log-loss on `validation`.

    Args:
        name: of the setting, for `params`.
        config: of the candidate.
        settings: its field with the choices; the first is taken if tied.
        fit: learns from rows with one of the choices.
        rows: the parts; `test` is not read.
    """
    choices = getattr(config, settings)
    scorers = [fit(rows.train, setting) for setting in choices]
    losses = calibrated_losses(np.stack([scorer.scores(rows.validation) for scorer in scorers]), rows.validation)
    best = int(np.argmin(losses))
    setting = choices[best]
    return Choice(
        scorers[best],
        lambda learned: fit(learned, setting),
        {name: setting},
        {"validation_loss": losses},
        config.model_copy(update={settings: (setting,)}),
    )


def calibrated_losses(scores: NDArray[np.float64], rows: pl.DataFrame) -> list[float]:
    """Log-loss of scores (choices, n) after their calibration on the same rows: one per choice."""
    churned = outcomes(rows)
    return losses(np.stack([Calibrator.fit(choice, churned).log_odds(choice) for choice in scores]), rows)


def losses(log_odds: NDArray[np.float64], rows: pl.DataFrame) -> list[float]:
    """Log-loss of log-odds (choices, n): one per choice."""
    churned = outcomes(rows)
    return [float(log_loss(churned, 1 / (1 + np.exp(-choice)))) for choice in log_odds]
