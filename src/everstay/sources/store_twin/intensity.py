"""The store twin's intensities: how likely each user orders, and leaves, on each day."""

from dataclasses import dataclass

import numpy as np

from everstay.settings import StoreTwinSource
from everstay.sources.store_twin.random import FloatArray, IntArray
from everstay.sources.store_twin.users import CLOCK_START, UserBlock, campaign_days

WEEKDAY_FACTORS = (0.85, 0.85, 0.9, 0.95, 1.15, 1.3, 1.0)
"""Monday to Sunday."""

COUPON_DAYS = 14
"""A coupon is in effect on this many days, beginning with the day after the assignment."""

BROWSING_PER_ORDER = 1.2
"""Expected visits without an order, per order."""

NO_CAMPAIGN = -1
_YEARLY_SWING = 0.25
_PEAK_DAY_OF_YEAR = 340


@dataclass(frozen=True)
class Intensity:
    """What drives a block of users. Shapes: (users, days) unless said otherwise.

    Attributes:
        campaign: index of the campaign whose coupon is in effect, or `NO_CAMPAIGN`.
        order_rate: expected orders of an active user on the day; zero before the first day.
        hazard: of leaving at the beginning of the day; zero before the first day.
        leave_day: (users,) first day without the user; the number of days for those who stay to the clock's end.
    """

    campaign: IntArray
    order_rate: FloatArray
    hazard: FloatArray
    leave_day: IntArray

    def active_order_rate(self) -> FloatArray:
        """(users, days) expected orders, zero from the day the user leaves."""
        return self.order_rate * (np.arange(self.order_rate.shape[1]) < self.leave_day[:, None])

    def no_order_probability(self, day: int, gap_days: int, horizon_days: int, counted_share: float) -> FloatArray:
        """(users,) P(no counted order on the days `[day + gap, day + gap + horizon)`) of users active before `day`.

        Args:
            day: the as-of, in days since the clock's start.
            gap_days: days before orders count.
            horizon_days: days on which orders count.
            counted_share: of orders that count, at random.
        """
        window = slice(day, day + gap_days + horizon_days)
        counts = np.arange(gap_days + horizon_days) >= gap_days
        left, active = _silence(self.hazard[:, window], self.order_rate[:, window] * counted_share * counts)
        return left + active

    def active_probability(self, day: int, last_visit_day: IntArray) -> FloatArray:
        """(users,) P(not left before `day`), given that the last visit was on `last_visit_day` (-1: none yet)."""
        left, active = self.silence_since(day, last_visit_day)
        return active / (left + active)

    def silence_since(self, day: int, last_visit_day: IntArray) -> tuple[FloatArray, FloatArray]:
        """(users,) P(no visit between `last_visit_day` (-1: none yet) and `day`), having left by then and not."""
        since = np.arange(day) > last_visit_day[:, None]
        visit_rate = self.order_rate[:, :day] * (1 + BROWSING_PER_ORDER)
        return _silence(self.hazard[:, :day] * since, visit_rate * since)


def _silence(hazard: FloatArray, expected: FloatArray) -> tuple[FloatArray, FloatArray]:
    """P(nothing happens, and the user leaves on one of the days), and P(nothing happens, and the user stays).

    `sum_d prod_{j<d}(s_j q_j) (1 - s_d)` and `prod_j s_j q_j`, where s is the day's probability to stay and q that of
    no event.

    Args:
        hazard: (users, days) of leaving at the beginning of the day.
        expected: (users, days) expected events of an active user.
    """
    through = np.exp(-np.cumsum(hazard + expected, axis=1))
    through = np.hstack([np.ones((len(through), 1)), through])
    return (through[:, :-1] * -np.expm1(-hazard)).sum(axis=1), through[:, -1]


def season(days: int) -> FloatArray:
    """(days,) factors on the purchase rate: weekday times a yearly wave with its peak in early December.

    >>> season(7).round(2)
    array([1.23, 1.04, 1.04, 1.1 , 1.16, 1.4 , 1.58])
    """
    day = np.arange(days)
    weekday = np.array(WEEKDAY_FACTORS)[(day + CLOCK_START.weekday()) % 7]
    wave: FloatArray = 1 + _YEARLY_SWING * np.cos(2 * np.pi * (day - _PEAK_DAY_OF_YEAR) / 365.25)
    return weekday * wave


def compute_intensity(settings: StoreTwinSource, users: UserBlock) -> Intensity:
    """The block's intensities and, from the hazard and the user's patience, the day each user leaves."""
    day = np.arange(settings.days)
    campaign = np.full((len(users.number), settings.days), NO_CAMPAIGN, dtype=np.int64)
    for index, start in enumerate(campaign_days(settings)):
        campaign[:, start + 1 : start + 1 + COUPON_DAYS][users.is_treated[:, index]] = index
    has_coupon = campaign != NO_CAMPAIGN
    has_joined = day >= users.first_day[:, None]
    rate = users.rate[:, None] * season(settings.days) * np.where(has_coupon, users.rate_factor[:, None], 1)
    hazard = has_joined * users.hazard[:, None] * np.where(has_coupon, users.hazard_factor[:, None], 1)
    leave_day = (np.cumsum(hazard, axis=1) < users.patience[:, None]).sum(axis=1)
    return Intensity(campaign, rate * has_joined, hazard, leave_day)
