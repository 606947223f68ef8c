"""Figures of one declared attribute's groups, by Fairlearn, with intervals over users; small groups are not judged."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from fairlearn.metrics import (
    MetricFrame,
    false_positive_rate,
    mean_prediction,
    selection_rate,
    true_positive_rate,
)
from numpy.typing import ArrayLike, NDArray

from everstay.metrics.classification import (
    calibration_in_the_large,
    expected_calibration_error,
    perfect_calibration_errors,
)
from everstay.metrics.comparison import Interval, Statistic, drawn_interval, statistic_interval

FloatArray = NDArray[np.float64]

LEAST_OF_A_KIND = 10
"""A share of fewer leavers, or of fewer stayers, is noise."""

UNKNOWN = "unknown"
"""The group of users without a known value."""


def share_of(name: str) -> Statistic:
    """A statistic of outcomes and warnings: `base_rate`, `selection_rate`, `true_...` or `false_positive_rate`.

    >>> share_of("true_positive_rate")(np.array([1, 1, 0]), np.array([1, 0, 1]), None).item()
    0.5
    """

    def statistic(y: ArrayLike, p: ArrayLike, weights: ArrayLike | None = None) -> FloatArray:
        left, warned = np.asarray(y, dtype=np.float64), np.asarray(p, dtype=np.float64)
        weight = np.ones(len(left)) if weights is None else np.asarray(weights, dtype=np.float64)
        ones = np.ones(len(left))
        part, whole = {
            "base_rate": (left, ones),
            "selection_rate": (warned, ones),
            "true_positive_rate": (left * warned, left),
            "false_positive_rate": ((1 - left) * warned, 1 - left),
        }[name]
        top, bottom = weight @ part, weight @ whole
        return np.divide(top, bottom, out=np.full_like(np.asarray(bottom), np.nan), where=bottom > 0)

    return statistic


WARNED = ("selection_rate", "true_positive_rate", "false_positive_rate")
COMPARED = ("base_rate", *WARNED, "calibration_in_the_large")
"""Comparable between groups of any sizes."""

RIGHT_SCORES_ERROR = "calibration_error_of_right_scores"
FIGURES = (*COMPARED, "expected_calibration_error", RIGHT_SCORES_ERROR)
"""Reported for each group. The calibration error, of ten bins, grows as groups get smaller: it stands beside the one
that exactly right probabilities would show in the same group, and has no difference between groups."""

_CALIBRATION: Mapping[str, Statistic] = {
    "calibration_in_the_large": calibration_in_the_large,
    "expected_calibration_error": expected_calibration_error,
}


@dataclass(frozen=True)
class AttributeFigures:
    """One attribute's groups.

    Attributes:
        attribute: column of `users`.
        users: group to its number of users; all groups.
        figures: group to figure to value and bounds, for judged groups; those with fewer leavers than
            `LEAST_OF_A_KIND` have no true positive rate, those with fewer stayers no false positive rate.
        differences: figure of `COMPARED` to its largest difference between judged groups.
    """

    attribute: str
    users: Mapping[str, int]
    figures: Mapping[str, Mapping[str, Interval]]
    differences: Mapping[str, float]

    @property
    def refused(self) -> list[str]:
        """Groups that are too small to be judged."""
        return [group for group in self.users if group not in self.figures]


def judge_attribute(
    attribute: str,
    groups: Sequence[str],
    churned: FloatArray,
    probability: FloatArray,
    warned: NDArray[np.bool_],
    *,
    min_users: int,
    bootstrap: Mapping[str, Any],
) -> AttributeFigures:
    """Compare the groups of an attribute.

    Args:
        attribute: its name.
        groups: (n,) the group of each user.
        churned: (n,) outcomes.
        probability: (n,) of leaving.
        warned: (n,) who is warned about.
        min_users: smaller groups are counted and not judged.
        bootstrap: resamples, confidence and seed.
    """
    names, counts = np.unique(np.asarray(groups, dtype=str), return_counts=True)
    users = {str(name): int(count) for name, count in zip(names, counts, strict=True)}
    judged = [name for name, count in users.items() if count >= min_users]
    inside = {name: np.asarray(groups, dtype=str) == name for name in judged}
    values = _values(np.asarray(groups, dtype=str), judged, churned, probability, warned)
    figures = {
        name: {
            **{
                figure: _with_bounds(value, figure, churned[mask], probability[mask], warned[mask], bootstrap)
                for figure, value in values[name].items()
            },
            RIGHT_SCORES_ERROR: _right_scores_error(probability[mask], **bootstrap),
        }
        for name, mask in inside.items()
    }
    return AttributeFigures(attribute, users, figures, _differences(values))


def _values(
    groups: NDArray[np.str_],
    judged: Sequence[str],
    churned: FloatArray,
    probability: FloatArray,
    warned: NDArray[np.bool_],
) -> dict[str, dict[str, float]]:
    """Figures of the judged groups, by Fairlearn's `MetricFrame`."""
    if not judged:
        return {}
    some = np.isin(groups, judged)
    left, members = churned[some].astype(int), groups[some]
    by_warning = MetricFrame(
        metrics={
            "selection_rate": selection_rate,
            "true_positive_rate": true_positive_rate,
            "false_positive_rate": false_positive_rate,
        },
        y_true=left,
        y_pred=warned[some].astype(int),
        sensitive_features=members,
    ).by_group
    by_outcome = MetricFrame(metrics=mean_prediction, y_true=left, y_pred=left, sensitive_features=members).by_group
    by_probability = MetricFrame(
        metrics=dict(_CALIBRATION), y_true=left, y_pred=probability[some], sensitive_features=members
    ).by_group
    found = {
        name: {
            "base_rate": float(by_outcome[name]),
            **{figure: float(by_warning.loc[name, figure]) for figure in WARNED},
            **{figure: float(by_probability.loc[name, figure]) for figure in _CALIBRATION},
        }
        for name in judged
    }
    for name in judged:
        stayers, leavers = np.bincount(left[members == name], minlength=2)
        if leavers < LEAST_OF_A_KIND:
            del found[name]["true_positive_rate"]
        if stayers < LEAST_OF_A_KIND:
            del found[name]["false_positive_rate"]
    return found


def _with_bounds(
    value: float,
    figure: str,
    churned: FloatArray,
    probability: FloatArray,
    warned: NDArray[np.bool_],
    bootstrap: Mapping[str, Any],
) -> Interval:
    if figure in _CALIBRATION:
        bounds = statistic_interval(_CALIBRATION[figure], churned, probability, **bootstrap)
    else:
        bounds = statistic_interval(share_of(figure), churned, warned.astype(float), **bootstrap)
    return Interval(value, bounds.low, bounds.high)


def _right_scores_error(probability: FloatArray, *, resamples: int, confidence: float, seed: int) -> Interval:
    return drawn_interval(perfect_calibration_errors(probability, resamples, seed), confidence)


def _differences(values: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    columns = {figure: [group[figure] for group in values.values() if figure in group] for figure in COMPARED}
    return {figure: float(np.ptp(column)) for figure, column in columns.items() if len(column) > 1}


def groups_of(users: pl.Series, attributes: pl.DataFrame, user_id: str, attribute: str) -> list[str]:
    """The group of each user (n,), `unknown` where `attributes` have no value."""
    table = pl.DataFrame({user_id: users}).join(
        attributes.select(user_id, attribute), on=user_id, how="left", maintain_order="left"
    )
    groups: list[str] = table[attribute].cast(pl.String).fill_null(UNKNOWN).to_list()
    return groups
