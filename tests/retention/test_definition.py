"""Gaps and horizons against counting by hand, and the arithmetic of the minimum."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from everstay import tables as t
from everstay.errors import NotReady
from everstay.lake import assign_bucket
from everstay.partitions import IN_PROCESS
from everstay.retention.definition import advise_definition, user_gaps
from everstay.retention.definition_page import definition_section, verdict
from everstay.retention.sample_size import WANTED_HALF_WIDTH, auc_half_width, fewest_leavers
from everstay.settings import Churn

FIRST = datetime(2024, 1, 1, tzinfo=UTC)
UNTIL = FIRST + timedelta(days=200)
CHURN = Churn(look_back_days=40, horizon_days=28, allowed_lateness_days=2)


class Shop:
    """Orders by day and user, read like a snapshot of two buckets."""

    buckets = range(2)

    def __init__(self, days: dict[str, list[int]]) -> None:
        rows = [(user, FIRST + timedelta(days=day, hours=10)) for user, each in days.items() for day in each]
        frame = pl.DataFrame(rows, schema={t.USER_ID: pl.String, t.OCCURRED_AT: t.TIME}, orient="row")
        self.events = t.EVENTS.conform(
            frame.with_columns(
                pl.int_range(pl.len()).cast(pl.String).alias(t.EVENT_ID),
                pl.col(t.OCCURRED_AT).alias(t.RECORDED_AT),
                pl.lit(t.PURCHASE).alias(t.EVENT_TYPE),
                *(pl.lit(1.0).alias(name) for name in (t.QUANTITY, t.AMOUNT, t.DISCOUNT)),
            )
        )

    def read_events(self, bucket: int, as_of: datetime, columns: list[str]) -> pl.DataFrame:
        known = assign_bucket(self.events.filter(pl.col(t.RECORDED_AT) < as_of), 2)
        return known.filter(pl.col(t.USER_BUCKET) == bucket).select(columns)


def test_every_repeater_counts_the_same():
    shop = Shop({"often": list(range(0, 100, 2)), "seldom": [0, 60], "once": [5]})
    gaps = user_gaps(shop.events, 300)
    assert (gaps.repeaters, gaps.buyers) == (2, 3)
    assert gaps.counts[2] == 49
    assert gaps.counts[60] == 1
    assert gaps.quantile(0.9, by_user=False) == 2
    assert gaps.quantile(0.45, by_user=True) == 2
    assert gaps.quantile(0.9, by_user=True) == 60


def test_nine_of_ten_repeaters_are_nine_tenths_whatever_their_number_of_gaps():
    days = {f"u{user}": list(range(0, 7 * (user + 2), 7)) for user in range(90)}
    days |= {f"long{user}": [0, 100] for user in range(10)}
    gaps = user_gaps(Shop(days).events, 300)
    assert gaps.quantile(0.9, by_user=True) == 7
    assert gaps.quantile(0.91, by_user=True) == 100


def test_leavers_of_a_horizon_are_those_who_bought_before_and_not_within():
    until_end = list(range(0, 200, 10))
    shop = Shop({"stays": until_end, "leaves": list(range(0, 165, 10)), "left long ago": [0, 10]})
    found = advise_definition(shop, FIRST, UNTIL, CHURN, IN_PROCESS)
    advice = {one.horizon_days: one for one in found.advice}
    assert set(advice) == {28, 30, 60, 90, found.suggested_days}
    assert found.suggested_days == 10
    assert advice[28].as_of == UNTIL - timedelta(days=30)
    assert (advice[28].users, advice[28].leavers) == (2, 1)
    assert (advice[60].users, advice[60].leavers) == (2, 0)  # at day 138 both still buy
    assert verdict(advice[60]) == "not knowable"
    assert verdict(advice[28]) == "too few"
    assert "the minimum" in " ".join(definition_section(found, CHURN, 200).words).lower()


def test_what_was_recorded_later_changes_nothing():
    shop = Shop({"a": list(range(0, 200, 9)), "b": list(range(0, 160, 7)), "c": [3, 90]})
    early = Shop({"a": list(range(0, 120, 9)), "b": list(range(0, 120, 7)), "c": [3, 90]})
    at = FIRST + timedelta(days=120)
    one, two = (advise_definition(each, FIRST, at, CHURN, IN_PROCESS) for each in (shop, early))
    assert one.advice == two.advice
    assert np.array_equal(one.gaps.weights, two.gaps.weights)


def test_a_short_history_and_a_shop_without_repeaters_are_said_in_words():
    at = FIRST + timedelta(days=100)
    found = advise_definition(Shop({"a": [0, 20, 40, 60], "b": [1, 30]}), FIRST, at, CHURN, IN_PROCESS)
    assert "the history is too short" in next(one for one in found.advice if one.horizon_days == 90).problem
    with pytest.raises(NotReady, match=r"nothing was known at 2023-12-31 .*: the data begins at 2024-01-01 00:00"):
        advise_definition(Shop({"ann": [3, 5]}), FIRST, FIRST - timedelta(days=1), CHURN, IN_PROCESS)
    with pytest.raises(NotReady, match="none of 1 buyers ordered on two days"):
        advise_definition(Shop({"a": [0]}), FIRST, at, CHURN, IN_PROCESS)


def test_the_minimum_is_the_first_count_that_is_enough():
    for rate in (0.02, 0.145, 0.6, 1 - 1e-8):  # the last would be counted up to for hours
        least = fewest_leavers(rate)
        stayers = [round(leavers * (1 - rate) / rate) for leavers in (least - 1, least)]
        assert auc_half_width(least, stayers[1]) <= WANTED_HALF_WIDTH < auc_half_width(least - 1, stayers[0])


def test_the_width_is_that_of_simulated_samples():
    random = np.random.default_rng(5)
    leavers, stayers, scale = 60, 240, 0.85 / 0.15  # exponential scores, for which the formula is exact: ROC-AUC 0.85
    aucs = []
    for _ in range(400):
        one, two = random.exponential(scale, leavers), random.exponential(1, stayers)
        aucs.append((one[:, None] > two).mean())
    assert 1.96 * np.std(aucs) == pytest.approx(auc_half_width(leavers, stayers), rel=0.15)
