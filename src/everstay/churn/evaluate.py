"""Quality of a fitted candidate on validation and test rows, overall and in slices, with intervals over users."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from everstay import tables as t
from everstay.churn.encoding import STATE_COLUMN
from everstay.churn.fairness import fairness_page
from everstay.churn.model import ChurnModel
from everstay.churn.money import draw_profit, judge_money
from everstay.churn.overview import look_over
from everstay.churn.plots import draw_all
from everstay.churn.rows import ChurnRows, outcomes
from everstay.metrics import classification as c
from everstay.metrics.comparison import Interval, drawn_interval, statistic_interval
from everstay.metrics.report import CandidateReport
from everstay.settings import Settings

RIGHT_SCORES_ERROR = "test_calibration_error_of_right_scores"
"""What the calibration error would be if the probabilities were exactly right: among few users it is not zero."""

METRICS = (
    c.roc_auc,
    c.average_precision,
    c.lift_top_decile,
    c.brier,
    c.log_loss,
    c.expected_calibration_error,
    c.calibration_slope,
)
"""Judged on every part; the name of the function is the name of the metric."""

SLICED = (c.roc_auc, c.average_precision)
SLICES = {"orders": "orders_84d", "tenure": "tenure_days"}
"""Slices are the thirds of test users by these features: `test_roc_auc_orders_low`, `..._middle`, `..._high`."""

SURENESS = (c.expected_calibration_error, c.calibration_slope)
STATES = {1: "new", 2: "active", 3: "slipping", 4: "lapsed", 5: "won_back"}
"""Calibration is judged in each lifecycle state of test users too: `test_calibration_slope_state_new`, ..."""

_THIRDS = ("low", "middle", "high")
_LEAST_STATE_ROWS = 100  # with fewer, the error of ten bins is noise


def report_candidate(
    model: ChurnModel,
    early: ChurnModel,
    rows: ChurnRows,
    settings: Settings,
    *,
    attributes: pl.DataFrame | None,
    artifact: Path,
    params: Mapping[str, str | int | float | bool],
    curves: Mapping[str, list[float]],
) -> CandidateReport:
    """Judge a candidate.

    Args:
        model: the one that serves; judged on `rows.test`.
        early: the one that has not seen `rows.validation`; judged there (its calibrator has: calibration figures of
            the validation part are optimistic, those of the test part are not).
        rows: one row per user and as-of in each part; intervals are over users.
        settings: resamples, confidence and seed of the intervals.
        attributes: `tables.USERS`, by which fairness is judged; None where the shop declares nothing.
        artifact: the folder of `model`.
        params: passed on to the report.
        curves: passed on to the report.
    """
    churned, probability = outcomes(rows.test), model.predict_probability(rows.test)
    early_probability = early.predict_probability(rows.validation)
    campaign = judge_money(rows, early_probability, probability, settings)
    overview = look_over(model, rows)
    metrics = {
        **_judge("validation", rows.validation, early_probability, settings),
        **_judge("test", rows.test, probability, settings),
        RIGHT_SCORES_ERROR: _right_scores_error(probability, settings),
        **campaign.metrics,
        **_judge_slices(rows.test, churned, probability, settings),
        **_judge_states(rows.test, churned, probability, settings),
    }
    return CandidateReport(
        name=model.name,
        params={**params, "campaign_threshold": campaign.threshold, "rules_fidelity": round(overview.fidelity, 4)},
        metrics=metrics,
        curves=curves,
        figures={
            **draw_all(churned, probability),
            "profit.png": draw_profit(campaign, rows.test, probability, settings.value),
            **overview.figures,
        },
        artifact=artifact,
        pages={
            **overview.pages,
            "fairness.html": fairness_page(model.name, rows, probability, attributes, settings),
        },
    )


def _judge(part: str, rows: pl.DataFrame, probability: NDArray[np.float64], settings: Settings) -> dict[str, Interval]:
    """All metrics of one part, and the share that left; a metric that is undefined there is left out."""
    churned, users = outcomes(rows), rows[t.USER_ID].to_numpy()
    metrics = {}
    for metric in (_prevalence, *METRICS):
        interval = statistic_interval(metric, churned, probability, users=users, **_bootstrap(settings))
        if np.isfinite(interval.value):
            metrics[f"{part}_{metric.__name__.removeprefix('_')}"] = interval
    return metrics


def _right_scores_error(probability: NDArray[np.float64], settings: Settings) -> Interval:
    policy = settings.promotion
    drawn = c.perfect_calibration_errors(probability, policy.resamples, settings.training.seed)
    return drawn_interval(drawn, policy.confidence)


def _prevalence(churned: ArrayLike, _: ArrayLike, weights: ArrayLike | None = None) -> NDArray[np.float64]:
    """Share of the rows that left, per row of weights."""
    weight = np.ones(len(np.asarray(churned))) if weights is None else np.asarray(weights, dtype=np.float64)
    return np.asarray(weight @ np.asarray(churned) / weight.sum(axis=-1))


def _judge_slices(
    rows: pl.DataFrame, churned: NDArray[np.float64], probability: NDArray[np.float64], settings: Settings
) -> dict[str, Interval]:
    metrics = {}
    for name, users in thirds(rows):
        for metric in SLICED:
            if 0 < churned[users].sum() < users.sum():
                interval = statistic_interval(metric, churned[users], probability[users], **_bootstrap(settings))
                metrics[f"test_{metric.__name__}_{name}"] = interval
    return metrics


def _judge_states(
    rows: pl.DataFrame, churned: NDArray[np.float64], probability: NDArray[np.float64], settings: Settings
) -> dict[str, Interval]:
    """How well calibrated each lifecycle state is."""
    metrics = {}
    for name, users in lifecycle_states(rows):
        for metric in SURENESS:
            interval = statistic_interval(metric, churned[users], probability[users], **_bootstrap(settings))
            if np.isfinite([interval.value, interval.low, interval.high]).all():
                metrics[f"test_{metric.__name__}_state_{name}"] = interval
    return metrics


def lifecycle_states(rows: pl.DataFrame) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Yield name and row mask (n,) of each lifecycle state with enough rows and both outcomes."""
    churned, state = outcomes(rows), rows[STATE_COLUMN].fill_null(0.0).to_numpy()
    for number, name in STATES.items():
        users = state == number
        if users.sum() >= _LEAST_STATE_ROWS and 0 < churned[users].sum() < users.sum():
            yield name, users


def thirds(rows: pl.DataFrame) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Yield name and row mask (n,) of each slice; equal values are never split, a slice may be empty."""
    for slice_name, feature in SLICES.items():
        values = rows[feature].fill_null(0.0).to_numpy()
        third = np.searchsorted(np.quantile(values, [1 / 3, 2 / 3]), values, side="left")
        for index, name in enumerate(_THIRDS):
            yield f"{slice_name}_{name}", third == index


def _bootstrap(settings: Settings) -> dict[str, Any]:
    policy = settings.promotion
    return {"resamples": policy.resamples, "confidence": policy.confidence, "seed": settings.training.seed}
