"""Dates from a user's own rhythm: against users whose gaps are drawn from the model, and by hand."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from everstay import tables as t
from everstay.scoring.next_order import ALARM, GAPS, LAST_DAY, GapModel, fit_gaps, order_rhythm, with_dates

AS_OF = datetime(2024, 6, 1, tzinfo=UTC)


def purchases(days_ago: dict[str, list[float]]) -> pl.DataFrame:
    rows = [(user, AS_OF - timedelta(days=day)) for user, days in days_ago.items() for day in days]
    return pl.DataFrame(rows, schema={t.USER_ID: pl.String, t.OCCURRED_AT: t.TIME}, orient="row")


def test_a_rhythm_is_the_gaps_between_different_days():
    rhythm = order_rhythm(purchases({"weekly": [22, 15, 14.8, 8, 1], "once": [5]}))
    assert rhythm[t.USER_ID].to_list() == ["once", "weekly"]
    assert rhythm[GAPS].to_list() == [0, 3]
    assert rhythm[LAST_DAY].to_list() == [AS_OF - timedelta(days=5), AS_OF - timedelta(days=1)]


def test_a_steady_user_is_due_after_the_usual_gap_and_alarms_soon_after():
    rhythm = order_rhythm(purchases({"steady": list(range(2, 402, 10))}))
    model = GapModel(mean=np.log(30), within=0.05, prior_gaps=0.01)
    order, alarm = model.dates(rhythm, AS_OF).row(0)
    last = AS_OF - timedelta(days=2)
    assert timedelta(days=10) <= order - last <= timedelta(days=11)
    assert timedelta(days=10) < alarm - last <= timedelta(days=12)


def test_who_never_repeated_is_taken_to_be_like_the_others_and_long_silence_tells_nothing():
    rhythm = order_rhythm(purchases({"new": [3], "gone": [2_000]}))
    model = GapModel(mean=np.log(30), within=0.8, prior_gaps=2.0)
    dates = model.dates(rhythm, AS_OF)  # "gone" sorts first
    assert dates[t.EXPECTED_ORDER_AT][0] is None
    assert dates[t.EXPECTED_ALARM_AT][0] < AS_OF - timedelta(days=1_800)
    assert timedelta(days=20) < dates[t.EXPECTED_ORDER_AT][1] - AS_OF < timedelta(days=45)


def test_half_come_by_the_expected_day_and_nine_of_ten_before_the_alarm():
    random = np.random.default_rng(3)
    means = random.normal(np.log(12), 0.5, 1_500)
    history, following = {}, {}
    for number, mean in enumerate(means):
        gaps = np.ceil(np.exp(random.normal(mean, 0.6, 12)))
        history[f"u{number:04d}"] = list(1 + np.append(0, np.cumsum(gaps[:-1])))
        following[f"u{number:04d}"] = gaps[-1]
    rhythm = order_rhythm(purchases(history))
    model = fit_gaps(rhythm)
    assert model is not None
    assert model.mean == pytest.approx(np.log(12), abs=0.08)
    assert model.within == pytest.approx(0.6, abs=0.05)
    assert model.prior_gaps == pytest.approx((0.6 / 0.5) ** 2, abs=0.3)
    dates = model.dates(rhythm, AS_OF)
    came = [AS_OF - timedelta(days=1) + timedelta(days=float(following[user])) for user in rhythm[t.USER_ID]]
    at = pl.Series("came", came, dtype=t.TIME)
    assert (at <= dates[t.EXPECTED_ORDER_AT]).mean() == pytest.approx(0.5, abs=0.08)  # whole days: many ties
    assert (at <= dates[t.EXPECTED_ALARM_AT]).mean() == pytest.approx(ALARM, abs=0.03)


def test_without_two_gaps_of_anybody_no_date_is_told():
    rhythm = order_rhythm(purchases({"a": [3], "b": [9, 4]}))
    assert fit_gaps(rhythm) is None
    assert with_dates(rhythm, None, AS_OF).select(t.EXPECTED_ORDER_AT, t.EXPECTED_ALARM_AT).null_count().row(0) == (
        2,
        2,
    )
