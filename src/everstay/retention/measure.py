"""Everything about retention as of a moment: counted bucket by bucket, then forecast from the sums."""

from dataclasses import dataclass
from datetime import datetime
from functools import partial, reduce
from operator import add

import polars as pl

from everstay import tables as t
from everstay.features import EventReader, midnight_before, net_purchases
from everstay.partitions import map_parts
from everstay.retention.cohorts import CohortCounts, add_up, cohort_counts
from everstay.retention.forecast import forecast
from everstay.retention.periods import Periods, whole_periods
from everstay.retention.rhythm import Rhythm, rhythm
from everstay.settings import Retention

_READ = (t.USER_ID, t.OCCURRED_AT, t.RECORDED_AT, t.EVENT_TYPE, t.ORDER_ID, t.QUANTITY, t.AMOUNT)


@dataclass(frozen=True)
class RetentionFigures:
    """How users stay, by what was known at a moment.

    Attributes:
        as_of: a midnight; nothing later is known.
        periods: the whole weeks or months before it.
        cohorts: counts of users by the period they came in.
        forecasts: as `forecast.forecast` gives them: the next periods, and those of past origins.
        rhythm: activity by day, and second orders.
    """

    as_of: datetime
    periods: Periods
    cohorts: CohortCounts
    forecasts: pl.DataFrame
    rhythm: Rhythm


def measure_retention(
    reader: EventReader, first_event_at: datetime, as_of: datetime, settings: Retention, scheduler: str
) -> RetentionFigures:
    """Count, add up, forecast.

    Args:
        reader: of events; a snapshot.
        first_event_at: when the log begins.
        as_of: a midnight; nothing later is used.
        settings: period, periods to forecast, smallest cohort.
        scheduler: address from `partitions.open_cluster`.

    Raises:
        NotReady: there are fewer than three whole periods before the as-of.
    """
    periods = whole_periods(first_event_at, as_of, settings.period)
    first_day = midnight_before(first_event_at)
    count = partial(_count, reader=reader, periods=periods, first_day=first_day, as_of=as_of, ahead=settings.ahead)
    counted = map_parts(count, reader.buckets, scheduler)
    cohorts = add_up([cohort for cohort, _ in counted])
    forecasts = forecast(cohorts.histories, periods.count, settings.ahead, settings.min_cohort_users)
    return RetentionFigures(as_of, periods, cohorts, forecasts, reduce(add, (one for _, one in counted)))


def _count(
    bucket: int, *, reader: EventReader, periods: Periods, first_day: datetime, as_of: datetime, ahead: int
) -> tuple[CohortCounts, Rhythm]:
    """One bucket's counts."""
    events = reader.read_events(bucket, as_of, _READ)
    return cohort_counts(events, periods, ahead), rhythm(events, net_purchases(events), first_day, as_of)
