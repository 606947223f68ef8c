"""Plots of the quality of churn probabilities, as standalone figures without pyplot's global state."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

_BINS = 10
_SIZE = (5.0, 4.0)  # inches


def draw_all(churned: FloatArray, probability: FloatArray) -> Mapping[str, Figure]:
    """The four figures of outcomes (n,) and probabilities (n,), by file name."""
    return {
        "calibration.png": draw_calibration(churned, probability),
        "lift.png": draw_lift(churned, probability),
        "roc.png": draw_roc(churned, probability),
        "precision_recall.png": draw_precision_recall(churned, probability),
    }


def draw_calibration(churned: FloatArray, probability: FloatArray) -> Figure:
    """Share that left against mean probability, in tenths of equal size."""
    parts = np.array_split(np.argsort(probability, kind="stable"), min(_BINS, len(probability)))
    predicted = [probability[part].mean() for part in parts]
    observed = [churned[part].mean() for part in parts]
    figure, axes = _axes("Calibration", "predicted probability (decile mean)", "share that left")
    top = 1.05 * max(*predicted, *observed, 1e-6)
    axes.plot([0, top], [0, top], color="grey", linestyle="--", label="perfect")
    axes.plot(predicted, observed, marker="o", label="model")
    axes.legend()
    return figure


def draw_lift(churned: FloatArray, probability: FloatArray) -> Figure:
    """How many times more leavers the riskiest share of users contains than a random share."""
    share, found, _ = _thresholds(churned, probability)
    figure, axes = _axes("Lift", "riskiest share of users", "lift over a random sample")
    axes.plot(share, found / share)
    axes.axhline(1.0, color="grey", linestyle="--")
    return figure


def draw_roc(churned: FloatArray, probability: FloatArray) -> Figure:
    """Share of leavers found against share of stayers contacted, at every threshold."""
    _, found, disturbed = _thresholds(churned, probability)
    figure, axes = _axes("ROC", "share of stayers above the threshold", "share of leavers above the threshold")
    axes.plot(np.append(0.0, disturbed), np.append(0.0, found))
    axes.plot([0, 1], [0, 1], color="grey", linestyle="--")
    return figure


def draw_precision_recall(churned: FloatArray, probability: FloatArray) -> Figure:
    """Share of leavers among those above the threshold, against the share of leavers found."""
    share, found, _ = _thresholds(churned, probability)
    prevalence = churned.mean()
    figure, axes = _axes("Precision and recall", "recall", "precision")
    axes.plot(found, found * prevalence / share)
    axes.axhline(prevalence, color="grey", linestyle="--", label="prevalence")
    axes.legend()
    return figure


def _thresholds(churned: FloatArray, probability: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """At every distinct probability, highest first: shares of users, leavers and stayers at or above it."""
    order = np.argsort(-probability, kind="stable")
    is_last = np.append(np.diff(probability[order]) != 0, True)
    left, stayed = np.cumsum(churned[order])[is_last], np.cumsum(1 - churned[order])[is_last]
    return (left + stayed) / len(churned), left / max(left[-1], 1), stayed / max(stayed[-1], 1)


def _axes(title: str, x: str, y: str):  # type: ignore[no-untyped-def]  # Axes has no public type in matplotlib's stubs
    figure = Figure(figsize=_SIZE, layout="constrained")
    axes = figure.add_subplot()
    axes.set(title=title, xlabel=x, ylabel=y)
    return figure, axes
