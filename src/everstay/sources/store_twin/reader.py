"""The best possible prediction from the store twin's log: each user's rate and hazard are inferred from the visits."""

from collections.abc import Callable
from dataclasses import replace
from itertools import product

import numpy as np
from scipy.stats import gamma

from everstay.sources.store_twin.intensity import BROWSING_PER_ORDER, Intensity
from everstay.sources.store_twin.random import FloatArray, IntArray
from everstay.sources.store_twin.users import HAZARD_SHAPE, MEAN_LEAVE_HAZARD, MEAN_PURCHASE_RATE, RATE_SHAPE, UserBlock

_RATES, _HAZARDS = 24, 12  # twice as many change the reader's ROC-AUC by less than .0002

Foretell = Callable[[Intensity, FloatArray], FloatArray]
"""Intensities of users, and each one's probability of still being active, to what is predicted for them."""


def read_visits(
    users: UserBlock,
    intensity: Intensity,
    visit_count: IntArray,
    last_visit_day: IntArray,
    day: int,
    foretell: Foretell,
) -> FloatArray:
    """Mean prediction over a grid of rates and hazards, weighted by the likelihood of the user's visits: (users,).

    The grid holds the medians of equally likely ranges of the distributions that users are drawn from. The reader knows
    these, the season, the campaigns and what coupons do to each user, but not the user's own rate and hazard.

    Args:
        users: (users,) whose `rate` and `hazard` are divided out again.
        intensity: of the same users.
        visit_count: (users,) visits before `day`.
        last_visit_day: (users,) day of the last one; -1: none.
        day: the as-of, in days since the clock's start.
        foretell: intensities and (users,) probability of being active -> (users,) probability.
    """
    usual = replace(
        intensity,
        order_rate=intensity.order_rate / users.rate[:, None],
        hazard=intensity.hazard / users.hazard[:, None],
    )
    pairs = list(
        product(_middles(RATE_SHAPE, MEAN_PURCHASE_RATE, _RATES), _middles(HAZARD_SHAPE, MEAN_LEAVE_HAZARD, _HAZARDS))
    )
    told, weights = np.zeros((2, len(pairs), len(visit_count)))
    until = np.arange(day) <= last_visit_day[:, None]
    visits, leaving = ((part[:, :day] * until).sum(axis=1) for part in (usual.order_rate, usual.hazard))
    for place, (rate, hazard) in enumerate(pairs):
        imagined = replace(usual, order_rate=usual.order_rate * rate, hazard=usual.hazard * hazard)
        left, active = imagined.silence_since(day, last_visit_day)
        told[place] = foretell(imagined, active / (left + active))
        weights[place] = (
            visit_count * np.log(rate)
            - (1 + BROWSING_PER_ORDER) * rate * visits
            - hazard * leaving
            + np.log(left + active)
        )
    weights = np.exp(weights - weights.max(axis=0))
    return np.asarray((told * weights).sum(axis=0) / weights.sum(axis=0))


def _middles(shape: float, mean: float, count: int) -> FloatArray:
    """Medians (count,) of equally likely ranges of a gamma distribution."""
    return np.asarray(gamma.ppf((np.arange(count) + 0.5) / count, shape, scale=mean / shape))
