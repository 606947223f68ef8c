"""One bucket's events as arrays that the kernels pass over once, whatever the number of as-ofs.

Shapes: N rows of U users, sorted by user and time; O order rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from everstay import tables as t
from everstay.features.kernels import DAY, Days, Ints, calendar_days

HOUR = 3_600_000_000  # microseconds
MINUTE = 60_000_000  # microseconds
MONEY = 10_000  # fixed-point units per unit of currency, for exact sums

_CODED = (t.USER_ID, t.ITEM_ID, t.EVENT_TYPE, t.ORDER_ID, t.SESSION_ID, t.CAMPAIGN_ID)


@dataclass(frozen=True)
class Calendar:
    """Days from the first event on, and the as-ofs among them.

    Attributes:
        first_day: since 1970.
        table: (D,) number of the first as-of on a day or after it; as many days as any window can reach.
        as_ofs: ascending midnights.
    """

    first_day: int
    table: Days
    as_ofs: tuple[datetime, ...]

    @classmethod
    def of(cls, days: Ints, as_ofs: Sequence[datetime], longest_window: int) -> "Calendar":
        """Span the first and last of `days` since 1970, their windows and the as-ofs.

        Raises:
            ValueError: an as-of is no midnight UTC.
        """
        moments = [round(as_of.timestamp() * 1_000_000) for as_of in as_ofs]
        if any(moment % DAY for moment in moments):
            raise ValueError("as-ofs must be midnights UTC, for windows are whole days")
        numbers = np.array([moment // DAY for moment in moments], np.int64)
        first = int(min(days.min(initial=numbers[0]), numbers[0]))
        last = int(max(days.max(initial=numbers[-1]), numbers[-1])) + longest_window + 2
        table = np.searchsorted(numbers, np.arange(first, last + 1), side="left").astype(np.int32)
        return cls(first, table, tuple(as_ofs))

    @property
    def never(self) -> int:
        """The sentinel day: after every as-of."""
        return len(self.table) - 1


@dataclass(frozen=True)
class Ledger:
    """Events of one bucket.

    Attributes:
        rows: columns of `tables.EVENTS`; ids and types are dictionary-encoded, users' codes ascend.
        calendar: of its days.
    """

    rows: pa.Table
    calendar: Calendar

    @classmethod
    def of(cls, events: pa.Table | pl.DataFrame, as_ofs: Sequence[datetime], longest_window: int) -> "Ledger":
        """Take an encoded table as it is, or encode and sort a frame whose rows are in any order."""
        rows = (code_events(events) if isinstance(events, pl.DataFrame) else events).combine_chunks()
        times = [_moments(rows, name) for name in (t.OCCURRED_AT, t.RECORDED_AT) if len(rows)]
        days = [times[0].min() // DAY, max(time.max() for time in times) // DAY + 1] if times else []
        return cls(rows, Calendar.of(np.array(days, np.int64), as_ofs, longest_window))

    @cached_property
    def starts(self) -> Ints:
        """(U + 1,) a user's rows are `starts[u]:starts[u + 1]`."""
        return run_starts(self.codes(t.USER_ID)[0])

    @cached_property
    def users(self) -> pl.Series:
        """(U,) user ids, ascending."""
        codes, names = self.codes(t.USER_ID)
        return names[codes[self.starts[:-1]]].alias(t.USER_ID)

    @cached_property
    def moment(self) -> Ints:
        """(N,) microseconds since 1970 at which it happened."""
        return _moments(self.rows, t.OCCURRED_AT)

    @cached_property
    def day(self) -> Days:
        """(N,) day of the calendar on which it happened."""
        return self._days[0]

    @cached_property
    def begin(self) -> Days:
        """(N,) first day of the calendar on whose midnight it is known."""
        return self._days[1]

    @cached_property
    def _days(self) -> tuple[Days, Days]:
        return calendar_days(self.moment, _moments(self.rows, t.RECORDED_AT), self.calendar.first_day)

    @cached_property
    def kind(self) -> NDArray[np.int8]:
        """(N,) index of the event type in `tables.EVENT_TYPES`; -1 for any other."""
        codes, names = self.codes(t.EVENT_TYPE)
        place = {name: number for number, name in enumerate(t.EVENT_TYPES)}
        table = np.array([*(place.get(name, -1) for name in names), -1], np.int8)
        return table[codes]

    @cached_property
    def stars(self) -> Ints:
        """(N,) ratings in the same fixed-point units as money; 0 without one."""
        return np.rint(np.nan_to_num(self.numbers(t.RATING).astype(np.float64)) * MONEY).astype(np.int64)

    def codes(self, column: str) -> tuple[Days, pl.Series]:
        """(N,) codes of a dictionary column, -1 where null, and the values that they stand for."""
        coded = _chunk(self.rows[column])
        indices = coded.indices.cast(pa.int32())
        codes = (indices.fill_null(-1) if coded.null_count else indices).to_numpy()
        return codes, pl.Series(pl.from_arrow(coded.dictionary))

    def numbers(self, column: str) -> NDArray[np.generic]:
        """(N,) values of a number column; NaN where null."""
        return _chunk(self.rows[column]).to_numpy(zero_copy_only=False)

    def money(self, column: str, rows: Ints | None = None) -> Ints:
        """Ten-thousandths of the currency, in which sums are exact, of some rows or of all (N,)."""
        values = self.numbers(column)
        chosen = values if rows is None else values[rows]
        return np.rint(chosen.astype(np.float64) * MONEY).astype(np.int64)


def code_events(events: pl.DataFrame) -> pa.Table:
    """Sort events by user and time, and dictionary-encode ids and types; users' codes ascend."""
    order = [name for name in (t.USER_ID, t.OCCURRED_AT, t.EVENT_ID) if name in events.columns]
    events = events.sort(order)
    coded = [name for name in _CODED if name in events.columns]
    enums = {name: pl.Enum(events[name].drop_nulls().unique().sort()) for name in coded}
    return events.cast(enums).to_arrow(compat_level=pl.CompatLevel.oldest())  # type: ignore[arg-type]


def run_starts(values: NDArray[np.integer]) -> Ints:
    """Where runs of equal values begin, and the length at the end.

    >>> run_starts(np.array([4, 4, 7, 9, 9])).tolist()
    [0, 2, 3, 5]
    """
    changes = np.flatnonzero(np.diff(values)) + 1
    ends = [len(values)] if len(values) else []
    return np.concatenate([[0], changes, ends]).astype(np.int64)


def _moments(rows: pa.Table, column: str) -> Ints:
    return _chunk(rows[column]).cast(pa.timestamp("us", "UTC")).view(pa.int64()).to_numpy()


def _chunk(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
