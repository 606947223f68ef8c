"""Calendar weeks (from Monday) or months, UTC: the columns of a cohort table. Only whole ones before the as-of."""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray

from everstay import tables as t
from everstay.errors import NotReady
from everstay.features import midnight_before
from everstay.settings import PeriodUnit

_EVERY: dict[PeriodUnit, str] = {"week": "w", "month": "mo"}
_LEAST = 3


@dataclass(frozen=True)
class Periods:
    """Consecutive periods, oldest first.

    Attributes:
        unit: of each.
        starts: of every period, and last the end of the newest: one more than there are periods.
    """

    unit: PeriodUnit
    starts: tuple[datetime, ...]

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.starts) - 1

    @property
    def end(self) -> datetime:
        """End of the newest."""
        return self.starts[-1]

    def start(self, number: int) -> datetime:
        """When a period begins, including future ones."""
        if number <= self.count:
            return self.starts[number]
        later = pl.Series([self.end], dtype=t.TIME).dt.offset_by(f"{number - self.count}{_EVERY[self.unit]}")
        found: datetime = later[0]
        return found

    def name(self, number: int) -> str:
        """The month, or the week's Monday, as people write it."""
        return f"{self.start(number):%Y-%m}" if self.unit == "month" else f"{self.start(number):%Y-%m-%d}"

    def numbers(self, moments: pl.Series) -> NDArray[np.int64]:
        """Index of the period of each moment before the end, from 0; what came before the first belongs to it."""
        edges = pl.Series(self.starts, dtype=t.TIME)
        return np.maximum(edges.search_sorted(moments, side="right").to_numpy().astype(np.int64) - 1, 0)


def whole_periods(first_event_at: datetime, as_of: datetime, unit: PeriodUnit) -> Periods:
    """The periods that lie wholly between the day of the first event and `as_of`.

    Raises:
        NotReady: there are fewer than three.

    >>> from datetime import UTC
    >>> months = whole_periods(datetime(2017, 1, 1, 11, tzinfo=UTC), datetime(2017, 4, 9, tzinfo=UTC), "month")
    >>> months.count, months.name(0), f"{months.end:%Y-%m-%d}", months.name(4)
    (3, '2017-01', '2017-04-01', '2017-05')
    >>> whole_periods(datetime(2017, 1, 2, tzinfo=UTC), datetime(2017, 6, 1, tzinfo=UTC), "month").name(0)
    '2017-02'
    """
    every = f"1{_EVERY[unit]}"
    first_day = midnight_before(first_event_at)
    first, last = pl.Series([first_day, as_of], dtype=t.TIME).dt.truncate(every)
    if first < first_day:
        first = pl.Series([first], dtype=t.TIME).dt.offset_by(every)[0]
    starts = tuple(pl.datetime_range(first, last, every, eager=True, time_unit="us", time_zone="UTC").to_list())
    whole = max(len(starts) - 1, 0)
    if whole < _LEAST:
        raise NotReady(
            f"the history from {first_event_at:%Y-%m-%d} to {as_of:%Y-%m-%d} holds {whole} whole {unit}s, "
            f"and retention needs {_LEAST}; set retention.period to a shorter one, or bring more history"
        )
    return Periods(unit, starts)
