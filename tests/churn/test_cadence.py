"""Cadence: equal to arithmetic by hand, blind to what is beyond the kept tokens, null without an order."""

import math

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from everstay import tables as t
from everstay.churn.cadence import CADENCE_COLUMNS, cadence
from everstay.churn.rows import ChurnRows
from everstay.features import sequences as s


@pytest.fixture
def two_users() -> pl.DataFrame:
    """One with order days 90, 50, 40 and 10 days ago and a view in between; one without any token."""
    return pl.DataFrame(
        {
            "recency_days": [9.5, None],
            "tenure_days": [100.0, 3.0],
            s.TOKEN_TYPE: [[t.PURCHASE, t.PURCHASE, t.VIEW, t.PURCHASE, t.PURCHASE], None],
            s.TOKEN_DAYS_AGO: [[90.0, 50.0, 45.0, 40.0, 10.0], None],
            s.TOKEN_AMOUNT: [[1.0, 2.0, 0.0, 3.0, 4.0], None],
        }
    )


def test_by_hand(two_users: pl.DataFrame) -> None:
    values = cadence(two_users, 128).row(0, named=True)  # gaps 40, 10, 30
    weeks = [values[f"order_days_week_{week}"] for week in range(13)]
    assert weeks == [0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 1]
    assert values["gaps_over_28_days"] == 2
    assert values["gaps_over_14_days"] == 2
    assert values["gaps_over_28_days_share"] == pytest.approx(2 / 3)
    assert values["gap_max_of_last_3_days"] == 40
    assert values["gap_mean_of_last_5_days"] == pytest.approx(80 / 3)
    assert values["gaps_over_recency_share"] == 1
    assert values["silence_goes_on_share"] == pytest.approx((1 + 2 * 0.14) / (3 + 2))  # only 40 > 9.5 + 28
    assert values["long_silence_days"] == 12 + 2
    assert values["long_silence_share"] == pytest.approx(0.14)
    assert values["spend_fading_40d"] == pytest.approx(
        sum(amount * math.exp(-ago / 40) for amount, ago in ((1, 90), (2, 50), (3, 40), (4, 10)))
    )


def test_a_present_silence_counts_with_the_past_ones() -> None:
    days = [70.0, 60.0, 40.0]  # gaps 10, 20, and silent for more than four weeks
    silent = pl.DataFrame(
        {
            "recency_days": [39.5],
            "tenure_days": [100.0],
            s.TOKEN_TYPE: [[t.PURCHASE] * 3],
            s.TOKEN_DAYS_AGO: [days],
            s.TOKEN_AMOUNT: [[1.0] * 3],
        }
    )
    values = cadence(silent, 128).row(0, named=True)
    assert values["long_silence_days"] == 39.5 - 28
    assert values["long_silence_share"] == pytest.approx(0.115)
    assert values["gaps_over_recency_share"] == 0
    assert values["recency_to_gap_quantile_90"] == pytest.approx(39.5 / (20 + 1))
    short, long = (sum(math.exp(-ago / fading) for ago in days) for fading in (20, 80))
    assert values["order_days_fading_20d"] == pytest.approx(short)
    assert values["order_days_fading_20d_to_80d"] == pytest.approx(short / (long + 0.1))


def test_without_tokens_everything_is_undefined(two_users: pl.DataFrame) -> None:
    assert cadence(two_users, 128).row(1) == (None,) * len(CADENCE_COLUMNS)


def test_order_of_rows_and_older_tokens_change_nothing(churn_rows: ChurnRows) -> None:
    whole = cadence(churn_rows.test, 3)
    assert_frame_equal(cadence(churn_rows.test.reverse(), 3).reverse(), whole)
    cut = churn_rows.test.with_columns(pl.col(s.TOKEN_TYPE, s.TOKEN_DAYS_AGO, s.TOKEN_AMOUNT).list.tail(3))
    assert_frame_equal(cadence(cut, 128), whole)
