"""Warnings and outcomes: a published list of users compared with who left."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from everstay.metrics.classification import expected_calibration_error, roc_auc
from everstay.metrics.comparison import Interval, statistic_interval
from everstay.metrics.proportion import share_interval

Cell = tuple[int, float, int]
"""Users, the sum of their probabilities, and how many of them left."""

_CELLS = 1_000
_TENTHS = 10
_UNKNOWN = Interval(float("nan"), float("nan"), float("nan"))


@dataclass(frozen=True)
class WarnedGroup:
    """The users of the tiers from the top down to one.

    Attributes:
        users: in these tiers.
        left: number of them that left.
        expected: how many would leave, by the sum of the probabilities.
        precision: share of them that left, with its interval; NaN without users.
        recall: share of all who left that is among them, with its interval; None when nobody left.
        lift: precision over the share of all users that left; None when nobody left.
        lost_value: their share of the published value of all who left; None without values.
    """

    users: int
    left: int
    expected: float
    precision: Interval
    recall: Interval | None
    lift: float | None
    lost_value: float | None


@dataclass(frozen=True)
class Outcome:
    """Outcomes of the users of one publication.

    Attributes:
        groups: by name.
        roc_auc: of the probabilities; None where all or nobody left.
        calibration_error: expected calibration error.
        cells: users whose probabilities are the same in thousandths, ascending; calibration is drawn from them.
    """

    groups: dict[str, WarnedGroup]
    roc_auc: Interval | None
    calibration_error: Interval
    cells: tuple[Cell, ...]


def judge_warnings(
    probability: NDArray[np.float64],
    left: NDArray[np.bool_],
    tier: NDArray[np.str_],
    value: NDArray[np.float64],
    groups: Mapping[str, Collection[str]],
    *,
    resamples: int,
    confidence: float,
) -> Outcome:
    """Judge one publication.

    Args:
        probability: of leaving, (N,), N at least 1.
        left: who did, (N,).
        tier: of the list, (N,).
        value: of each user, as published, (N,); NaN where unknown.
        groups: name to tiers.
        resamples: of the intervals of `roc_auc` and `calibration_error`.
        confidence: of all intervals.
    """
    lost = np.where(left, np.nan_to_num(value), 0.0)
    options: dict[str, Any] = {"resamples": resamples, "confidence": confidence, "seed": 0}
    members = {name: np.isin(tier, list(tiers)) for name, tiers in groups.items()}
    return Outcome(
        {name: _group(who, probability, left, lost, confidence) for name, who in members.items()},
        statistic_interval(roc_auc, left, probability, **options) if 0 < left.sum() < len(left) else None,
        statistic_interval(expected_calibration_error, left, probability, **options),
        _cells(probability, left),
    )


def calibration_points(
    publications: Iterable[Collection[Cell]], confidence: float
) -> tuple[list[float], list[Interval]]:
    """Mean probability of tenths of all publications' users, and the share of each tenth that left.

    A cell lies in the tenth of its middle; tenths wholly inside a large cell are left out. The intervals count each row
    as another user's, so the label windows of the publications must not overlap.
    """
    cells = np.array([cell for cells in publications for cell in cells], dtype=np.float64)
    users, expected, left = cells[np.argsort(cells[:, 1] / cells[:, 0], kind="stable")].T
    middle = (np.cumsum(users) - users / 2) / users.sum()
    tenth = np.minimum((_TENTHS * middle).astype(np.int64), _TENTHS - 1)
    sums = [np.bincount(tenth, weights=column, minlength=_TENTHS) for column in (users, expected, left)]
    held = [(count, total, gone) for count, total, gone in zip(*sums, strict=True) if count]
    shares = [share_interval(round(gone), round(count), confidence) for count, _, gone in held]
    return [float(total / count) for count, total, _ in held], shares


def _group(
    members: NDArray[np.bool_],
    probability: NDArray[np.float64],
    left: NDArray[np.bool_],
    lost: NDArray[np.float64],
    confidence: float,
) -> WarnedGroup:
    users, gone, all_gone = int(members.sum()), int(left[members].sum()), int(left.sum())
    expected = float(probability[members].sum())
    if not users:
        return WarnedGroup(0, 0, expected, _UNKNOWN, None, None, None)
    precision = share_interval(gone, users, confidence)
    recall = share_interval(gone, all_gone, confidence) if all_gone else None
    lift = precision.value / (all_gone / len(left)) if all_gone else None
    lost_value = float(lost[members].sum() / lost.sum()) if lost.sum() else None
    return WarnedGroup(users, gone, expected, precision, recall, lift, lost_value)


def _cells(probability: NDArray[np.float64], left: NDArray[np.bool_]) -> tuple[Cell, ...]:
    cell = np.rint(probability * _CELLS).astype(np.int64)
    users, gone = np.bincount(cell), np.bincount(cell, weights=left)
    expected = np.bincount(cell, weights=probability)
    return tuple((int(users[n]), float(expected[n]), int(gone[n])) for n in np.flatnonzero(users))
