"""How often users come: active in a day, a week and four weeks, and how soon a first order is followed by a second.

Counts of one user bucket, which add up over buckets.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from everstay import tables as t

IntArray = NDArray[np.int64]

WINDOWS = (1, 7, 28)
"""Days: active today, within a week, within four."""


@dataclass(frozen=True)
class Rhythm:
    """Counts by day.

    Attributes:
        active: users with an event of their own in the 1, 7 and 28 days that end with each day, (days, 3).
        repeated: users whose second order day came so many days after the first, (days,).
        waiting: users without one, by days since the first, (days,).
    """

    active: IntArray
    repeated: IntArray
    waiting: IntArray

    def __add__(self, other: "Rhythm") -> "Rhythm":
        return Rhythm(self.active + other.active, self.repeated + other.repeated, self.waiting + other.waiting)


def rhythm(events: pl.DataFrame, purchases: pl.DataFrame, first_day: datetime, as_of: datetime) -> Rhythm:
    """Count the users of one bucket.

    Args:
        events: known before the as-of; messages sent to users do not count as activity.
        purchases: the net purchases among them.
        first_day: midnight before the first event.
        as_of: a midnight; the last day is the one before.
    """
    days = (as_of - first_day) // timedelta(days=1)
    own = events.filter(pl.col(t.EVENT_TYPE) != t.MESSAGE_SENT)
    return Rhythm(_active(_user_days(own, first_day), days), *_second_orders(_user_days(purchases, first_day), days))


def _user_days(events: pl.DataFrame, first_day: datetime) -> pl.DataFrame:
    """Distinct days of every user as numbers from 0, sorted."""
    day = (pl.col(t.OCCURRED_AT) - first_day).dt.total_days().alias("day")
    return events.select(t.USER_ID, day).unique().sort(t.USER_ID, "day")


def _active(user_days: pl.DataFrame, days: int) -> IntArray:
    """A day with an event makes a user active until the window has passed or the next such day comes."""
    gap = (pl.col("day").shift(-1).over(t.USER_ID) - pl.col("day")).fill_null(max(WINDOWS))
    table = user_days.with_columns(gap.alias("gap"))
    day, until_next = table["day"].to_numpy(), table["gap"].to_numpy()
    counts = np.zeros((days, len(WINDOWS)), dtype=np.int64)
    for column, window in enumerate(WINDOWS):
        begins = np.bincount(day, minlength=days + 1)
        ends = np.bincount(np.minimum(day + np.minimum(window, until_next), days), minlength=days + 1)
        counts[:, column] = np.cumsum(begins - ends)[:days]
    return counts


def _second_orders(order_days: pl.DataFrame, days: int) -> tuple[IntArray, IntArray]:
    firsts = order_days.group_by(t.USER_ID, maintain_order=True).agg(
        pl.col("day").first().alias("first"), pl.col("day").get(1, null_on_oob=True).alias("second")
    )
    came, waits = firsts.filter(pl.col("second").is_not_null()), firsts.filter(pl.col("second").is_null())
    repeated = np.bincount((came["second"] - came["first"]).to_numpy(), minlength=days)
    return repeated, np.bincount((days - 1 - waits["first"]).to_numpy(), minlength=days)


def stickiness(active: IntArray) -> NDArray[np.float64]:
    """Mean daily over weekly, daily over monthly and weekly over monthly active users, by whole weeks, (weeks, 3).

    Weeks are counted back from the last day; NaN before the first four have passed, because a month is not over then.

    Args:
        active: of `Rhythm`, (days, 3).
    """
    weeks = len(active) // 7
    mean = active[len(active) - 7 * weeks :].reshape(weeks, 7, 3).mean(axis=1)
    daily, weekly, monthly = mean.T
    with np.errstate(invalid="ignore", divide="ignore"):
        ratios = np.stack([daily / weekly, daily / monthly, weekly / monthly], axis=1)
    begins = len(active) - 7 * weeks + 7 * np.arange(weeks)
    ratios[begins < max(WINDOWS) - 1] = np.nan
    return ratios
