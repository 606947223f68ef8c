"""Prediction intervals of a future share of users: individual chance, and shocks common to all of them.

Given each user's chance, the number of N who buy is Poisson-binomial; it is approximated by the binomial of the same
mean and variance. In addition, all chances of a period move together (a holiday, drift, model error): a shock on the
logit, whose size is learned from past forecasts that have come due; t-distributed, because these are few.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit
from scipy.stats import binom, t

FloatArray = NDArray[np.float64]

_POINTS = (np.arange(41) + 0.5) / 41  # of the shock's distribution, equally likely
_SIZES = np.linspace(0.01, 1.5, 150)
_EDGE = 1e-9


@dataclass(frozen=True)
class Expected:
    """What is expected of groups of users, (g,) each.

    Attributes:
        users: in the group.
        mean: expected number of them that buy: the sum of their chances.
        variance: of that number when every user decides alone: the sum of chance × (1 - chance).
    """

    users: FloatArray
    mean: FloatArray
    variance: FloatArray


@dataclass(frozen=True)
class Shock:
    """A shock common to all users of a group, on the logit.

    Attributes:
        size: scale of the t-distribution.
        freedom: its degrees of freedom.
    """

    size: float
    freedom: int


UNKNOWN_SHOCK = Shock(size=0.2, freedom=2)
"""Before anything came due: a share of 50% may as well be 36% or 64%, once in ten times further off."""


def learn_shock(due: Expected, bought: FloatArray, origins: int) -> Shock:
    """Maximum-likelihood size, widened because it is estimated from few origins.

    Args:
        due: forecasts that have come due.
        bought: users who did buy, (g,).
        origins: distinct origins of these forecasts: the number of shocks that were observed.
    """
    if origins < 2:
        return UNKNOWN_SHOCK
    slope = np.maximum(due.mean * (1 - due.mean / due.users), _EDGE)  # users per unit of logit
    error, own = ((bought - due.mean) / slope)[:, None], (due.variance / slope**2)[:, None]
    total = own + _SIZES**2
    loss = (np.log(total) + error**2 / total).sum(axis=0)
    return Shock(float(_SIZES[loss.argmin()] * np.sqrt(1 + 1 / origins)), origins)


def share_bounds(expected: Expected, shock: Shock, confidence: float) -> tuple[FloatArray, FloatArray]:
    """Bounds of the share that buys, (g,) each: equal tails by the mid-distribution; whole users would widen them."""
    logits = shock.size * t.ppf(_POINTS, shock.freedom)
    groups = zip(expected.users, expected.mean, expected.variance, strict=True)
    bounds = [_bounds(*group, logits, confidence) for group in groups]
    low, high = np.array(bounds, dtype=np.float64).reshape(-1, 2).T
    return low, high


def _bounds(users: float, mean: float, variance: float, logits: FloatArray, confidence: float) -> tuple[float, float]:
    trials = int(np.clip(round(mean / max(1 - variance / max(mean, _EDGE), _EDGE)), 1, users))
    chances = expit(logit(np.clip(mean / users, _EDGE, 1 - _EDGE)) + logits)
    counts = np.arange(trials + 1)
    mass = binom.pmf(counts[:, None], trials, np.clip(chances * users / trials, 0, 1)).mean(axis=1)
    middle = np.cumsum(mass) - mass / 2
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    low, high = np.interp(tails, middle, counts) / users
    return float(low), float(high)
