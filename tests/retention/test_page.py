"""What the sections say of maturity: counts are mature or not yet knowable, forecasts estimated, back-tests mature."""

from dataclasses import replace
from datetime import datetime, timedelta

import polars as pl
import pytest

from everstay import tables as t
from everstay.report import Section
from everstay.retention import RetentionFigures, retention_section, rhythm_section
from everstay.retention.cohorts import ORIGIN, cohort_counts
from everstay.retention.forecast import AHEAD, BOUGHT, forecast, mature
from everstay.retention.periods import whole_periods
from everstay.retention.rhythm import rhythm
from tests.retention.shop import MONDAY, purchases, weekly_orders

WEEKS, AHEAD_WEEKS = 14, 2
END = MONDAY + timedelta(weeks=WEEKS)


def figures(as_of: datetime, first_day: datetime = MONDAY) -> RetentionFigures:
    orders = weekly_orders(users=300, weeks=WEEKS, seed=4).filter(pl.col(t.OCCURRED_AT) < as_of)
    periods = whole_periods(first_day, as_of, "week")
    cohorts = cohort_counts(orders, periods, AHEAD_WEEKS)
    forecasts = forecast(cohorts.histories, periods.count, AHEAD_WEEKS, 20)
    return RetentionFigures(as_of, periods, cohorts, forecasts, rhythm(orders, orders, first_day, as_of))


def told(section: Section) -> str:
    return " ".join(
        (*section.words, *(badge.label for badge in section.badges), *(one.caption for one in section.tables))
    )


@pytest.mark.parametrize(
    ("days", "clock", "newest"),
    [(1, "not knowable before 2023-04-12", WEEKS - 1), (2, "mature since 2023-04-12", WEEKS)],
)
def test_a_count_is_mature_or_not_yet_knowable_and_never_estimated(days: int, clock: str, newest: int):
    late, found = timedelta(days=2), figures(END + timedelta(days=days))
    section = retention_section(found, late)
    assert f"bought in 2023-04-03 ({clock})" in told(section)
    assert f"(last week: {clock})" in section.tables[0].caption
    assert "estimated" not in section.tables[0].caption
    assert "(estimated)" in section.tables[1].caption
    tested = mature(found.forecasts, found.periods, late, found.as_of)
    assert tested.select((pl.col(ORIGIN) + pl.col(AHEAD)).max()).item() == newest
    assert tested[BOUGHT].is_not_null().all()
    assert sum(row[1] for row in section.tables[2].rows) == len(tested)
    assert "outcomes are mature" in section.tables[2].caption


def test_no_forecast_is_tested_before_its_outcome_is_mature():
    found = figures(END)
    assert mature(found.forecasts, found.periods, timedelta(days=700), END).is_empty()
    assert len(mature(found.forecasts, found.periods, timedelta(0), END)) == found.forecasts[BOUGHT].count()


def test_activity_says_from_when_its_last_day_is_known():
    as_of = END + timedelta(days=1)
    words = told(rhythm_section(figures(as_of), timedelta(days=2)))
    assert f"(the last of them: not knowable before {as_of + timedelta(days=2):%Y-%m-%d})" in words


def test_weeks_before_the_first_order_are_a_gap_in_the_line():
    found = figures(END, MONDAY - timedelta(weeks=3))  # warnings are errors
    assert found.cohorts.retained.diagonal()[:3].tolist() == [0, 0, 0]
    last = retention_section(figures(END), timedelta(days=2)).badges[0]
    assert retention_section(found, timedelta(days=2)).badges[0] == last


@pytest.mark.parametrize(("days", "told"), [(60, ["10", "70", "280"]), (30, ["10", "70", "280"]), (24, ["10", "70"])])
def test_users_are_active_in_a_month_only_where_the_log_has_one(days: int, told: list[str]):
    """Of 280 users ten come every day, each every 28 days."""
    log = purchases((f"u{user}", MONDAY + timedelta(days=day)) for day in range(days) for user in range(280)
                    if user % 28 == day % 28)  # fmt: skip
    as_of = MONDAY + timedelta(days=days)
    found = replace(figures(END), as_of=as_of, rhythm=rhythm(log, log, MONDAY, as_of))
    badges = [one for one in rhythm_section(found, timedelta(days=2)).badges if one.label.startswith("active")]
    assert [one.value for one in badges] == told
