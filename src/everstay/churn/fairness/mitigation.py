"""Evening out: warn about the same share of every group instead of the riskiest of all, and what that costs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from everstay.metrics.comparison import Interval, statistic_interval

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


def riskiest(risk: FloatArray, share: float) -> BoolArray:
    """Who is in the riskiest share, (n,); ties go to the first.

    Args:
        risk: (n,) that the list is ordered by: probability of leaving, or value at risk.
        share: of users.

    >>> riskiest(np.array([0.1, 0.9, 0.5, 0.2]), 0.5).tolist()
    [False, True, True, False]
    """
    chosen = np.zeros(len(risk), bool)
    chosen[np.argsort(-risk, kind="stable")[: round(share * len(risk))]] = True
    return chosen


def riskiest_of_each(risk: FloatArray, groups: Sequence[str], share: float) -> BoolArray:
    """Who is in the riskiest share of their group, (n,): a threshold per group.

    >>> riskiest_of_each(np.array([0.1, 0.9, 0.5, 0.8]), ["a", "b", "a", "b"], 0.5).tolist()
    [False, True, True, False]
    """
    names, chosen = np.asarray(groups, dtype=str), np.zeros(len(risk), bool)
    for name in np.unique(names):
        members = np.flatnonzero(names == name)
        chosen[members[riskiest(risk[members], share)]] = True
    return chosen


@dataclass(frozen=True)
class Price:
    """What evening out an attribute costs.

    Attributes:
        attribute: column of `users`.
        found: share of the leavers that are warned about, if the list is the riskiest of all.
        found_even: the same, if it is the riskiest of each group.
        difference: `found_even` minus `found`, with its interval over users.
    """

    attribute: str
    found: float
    found_even: float
    difference: Interval


def mitigation_price(
    attribute: str, groups: Sequence[str], churned: FloatArray, risk: FloatArray, share: float, **bootstrap: Any
) -> Price:
    """Leavers found with and without evening out, on the same users; warnings are decided once, before resampling.

    Args:
        attribute: its name.
        groups: (n,) the group of each user.
        churned: (n,) outcomes.
        risk: (n,) what the list is ordered by.
        share: of users that are warned about.
        bootstrap: resamples, confidence and seed.
    """
    plain, even = riskiest(risk, share), riskiest_of_each(risk, groups, share)

    def gained(y: ArrayLike, change: ArrayLike, weights: ArrayLike | None = None) -> FloatArray:
        left = np.asarray(y, dtype=np.float64)
        weight = np.ones(len(left)) if weights is None else np.asarray(weights, dtype=np.float64)
        leavers = weight @ left
        top = weight @ (left * np.asarray(change))
        return np.divide(top, leavers, out=np.full_like(np.asarray(leavers), np.nan), where=leavers > 0)

    change = even.astype(float) - plain.astype(float)
    found = [float((churned * chosen).sum() / max(churned.sum(), 1)) for chosen in (plain, even)]
    return Price(attribute, found[0], found[1], statistic_interval(gained, churned, change, **bootstrap))
