"""Orders of a bucket as they become known: what an order holds, and when, while its lines trickle in.

An order lies where its first line is. When a line is recorded later than the others, the order's sums and perhaps its
time change from that day on; the order is then one row for every such day, each valid until the next.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from everstay import tables as t
from everstay.features.kernels import DAY, Days, Ints
from everstay.features.ledger import Ledger

PURCHASED = t.EVENT_TYPES.index(t.PURCHASE)

_SUMS = ("spend", "discount", "items")
_ORDER = ("user", "order", "order_day")


@dataclass(frozen=True)
class OrderRows:
    """Order rows of U users, O in all, sorted by user and time.

    Attributes:
        starts: (U + 1,) a user's rows are `starts[u]:starts[u + 1]`.
        moment: (O,) microseconds since 1970.
        day: (O,) of the calendar.
        begin: (O,) first day on which the row is valid.
        end: (O,) first day on which it no longer is.
        spend: (O,) ten-thousandths of the currency.
        discount: (O,) ten-thousandths of the currency.
        items: (O,) pieces.
    """

    starts: Ints
    moment: Ints
    day: Days
    begin: Days
    end: Days
    spend: Ints
    discount: Ints
    items: Ints

    @property
    def one(self) -> Ints:
        """(O,) ones: summed up they count orders."""
        return np.ones(len(self.day), np.int64)

    @property
    def is_weekend(self) -> Ints:
        """(O,) 1 for Saturday and Sunday (UTC)."""
        return (self.weekday >= 5).astype(np.int64)

    @property
    def is_discounted(self) -> Ints:
        """(O,) 1 where anything was taken off."""
        return (self.discount > 0).astype(np.int64)

    @property
    def weekday(self) -> Days:
        """(O,) from 0 (Monday) to 6, UTC; 1970-01-01 was a Thursday."""
        return ((self.moment // DAY + 3) % 7).astype(np.int32)

    @property
    def time_of_day(self) -> Ints:
        """(O,) microseconds since midnight UTC."""
        return self.moment % DAY

    @property
    def kind(self) -> NDArray[np.int8]:
        """(O,) all of one kind."""
        return np.zeros(len(self.day), np.int8)


def order_rows(ledger: Ledger) -> OrderRows:
    """Gather the purchase lines of a bucket; without an order id, a user's purchases of one UTC day are one order."""
    lines = _lines(ledger)
    known = lines.group_by(*_ORDER, "begin").agg(pl.min("moment"), pl.col(_SUMS).sum()).sort(*_ORDER, "begin")
    if known.height > known.select(pl.struct(_ORDER).n_unique()).item():
        growing = [pl.col("moment").cum_min().over(_ORDER), pl.col(_SUMS).cum_sum().over(_ORDER)]
        known = known.with_columns(pl.col("begin").shift(-1).over(_ORDER).alias("end"), *growing)
    else:
        known = known.with_columns(pl.lit(None, pl.Int32).alias("end"))
    rows = known.with_columns(pl.col("end").fill_null(ledger.calendar.never)).sort("user", "moment")
    user, moment = rows["user"].to_numpy(), rows["moment"].to_numpy()
    starts = np.searchsorted(user, np.arange(len(ledger.users) + 1)).astype(np.int64)
    day = (moment // DAY - ledger.calendar.first_day).astype(np.int32)
    return OrderRows(starts, moment, day, *(rows[name].to_numpy() for name in ("begin", "end", *_SUMS)))


def _lines(ledger: Ledger) -> pl.DataFrame:
    chosen = np.flatnonzero(ledger.kind == PURCHASED)
    order = ledger.codes(t.ORDER_ID)[0][chosen]
    user = np.searchsorted(ledger.starts, chosen, side="right") - 1
    return pl.DataFrame(
        {
            "user": user,
            "order": order,
            "order_day": np.where(order < 0, ledger.day[chosen], -1),
            "begin": ledger.begin[chosen],
            "moment": ledger.moment[chosen],
            "spend": ledger.money(t.AMOUNT, chosen),
            "discount": ledger.money(t.DISCOUNT, chosen),
            "items": ledger.numbers(t.QUANTITY)[chosen].astype(np.int64),
        }
    )
