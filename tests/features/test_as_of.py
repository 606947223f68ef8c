"""What holds for every table of features: the future changes nothing, nor do the order of rows or the buckets."""

from collections.abc import Callable
from datetime import timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everstay import tables as t
from everstay.features.activity import activity_features, activity_slices
from everstay.features.churn_labels import churn_labels
from everstay.features.sequences import day_tokens, next_basket, purchase_history
from everstay.settings import Churn
from tests.strategies import AS_OF, ITEMS, PROPERTY, event, event_frames, event_rows, frame_of, is_known

TableOf = Callable[[pl.DataFrame], pl.DataFrame]
KNOWN_AT = AS_OF + timedelta(days=30)
BEFORE = {
    "activity": lambda events: activity_features(events, ITEMS, AS_OF),
    "tokens": lambda events: day_tokens(events, AS_OF, 3),
    "history": lambda events: purchase_history(events, AS_OF),
}
AFTER = {
    "labels": lambda events: churn_labels(events, AS_OF, Churn(), KNOWN_AT),
    "baskets": lambda events: next_basket(events, AS_OF, 28, KNOWN_AT),
}
before = pytest.mark.parametrize("table_of", BEFORE.values(), ids=BEFORE.keys())
every = pytest.mark.parametrize("table_of", [*BEFORE.values(), *AFTER.values()], ids=[*BEFORE, *AFTER])


@before
@PROPERTY
@given(rows=st.lists(event_rows(), max_size=30), random=st.randoms())
def test_later_events_and_row_order_change_not_one_bit(table_of: TableOf, rows, random):
    known = [row for row in rows if is_known(row, AS_OF)]
    random.shuffle(rows)
    assert table_of(frame_of(rows)).equals(table_of(frame_of(known)))


@before
def test_what_happened_before_but_was_recorded_after_is_not_known(table_of: TableOf):
    on_time = frame_of([_purchase(-2, 0), _purchase(-1, 0)])
    back_dated = frame_of([_purchase(-2, 0), _purchase(-1, 0), _purchase(-2, 2), _purchase(-3, 90)])
    assert table_of(back_dated).equals(table_of(on_time))


@every
@PROPERTY
@given(rows=st.lists(event_rows(), max_size=30), random=st.randoms())
def test_what_is_recorded_after_the_outcome_is_known_changes_nothing(table_of: TableOf, rows, random):
    known = [row for row in rows if is_known(row, KNOWN_AT)]
    random.shuffle(rows)
    assert table_of(frame_of(rows)).equals(table_of(frame_of(known)))


@every
@PROPERTY
@given(events=event_frames())
def test_one_bucket_or_many_give_the_same_table(table_of: TableOf, events):
    together = table_of(events)
    parts = [table_of(part) for part in events.partition_by(t.USER_ID)]
    assert together.equals(pl.concat([together.clear(), *parts]).sort(t.USER_ID))


@every
def test_without_events_the_table_is_empty_but_has_its_columns(table_of: TableOf):
    empty, filled = table_of(t.EVENTS.empty()), table_of(frame_of([_purchase(-1, 0), _purchase(1, 0)]))
    assert empty.height == 0
    assert filled.height == 1
    assert empty.schema == filled.schema


@PROPERTY
@given(events=event_frames())
def test_many_as_ofs_are_stacked_single_ones(events):
    as_ofs = [AS_OF, AS_OF - timedelta(days=7), AS_OF + timedelta(days=28)]
    single = pl.concat([activity_features(events, ITEMS, as_of) for as_of in as_ofs])
    assert activity_slices(events, ITEMS, as_ofs).equals(single)


def test_a_large_bucket_sums_to_the_same_bits_in_any_order_and_beside_any_neighbours():
    rows = 20_000
    index = pl.int_range(rows, eager=True)
    events = t.EVENTS.conform(
        pl.DataFrame({t.EVENT_ID: index.cast(pl.String), t.AMOUNT: (index * 7919 % 10_007) / 100}).with_columns(
            (index % 13).cast(pl.String).alias(t.USER_ID),
            (index * 31 % 97).cast(pl.String).alias(t.ITEM_ID),
            (index % 999).cast(pl.String).alias(t.ORDER_ID),
            pl.lit(t.PURCHASE).alias(t.EVENT_TYPE),
            (pl.lit(AS_OF) - pl.duration(minutes=index + 1)).alias(t.OCCURRED_AT),
            (pl.lit(AS_OF) - pl.duration(minutes=index + 1)).alias(t.RECORDED_AT),
            pl.lit(1).alias(t.QUANTITY),
            pl.lit(0.1).alias(t.DISCOUNT),
        )
    )
    for table_of in BEFORE.values():
        table = table_of(events)
        assert table_of(events.sample(fraction=1, shuffle=True, seed=3)).equals(table)
        alone = table_of(events.filter(pl.col(t.USER_ID) == "5"))
        assert alone.equals(table.filter(pl.col(t.USER_ID) == "5"))


def _purchase(days: int, late_days: int) -> dict[str, object]:
    return event("u0", t.PURCHASE, days, order=f"o{days}", late_days=late_days)
