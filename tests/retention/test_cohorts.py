"""Counts against a slow reading of each user's periods; forecasts against a shop whose truth is known."""

from collections import Counter
from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from everstay import tables as t
from everstay.errors import NotReady
from everstay.retention import forecast as forecasts
from everstay.retention.bgbb import BgBb
from everstay.retention.cohorts import COHORT, ORIGIN, TX, USERS, N, X, add_up, buys, cohort_counts, seen
from everstay.retention.forecast import ALL, BOUGHT, HIGH, LOW, coverage, forecast
from everstay.retention.periods import whole_periods
from everstay.retention.shares import Expected, Shock, share_bounds
from tests.retention.shop import MONDAY, purchases, weekly_orders

WEEKS = 14


@pytest.fixture(scope="module")
def orders() -> pl.DataFrame:
    return weekly_orders(users=400, weeks=WEEKS, seed=4)


def periods(weeks: int = WEEKS):
    return whole_periods(MONDAY, MONDAY + timedelta(weeks=weeks, hours=5), "week")


def test_histories_are_those_of_a_slow_reading(orders: pl.DataFrame):
    counts = cohort_counts(orders, periods(), 2)
    bought: dict[str, set[int]] = {}
    for user, at in orders.select(t.USER_ID, t.OCCURRED_AT).iter_rows():
        bought.setdefault(user, set()).add((at - MONDAY).days // 7)
    users, buyers = Counter[tuple[int, ...]](), Counter[tuple[int, ...]]()
    for weeks in bought.values():
        came = min(weeks)
        for origin in range(came + 1, WEEKS + 1):
            past = [week for week in weeks if week < origin]
            key = (origin, came, origin - 1 - came, len(past) - 1, max(past) - came)
            users[key] += 1
            buyers[key] += origin + 1 in weeks
    assert len(counts.histories) == len(users)
    for row in counts.histories.iter_rows(named=True):
        key = (row[ORIGIN], row[COHORT], row[N], row[X], row[TX])
        assert row[USERS] == users[key]
        for name in (buys, seen):  # nothing was returned or recorded late
            assert row[name(2)] == (buyers[key] if row[ORIGIN] + 2 <= WEEKS else None)
    for cohort in range(WEEKS):
        for week in range(WEEKS):
            expected = sum(min(weeks) == cohort and week in weeks for weeks in bought.values())
            assert counts.retained[cohort, week] == expected


def test_buckets_add_up_to_the_whole(orders: pl.DataFrame):
    whole = cohort_counts(orders, periods(), 2)
    halves = orders.with_columns((pl.col(t.USER_ID).str.slice(1).cast(pl.Int32) % 2).alias("half"))
    parts = [
        cohort_counts(halves.filter(pl.col("half") == half).drop("half"), periods(), 2) for half in (0, 1, 2)
    ]  # the last is empty
    together = add_up(parts)
    assert (together.retained == whole.retained).all()
    assert_frame_equal(together.histories, whole.histories)


def test_a_log_that_begins_within_a_week_begins_with_the_next_one():
    late = whole_periods(MONDAY + timedelta(days=6, hours=9), MONDAY + timedelta(weeks=6), "week")
    assert (late.count, late.name(0)) == (5, f"{MONDAY + timedelta(weeks=1):%Y-%m-%d}")
    days = {"sunday": [6], "both": [6, 8], "monday": [7, 15], "later": [14]}
    bought = [(user, MONDAY + timedelta(days=day, hours=9)) for user, found in days.items() for day in found]
    retained = cohort_counts(purchases(bought), late, 1).retained
    assert retained[:2].tolist() == [[3, 1, 0, 0, 0], [0, 1, 0, 0, 0]]  # who came on Sunday is of the first whole week
    whole = whole_periods(MONDAY + timedelta(hours=9), MONDAY + timedelta(weeks=6), "week")
    assert (whole.count, whole.start(0)) == (6, MONDAY)


def test_a_forecast_knows_nothing_of_what_came_later(orders: pl.DataFrame):
    early = cohort_counts(orders.filter(pl.col(t.OCCURRED_AT) < periods(10).end), periods(10), 2)
    then = forecast(early.histories, 10, 2, 20)
    now = forecast(cohort_counts(orders, periods(), 2).histories, WEEKS, 2, 20)
    past = now.filter(pl.col(ORIGIN) <= 10).drop(BOUGHT)
    assert_frame_equal(past, then.drop(BOUGHT))


def test_the_width_of_an_interval_is_learned_from_the_last_twelve_origins_that_are_due(
    monkeypatch: pytest.MonkeyPatch,
):
    histories = cohort_counts(weekly_orders(users=400, weeks=17, seed=4), periods(17), 2).histories
    alike = BgBb(2.0, 1.0, 1.0, 9.0)  # whatever is learned, the errors of its forecasts are what is looked at
    monkeypatch.setattr(forecasts, "fit", lambda *_: forecasts.Forecaster(alike, alike))

    def widths(without: pl.Expr, step: int) -> list[float]:
        """Of everybody's intervals one and two weeks ahead, had nobody come `step` weeks after these origins."""
        bought = pl.when(without).then(pl.col(seen(step)) * 0).otherwise(pl.col(seen(step)))
        told = forecast(histories.with_columns(bought.alias(seen(step))), 17, 2, 20)
        now = told.filter(pl.col(ORIGIN) == 17, pl.col(COHORT) == ALL).sort("ahead")
        return (now[HIGH] - now[LOW]).to_list()

    one_week, two_weeks = widths(pl.lit(False), 1)
    for origin in (17 - 1, 17 - 12):
        wider, as_before = widths(pl.col(ORIGIN) == origin, 1)
        assert wider > one_week
        assert as_before == two_weeks
    assert widths(pl.col(ORIGIN) == 17 - 13, 1) == [one_week, two_weeks]
    assert widths(pl.col(ORIGIN) == 17 - 2, 2)[1] > two_weeks


def test_a_cohort_has_a_row_of_its_own_from_so_many_users_on(orders: pl.DataFrame):
    histories = cohort_counts(orders, periods(), 1).histories.filter(pl.col(ORIGIN) > WEEKS - 2)
    sizes = histories.filter(pl.col(ORIGIN) == WEEKS).group_by(COHORT).agg(pl.col(USERS).sum())
    size = sizes.sort(USERS)[USERS][sizes.height // 2]
    told = forecast(histories, WEEKS, 1, size, 1).filter(pl.col(ORIGIN) == WEEKS, pl.col(COHORT) != ALL)
    assert sorted(told[COHORT]) == sorted(sizes.filter(pl.col(USERS) >= size)[COHORT])


def test_bounds_of_an_even_chance_lie_as_far_above_it_as_below():
    even = Expected(*(np.array(values) for values in ([1.0, 20.0, 900.0], [0.5, 10.0, 450.0], [0.25, 5.0, 225.0])))
    low, high = share_bounds(even, Shock(size=0.2, freedom=4), 0.9)
    assert (low + high).tolist() == pytest.approx([1.0, 1.0, 1.0])
    assert (low[0], high[0]) == (0.0, 1.0)  # of one user nothing less can be said


def test_intervals_hold_what_comes_in_a_shop_that_is_as_the_model_says():
    counts = cohort_counts(weekly_orders(users=2_000, weeks=20, seed=11), periods(20), 2)
    due = forecast(counts.histories, 20, 2, 20).filter(pl.col(BOUGHT).is_not_null())
    assert len(due) > 100
    assert 0.85 <= coverage(due) <= 0.97
    everybody = due.filter(pl.col(COHORT) == ALL, pl.col(ORIGIN) >= 12)
    assert (everybody[HIGH] - everybody[LOW]).mean() < 0.12  # sure enough to be of use


def test_a_shop_whose_users_all_came_in_the_last_week_has_a_forecast_of_no_certainty():
    last = MONDAY + timedelta(weeks=4, hours=3)
    frame = purchases((f"u{n}", last) for n in range(30))
    told = forecast(cohort_counts(frame, periods(5), 1).histories, 5, 1, 20).filter(pl.col(COHORT) == ALL)
    assert told["users"].to_list() == [30]
    assert told[LOW][0] < 0.2
    assert told[HIGH][0] > 0.3


def test_a_short_history_is_said_in_words():
    with pytest.raises(NotReady, match="holds 2 whole weeks, and retention needs 3"):
        periods(2)
    with pytest.raises(NotReady, match="holds 0 whole weeks"):
        whole_periods(MONDAY + timedelta(days=1), MONDAY + timedelta(days=5), "week")


def test_where_every_cohort_is_small_all_users_together_are_forecast(orders: pl.DataFrame):
    histories = cohort_counts(orders, periods(), 2).histories
    large, small = forecast(histories, WEEKS, 2, min_users=1), forecast(histories, WEEKS, 2, min_users=100_000)
    assert set(small[COHORT]) == {ALL}
    assert_frame_equal(small, large.filter(pl.col(COHORT) == ALL))
