"""The store twin's visits: who comes when, to buy or only to look around."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from everstay import tables as t
from everstay.settings import StoreTwinSource
from everstay.sources.store_twin.intensity import BROWSING_PER_ORDER, Intensity
from everstay.sources.store_twin.random import BoolArray, IntArray, Stream, generator
from everstay.sources.store_twin.users import DAY, UserBlock

_HOUR = DAY // 24


@dataclass(frozen=True)
class Visits:
    """Visits of a block, in order of user and time. Shapes: (visits,).

    Attributes:
        user: index into the block.
        start: microseconds since the clock's start.
        is_order: ends with an order; the others only look around.
        is_app: in the app, not on the web.
        number: of the visit within the user, from 0; names the session, and the order where there is one.
    """

    user: IntArray
    start: IntArray
    is_order: BoolArray
    is_app: BoolArray
    number: IntArray

    @property
    def day(self) -> IntArray:
        """Days since the clock's start."""
        return self.start // DAY

    def events(self, visit: IntArray, event_type: str, at: IntArray) -> pl.DataFrame:
        """One event per index in `visit`; ids are still indices and times microseconds."""
        columns = {
            t.USER_ID: self.user[visit],
            t.OCCURRED_AT: at,
            t.SESSION_ID: self.number[visit],
            t.PLATFORM: pl.Series(["web", "app"]).gather(self.is_app[visit].astype(np.int64)),
        }
        return pl.DataFrame(columns).with_columns(pl.lit(event_type).alias(t.EVENT_TYPE))


def draw_visits(settings: StoreTwinSource, block: int, users: UserBlock, intensity: Intensity) -> Visits:
    """Orders, and visits without one, as two Poisson processes that share season, coupons and leaving."""
    rng = generator(settings, Stream.VISITS, block)
    rate = intensity.active_order_rate()
    orders = _flat_users_and_days(rng.poisson(rate))
    browsing = _flat_users_and_days(rng.poisson(rate * BROWSING_PER_ORDER))
    user, day = np.hstack([orders, browsing])
    is_order = np.arange(len(user)) < orders.shape[1]
    hour = np.where(rng.random(len(user)) < 0.4, rng.normal(12.5, 2, len(user)), rng.normal(19.5, 1.8, len(user)))
    start = day * DAY + (np.clip(hour, 6, 23) * _HOUR + rng.integers(_HOUR // 2, size=len(user))).astype(np.int64)
    order = np.lexsort((start, user))
    user = user[order]
    is_app = rng.random(len(user)) < users.app_share[user]
    return Visits(user, start[order], is_order[order], is_app, number_within(user))


def _flat_users_and_days(counts: IntArray) -> IntArray:
    """(2, events) user and day of each event, from (users, days) counts."""
    index = np.repeat(np.arange(counts.size), counts.ravel())
    return np.stack(np.divmod(index, counts.shape[1]))


def number_within(group: IntArray) -> IntArray:
    """Number of each element within its run of equal values, from 0.

    >>> number_within(np.array([4, 4, 7, 9, 9, 9])).tolist()
    [0, 1, 0, 0, 1, 2]
    """
    return np.arange(len(group)) - first_within(group)


def first_within(group: IntArray) -> IntArray:
    """Index of the first element of each element's run of equal values."""
    starts = np.flatnonzero(np.diff(group, prepend=-1))
    return np.repeat(starts, np.diff(starts, append=len(group)))
