"""Active users, second orders and stickiness against counting by hand."""

from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from everstay import tables as t
from everstay.metrics.proportion import share_interval
from everstay.retention.rhythm import rhythm, stickiness
from everstay.retention.survival import share_by
from tests.retention.shop import MONDAY

AS_OF = MONDAY + timedelta(days=60)


def events(*rows: tuple[str, int, str]) -> pl.DataFrame:
    users, days, kinds = zip(*rows, strict=True)
    at = [MONDAY + timedelta(days=day, hours=3) for day in days]
    return pl.DataFrame({t.USER_ID: users, t.OCCURRED_AT: pl.Series(at, dtype=t.TIME), t.EVENT_TYPE: kinds})


@pytest.fixture
def log() -> pl.DataFrame:
    random = np.random.default_rng(2)
    rows = [
        (f"u{user}", int(day), str(random.choice([t.PURCHASE, t.VIEW, t.MESSAGE_SENT])))
        for user in range(12)
        for day in random.choice(60, 9)
    ]
    return events(*rows)


def test_active_users_are_those_with_an_event_in_the_window(log: pl.DataFrame):
    counts = rhythm(log, log.filter(pl.col(t.EVENT_TYPE) == t.PURCHASE), MONDAY, AS_OF)
    own = log.filter(pl.col(t.EVENT_TYPE) != t.MESSAGE_SENT)
    for day in range(60):
        for column, window in enumerate((1, 7, 28)):
            start, end = MONDAY + timedelta(days=day - window + 1), MONDAY + timedelta(days=day + 1)
            inside = own.filter(pl.col(t.OCCURRED_AT).is_between(start, end, closed="left"))
            assert counts.active[day, column] == inside[t.USER_ID].n_unique(), (day, window)


def test_second_orders_are_counted_by_the_days_they_took():
    log = events(
        ("fast", 10, t.PURCHASE), ("fast", 10, t.PURCHASE), ("fast", 12, t.PURCHASE), ("fast", 50, t.PURCHASE),
        ("once", 40, t.PURCHASE), ("looks", 3, t.VIEW),
    )  # fmt: skip
    counts = rhythm(log, log.filter(pl.col(t.EVENT_TYPE) == t.PURCHASE), MONDAY, AS_OF)
    assert np.flatnonzero(counts.repeated).tolist() == [2]
    assert np.flatnonzero(counts.waiting).tolist() == [19]  # day 40 to the last day, 59
    share = share_by(counts.repeated, counts.waiting, 2)
    assert share is not None
    assert share.value == 0.5
    assert share_by(counts.repeated, counts.waiting, 20) is None


def test_a_share_of_nobody_or_everybody_has_an_interval_too():
    nobody = share_by(np.array([0, 0, 0, 0]), np.array([0, 4, 0, 10]), 2)
    assert nobody == share_interval(0, 10, 0.9)  # the four were observed for a day
    assert nobody.value == nobody.low == 0
    assert nobody.high == pytest.approx(0.213, abs=0.001)  # z² / (n + z²), z = 1.645
    everybody = share_by(np.array([2, 0, 5]), np.array([0, 3, 0]), 2)
    assert everybody == share_interval(7, 7, 0.9)
    assert everybody.value == everybody.high == 1
    assert everybody.low == pytest.approx(0.721, abs=0.001)  # n / (n + z²)


def test_a_share_stays_what_it_is_once_everybody_at_risk_has_come_back():
    repeated, waiting = np.array([0, 2, 0, 5, 0, 0]), np.array([0, 3, 0, 0, 0, 0])
    shares = [share_by(repeated, waiting, day) for day in (3, 4, 5, 30)]
    assert shares == [share_interval(7, 7, 0.9)] * 4
    assert share_by(repeated, np.array([0, 3, 0, 1, 0, 0]), 4) is None  # one was last seen on day 3, still waiting
    assert share_by(np.zeros(6, int), np.zeros(6, int), 0) is None


def test_everybody_watched_to_the_end_gives_the_plain_share():
    share = share_by(np.array([0, 30, 20, 0]), np.array([0, 0, 0, 50]), 3)
    assert share is not None
    assert share.value == pytest.approx(0.5)
    assert share.low < 0.5 < share.high


def test_stickiness_is_one_when_everybody_comes_daily():
    ratios = stickiness(np.full((56, 3), 40))
    assert np.isnan(ratios[:4]).all()
    assert (ratios[4:] == 1).all()
