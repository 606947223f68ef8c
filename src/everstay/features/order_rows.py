"""Orders of a bucket as they become known: sums and time of an order as its lines arrive.

An order is dated by its first line. When a line is recorded later than the others, the order's sums and perhaps its
time change from that day on; the order then has one row per such day, each valid until the next.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from everstay import tables as t
from everstay.features.kernels import DAY, Days, Ints
from everstay.features.ledger import Ledger, run_starts
from everstay.features.order_kernels import add_up, earliest, number_orders

PURCHASED = t.EVENT_TYPES.index(t.PURCHASE)


@dataclass(frozen=True)
class OrderRows:
    """Order rows of U users, O in all, sorted by user and time.

    Attributes:
        ledger: of the bucket.
        lines: (L,) rows of the ledger that are purchases, those of one order row next to each other.
        first: (O,) where in `lines` those of an order row begin.
        number: (O,) of the order; a row of the same order as the row before includes that row's lines.
        place: (O,) permutation that sorts these rows by user and time.
        starts: (U + 1,) a user's rows are `starts[u]:starts[u + 1]`.
        moment: (O,) microseconds since 1970.
        begin: (O,) first day on which the row is valid.
        end: (O,) first day on which it no longer is.
    """

    ledger: Ledger
    lines: Ints
    first: Ints
    number: Ints
    place: Ints
    starts: Ints
    moment: Ints
    begin: Days
    end: Days

    @cached_property
    def day(self) -> Days:
        """(O,) of the calendar."""
        return (self.moment // DAY - self.ledger.calendar.first_day).astype(np.int32)

    @cached_property
    def spend(self) -> Ints:
        """(O,) ten-thousandths of the currency."""
        return self._sum(self.ledger.money(t.AMOUNT, self.lines))

    @cached_property
    def discount(self) -> Ints:
        """(O,) ten-thousandths of the currency."""
        return self._sum(self.ledger.money(t.DISCOUNT, self.lines))

    @cached_property
    def items(self) -> Ints:
        """(O,) pieces."""
        return self._sum(self.ledger.numbers(t.QUANTITY)[self.lines].astype(np.int64))

    @property
    def one(self) -> Ints:
        """(O,) ones: summed up they count orders."""
        return np.ones(len(self.moment), np.int64)

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
        return np.zeros(len(self.moment), np.int8)

    def _sum(self, values: Ints) -> Ints:
        """Sum of the values (L,) of the lines of each row: (O,)."""
        return add_up(np.add.reduceat(values, self.first), self.number)[self.place]


def order_rows(ledger: Ledger) -> OrderRows:
    """Gather the purchase lines of a bucket; without an order id, a user's purchases of one UTC day are one order."""
    order, names = ledger.codes(t.ORDER_ID)
    lines, user, number = number_orders(ledger.starts, ledger.kind == PURCHASED, order, len(names), ledger.day)
    never = ledger.calendar.never
    version = number * (never + 1) + ledger.begin[lines]
    if np.any(version[1:] < version[:-1]):
        sequence = np.argsort(version, kind="stable")
        lines, user, number, version = lines[sequence], user[sequence], number[sequence], version[sequence]
    first = run_starts(version)[:-1]
    user, number, begin = user[first], number[first], ledger.begin[lines[first]]
    moment = np.minimum.reduceat(ledger.moment[lines], first)
    end = np.full(len(first), never, np.int32)
    grows = number[1:] == number[:-1]
    place = np.arange(len(first))
    if grows.any():
        end[:-1][grows] = begin[1:][grows]
        moment = earliest(moment, number)
        place = np.lexsort((moment, user))
    starts = np.searchsorted(user, np.arange(len(ledger.users) + 1)).astype(np.int64)
    return OrderRows(ledger, lines, first, number, place, starts, moment[place], begin[place], end[place])
