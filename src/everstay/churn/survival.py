"""Survival curves: the chance that a user has not ordered by a day, from those at the label window's quarters.

Within a quarter the hazard is constant; after the window it stays that of the last quarter. The curve passes
through the calibrated probability of churning at the window's end: every hazard of a user is scaled by one factor.
Shapes: N users, Q quarters, D days.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

_LEAST = 1e-9


def silence_curve(
    quarters: FloatArray, churning: FloatArray, horizon_days: int, days: Sequence[float] | FloatArray
) -> FloatArray:
    """Chance of no order before each day, (N, D), decreasing from 1 on day 0.

    Args:
        quarters: (N, Q) chance of silence until the end of each equal part of the window, decreasing.
        churning: (N,) calibrated chance of silence in all of it.
        horizon_days: length of the window.
        days: after its start, not negative.

    >>> silence_curve(np.array([[0.5, 0.25]]), np.array([0.25]), 20, [0, 10, 20, 30]).round(4).tolist()
    [[1.0, 0.5, 0.25, 0.125]]
    """
    falls = -np.diff(np.log(np.clip(quarters, _LEAST, 1 - _LEAST)), axis=1, prepend=0.0)
    falls = np.maximum(falls, _LEAST)
    falls *= (-np.log(np.clip(churning, _LEAST, 1 - _LEAST)) / falls.sum(axis=1))[:, None]
    count = quarters.shape[1]
    spent = np.asarray(days, dtype=np.float64) / (horizon_days / count)  # in quarters
    parts = np.clip(spent[:, None] - np.arange(count), 0.0, 1.0)
    parts[:, -1] += np.maximum(spent - count, 0.0)
    return np.exp(-falls @ parts.T)


def usual_silence_days(
    quarters: FloatArray, churning: FloatArray, horizon_days: int, chance: float = 0.5
) -> FloatArray:
    """The day by which a user has ordered again with the given chance, (N,): by default the median.

    >>> usual_silence_days(np.array([[0.5, 0.25]]), np.array([0.25]), 20).round(6).tolist()
    [10.0]
    """
    count = quarters.shape[1]
    ends = horizon_days / count * np.arange(count + 1)
    logs = np.log(silence_curve(quarters, churning, horizon_days, ends))
    goal = np.log1p(-chance)
    step = np.clip((logs[:, 1:] > goal).sum(axis=1), 0, count - 1)
    rows = np.arange(len(quarters))
    slope = logs[rows, step + 1] - logs[rows, step]
    return ends[step] + (goal - logs[rows, step]) / slope * (horizon_days / count)
