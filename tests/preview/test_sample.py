"""What a pass keeps: exact counts, and users kept whole when not all can be."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from everstay import tables as t
from everstay.preview.sample import Distinct, UserSample

START = datetime(2024, 1, 1, tzinfo=UTC)


def events_of(users: int, each: int) -> pl.DataFrame:
    rows = [(f"e{u}-{n}", f"u{u}", START + timedelta(days=n)) for n in range(each) for u in range(users)]
    frame = pl.DataFrame(rows, schema=[t.EVENT_ID, t.USER_ID, t.OCCURRED_AT], orient="row")
    return t.EVENTS.conform(
        frame.with_columns(
            pl.col(t.OCCURRED_AT).alias(t.RECORDED_AT),
            pl.lit(t.PURCHASE).alias(t.EVENT_TYPE),
            pl.lit(1).alias(t.QUANTITY),
            pl.lit(1.0).alias(t.AMOUNT),
            pl.lit(0.0).alias(t.DISCOUNT),
        )
    )


def test_distinct_counts_what_a_set_counts() -> None:
    seen, values = Distinct(), [f"v{n % 613}" for n in range(5_000)]
    for start in range(0, 5_000, 700):
        seen.add(pl.Series(values[start : start + 700]))
    assert seen.count == len(set(values))


def test_all_users_are_kept_as_long_as_they_fit() -> None:
    sample = UserSample(most_rows=1_000)
    for part in events_of(100, 10).iter_slices(170):
        sample.add(part)
    assert sample.one_in == 1
    assert sample.events().height == 1_000


def test_rows_that_repeat_are_told_from_ids_that_stand_on_two_events() -> None:
    sample, events = UserSample(), events_of(10, 10)
    sample.add(events)
    assert (sample.repeated_share, sample.conflict_share) == (0, 0)
    sample.add(events.head(20).with_columns(pl.lit("filled in later").alias(t.TEXT)))
    sample.add(events.head(80).with_columns(pl.lit(9.0).alias(t.AMOUNT)))
    assert sample.repeated_share == pytest.approx(20 / 200)
    assert sample.conflict_share == pytest.approx(80 / 200)
    assert sample.events().height == 100


def test_whoever_is_kept_is_kept_whole_and_the_limit_holds() -> None:
    sample, events = UserSample(most_rows=1_000), events_of(800, 10)
    for part in events.iter_slices(900):
        sample.add(part)
    kept = sample.events()
    assert sample.one_in >= 8
    assert kept.height <= 1_000
    assert kept.group_by(t.USER_ID).len()["len"].unique().to_list() == [10]
    assert 0.5 < kept[t.USER_ID].n_unique() * sample.one_in / 800 < 1.6


def test_nobody_known_is_in_no_sample() -> None:
    sample = UserSample()
    sample.add(events_of(3, 1).with_columns(pl.lit("anonymous:1").alias(t.USER_ID)))
    assert sample.events().height == 0


def test_repeated_rows_are_one_event() -> None:
    sample, events = UserSample(), events_of(4, 2)
    sample.add(pl.concat([events, events.head(2)]))
    assert sample.repeated_share == pytest.approx(2 / 10)
    assert sample.events().height == 8
