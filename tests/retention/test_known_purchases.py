"""What was known at the end of each period, against a slow reading; later returns and late records change no origin."""

from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from polars.testing import assert_frame_equal

from everstay import tables as t
from everstay.features import net_purchases
from everstay.features.slices import known_before
from everstay.retention.cohorts import ORIGIN, USERS, buys, cohort_counts
from everstay.retention.forecast import ALL, BOUGHT, COHORT, forecast
from everstay.retention.known_purchases import known_purchases
from everstay.retention.periods import Periods, whole_periods
from tests.retention.shop import MONDAY, weekly_orders
from tests.strategies import AS_OF, PROPERTY, event, event_frames, frame_of

WEEKS = 14
NOW = AS_OF + timedelta(days=60)
MONTHS = whole_periods(AS_OF - timedelta(days=400), NOW, "month")


def slow_reading(events: pl.DataFrame, users: list[str], periods: Periods) -> np.ndarray:
    """Net purchases of users (U, P) among the events."""
    bought = np.zeros((len(users), periods.count), dtype=np.bool_)
    net = net_purchases(events).filter(pl.col(t.OCCURRED_AT) < periods.end)
    for user, number in zip(net[t.USER_ID], periods.numbers(net[t.OCCURRED_AT]), strict=True):
        bought[users.index(user), number] = True
    return bought


@PROPERTY
@given(event_frames(max_size=60))
def test_each_origin_is_read_from_the_events_known_then(events: pl.DataFrame):
    known = known_purchases(events, MONTHS)
    orders = events.filter(pl.col(t.EVENT_TYPE).is_in([t.PURCHASE, t.RETURN]))
    users = orders[t.USER_ID].unique().sort().to_list()
    np.testing.assert_array_equal(known.now, slow_reading(events, users, MONTHS))
    for origin in range(1, MONTHS.count + 1):
        expected = slow_reading(events.filter(known_before(MONTHS.start(origin))), users, MONTHS)
        np.testing.assert_array_equal(known.at(origin), expected[:, :origin])
        np.testing.assert_array_equal(known.when_over()[:, origin - 1], expected[:, origin - 1])


def weeks(count: int = WEEKS) -> Periods:
    return whole_periods(MONDAY, MONDAY + timedelta(weeks=count, hours=5), "week")


def a_return(events: pl.DataFrame) -> pl.DataFrame:
    """Half of the orders of every week, sent back in the last."""
    back = events.gather_every(2).filter(pl.col(t.OCCURRED_AT) < weeks(WEEKS - 1).end)
    at = pl.lit(weeks(WEEKS - 1).end + timedelta(hours=1), t.TIME)
    returns = back.with_columns(
        pl.lit(t.RETURN).alias(t.EVENT_TYPE), at.alias(t.OCCURRED_AT), at.alias(t.RECORDED_AT)
    )  # fmt: skip
    return pl.concat([events, returns])


def a_late_record(events: pl.DataFrame) -> pl.DataFrame:
    """New orders of every week, also of new users, that are recorded in the last."""
    late = events.gather_every(3).with_columns(
        pl.lit(weeks(WEEKS - 1).end + timedelta(hours=1), t.TIME).alias(t.RECORDED_AT),
        (pl.col(t.OCCURRED_AT) - timedelta(weeks=1)).alias(t.OCCURRED_AT),
        pl.format("late-{}", t.ORDER_ID).alias(t.ORDER_ID),
        pl.when(pl.int_range(pl.len()) % 2 == 0).then(pl.format("new-{}", t.USER_ID)).otherwise(t.USER_ID),
    )
    return pl.concat([events, late])


@pytest.mark.parametrize("later", [a_return, a_late_record])
def test_what_is_known_later_changes_no_earlier_forecast(later):
    orders = weekly_orders(users=400, weeks=WEEKS, seed=4)
    before, after = (cohort_counts(events, weeks(), 2).histories for events in (orders, later(orders)))
    told = [forecast(histories, WEEKS, 2, 20) for histories in (before, after)]
    is_earlier = pl.col(ORIGIN) < WEEKS
    assert_frame_equal(*(made.filter(is_earlier).drop(BOUGHT) for made in told))
    assert before.filter(is_earlier)[USERS].sum() == after.filter(is_earlier)[USERS].sum()
    outcomes = [histories.filter(pl.col(ORIGIN) == WEEKS - 3)[buys(1)].sum() for histories in (before, after)]
    assert outcomes[0] != outcomes[1]  # which are told by what is known now
    assert told[0].filter(~is_earlier)["users"].max() != told[1].filter(~is_earlier)["users"].max()


def test_an_origin_of_which_nothing_was_recorded_in_time_has_no_forecast():
    rows = [event(f"u{user}", t.PURCHASE, -100 + 20 * (user % 4), order=f"o{user}") for user in range(60)]
    late = AS_OF - timedelta(days=1)
    events = frame_of([{**row, t.RECORDED_AT: late} for row in rows])
    periods = whole_periods(AS_OF - timedelta(days=130), AS_OF + timedelta(days=9), "month")
    told = forecast(cohort_counts(events, periods, 1).histories, periods.count, 1, 20)
    assert told.filter(pl.col(COHORT) == ALL)[ORIGIN].to_list() == [periods.count]
