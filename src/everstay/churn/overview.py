"""What a candidate relies on, as figures and a page of its MLflow run."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from matplotlib.figure import Figure

from everstay.churn.model import ChurnModel
from everstay.churn.reasons.overall import (
    draw_dependence,
    draw_importance,
    importance,
    partial_dependence,
    strongest_features,
)
from everstay.churn.reasons.rules import Sample, distil
from everstay.churn.rows import ChurnRows

_ROWS, _GROWN_ROWS = 1_500, 3_000  # to attribute or evaluate on, and to grow rules from


@dataclass(frozen=True)
class Overview:
    """Importance, dependence and rules of a candidate.

    Attributes:
        figures: file name to figure.
        pages: file name to text.
        fidelity: R² of the rules against the model, on the test rows.
    """

    figures: Mapping[str, Figure]
    pages: Mapping[str, str]
    fidelity: float


def look_over(model: ChurnModel, rows: ChurnRows) -> Overview:
    """Attribute test rows, vary their strongest features, and distil the model into rules; some thousand rows each.

    Rules are grown on training rows, their number is chosen on validation rows, their fidelity is measured on test
    rows; outcomes are not used.
    """
    grown, chosen, held = _some(rows.train, _GROWN_ROWS), _some(rows.validation, _ROWS), _some(rows.test, _ROWS)
    attribution = model.attribute(held)
    curves = partial_dependence(model, held, strongest_features(attribution))
    rules = distil(*(_sample(model, part) for part in (grown, chosen, held)))
    figures = {
        "importance.png": draw_importance(importance(attribution)),
        "partial_dependence.png": draw_dependence(curves),
    }
    return Overview(figures, {"rules.txt": rules.text()}, rules.fidelity)


def _some(rows: pl.DataFrame, count: int) -> pl.DataFrame:
    """About `count` evenly spaced rows: an overview of all candidates must cost seconds, not minutes."""
    return rows.gather_every(max(1, round(rows.height / count)))


def _sample(model: ChurnModel, rows: pl.DataFrame) -> Sample:
    probability = np.clip(model.predict_probability(rows), 1e-6, 1 - 1e-6)
    return rows, np.log(probability / (1 - probability))
