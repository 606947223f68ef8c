"""Who bought in which period, by what was known at the end of each: returns and late records change the past later."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from everstay import tables as t
from everstay.features import net_purchases
from everstay.features.slices import known_before
from everstay.retention.periods import Periods

BoolArray = NDArray[np.bool_]
Cells = tuple[NDArray[np.int64], NDArray[np.int64]]

_ORDER = [t.USER_ID, t.ORDER_ID]
_USER, _IS_RETURNED = "user", "is_returned"


@dataclass(frozen=True)
class KnownPurchases:
    """Net purchases of U users in P periods.

    Attributes:
        now: by what is known now, (U, P).
        settled: the part that was known when its period ended and of which nothing was ever returned, (U, P).
        unsettled: per period, users and periods of the other purchases that were net of what was known at its end.
    """

    now: BoolArray
    settled: BoolArray
    unsettled: tuple[Cells, ...]

    def at(self, origin: int) -> BoolArray:
        """By what was known when `origin` periods had passed, (U, origin)."""
        known = self.settled[:, :origin].copy()
        known[self.unsettled[origin - 1]] = True
        return known

    def when_over(self) -> BoolArray:
        """Each period by what was known at its end, (U, P)."""
        seen = self.settled.copy()
        for last, (users, periods) in enumerate(self.unsettled):
            seen[users[periods == last], last] = True
        return seen


def known_purchases(events: pl.DataFrame, periods: Periods) -> KnownPurchases:
    """Read the purchases of one bucket as they were known at the end of each period, and as they are known now.

    Args:
        events: known now: the columns that `net_purchases` needs, and `RECORDED_AT`.
        periods: whole ones; purchases after the last are left out.
    """
    orders = events.filter(pl.col(t.EVENT_TYPE).is_in([t.PURCHASE, t.RETURN])).with_columns(
        (pl.col(t.USER_ID).rank("dense").cast(pl.Int64) - 1).alias(_USER)
    )
    settled, unsettled = _divided(orders, periods)
    bought = np.zeros((orders[t.USER_ID].n_unique(), periods.count), dtype=np.bool_)
    bought[_cells(settled, periods)] = True
    now = bought.copy()
    now[_cells(net_purchases(unsettled), periods)] = True
    return KnownPurchases(now, bought, tuple(_as_known(unsettled, periods)))


def _divided(orders: pl.DataFrame, periods: Periods) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Purchases that look alike from every later period, and all else: late ones, returns and what they are of."""
    is_return = pl.col(t.EVENT_TYPE) == t.RETURN
    returned = orders.filter(is_return).select(_ORDER).drop_nulls().unique()
    marked = orders.join(
        returned.with_columns(pl.lit(True).alias(_IS_RETURNED)), on=_ORDER, how="left", maintain_order="left"
    )
    is_late = pl.Series(periods.numbers(orders[t.RECORDED_AT]) > periods.numbers(orders[t.OCCURRED_AT]))
    is_unsettled = marked[_IS_RETURNED].fill_null(False) | is_late
    return orders.filter(~is_unsettled, ~is_return), orders.filter(is_unsettled)


def _as_known(unsettled: pl.DataFrame, periods: Periods) -> Iterator[Cells]:
    """Of each period the net purchases known at its end; most shops' buckets have few unsettled ones."""
    for origin in range(1, periods.count + 1):
        known = unsettled.filter(known_before(periods.start(origin)))
        yield _cells(net_purchases(known) if len(known) else known, periods)


def _cells(purchases: pl.DataFrame, periods: Periods) -> Cells:
    inside = purchases.filter(pl.col(t.OCCURRED_AT) < periods.end)
    return inside[_USER].to_numpy(), periods.numbers(inside[t.OCCURRED_AT])
