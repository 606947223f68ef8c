"""What holds for every table of features: the future changes nothing, nor do the order of rows or the buckets."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everstay import tables as t
from everstay.features.activity import FEATURES, activity_features, activity_slices, needs_population
from everstay.features.buckets import bucket_labels, compute_features
from everstay.features.churn_labels import churn_labels
from everstay.features.ledger import code_events
from everstay.features.population import merge_population, population_slices
from everstay.features.ratings import latest_ratings
from everstay.features.sample import is_sampled
from everstay.features.sequences import day_tokens, next_basket, purchase_history
from everstay.lake import assign_bucket
from everstay.partitions import IN_PROCESS
from everstay.settings import Churn
from everstay.storage import Folder
from tests.strategies import (
    AS_OF,
    ITEMS,
    PROPERTY,
    event,
    event_frames,
    event_rows,
    frame_of,
    is_known,
    purchase_lines,
)

TableOf = Callable[[pl.DataFrame], pl.DataFrame]
KNOWN_AT = AS_OF + timedelta(days=30)
BEFORE = {
    "activity": lambda events: activity_features(events, ITEMS, AS_OF),
    "tokens": lambda events: day_tokens(events, AS_OF, 3),
    "history": lambda events: purchase_history(events, AS_OF),
    "ratings": lambda events: latest_ratings(events, AS_OF),
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
    of_bucket = beside(events) if table_of is BEFORE["activity"] else table_of
    parts = [of_bucket(part) for part in events.partition_by(t.USER_ID)]
    assert together.equals(pl.concat([together.clear(), *parts]).sort(t.USER_ID))


@every
def test_without_events_the_table_is_empty_but_has_its_columns(table_of: TableOf):
    rating = {**event("u0", t.RATE, -1), t.RATING: 4.0}
    empty, filled = table_of(t.EVENTS.empty()), table_of(frame_of([_purchase(-1, 0), _purchase(1, 0), rating]))
    assert empty.height == 0
    assert filled.height == 1
    assert empty.schema == filled.schema


@PROPERTY
@given(events=event_frames() | purchase_lines().map(frame_of))
def test_many_as_ofs_are_stacked_single_ones(events):
    as_ofs = [AS_OF, AS_OF - timedelta(days=7), AS_OF + timedelta(days=28)]
    single = pl.concat([activity_features(events, ITEMS, as_of) for as_of in as_ofs])
    population = merge_population([population_slices(events, ITEMS, as_ofs)])
    assert activity_slices(events, ITEMS, as_ofs, population=population).equals(single)


def test_purchases_of_nobody_known_count_for_items_and_not_as_users(tmp_path):
    rows = [event("u0", t.PURCHASE, -1, item="i0"), event(f"{t.ANONYMOUS}7", t.PURCHASE, -1, item="i2")]
    shop = Shop(frame_of([*rows, event("u1", t.PURCHASE, -2, item="i2")]), 2)
    table = compute_features(shop, [AS_OF], Folder(str(tmp_path / "features")), IN_PROCESS).read_all().sort(t.USER_ID)
    values = table.select(t.USER_ID, "item_popularity_84d", "recency_score_364d").rows()
    assert values == [("u0", 1 / 3, 3.0), ("u1", 2 / 3, 1.0)]


@PROPERTY
@given(events=event_frames((-3, -2, -1), max_size=40))
def test_sessions_are_those_of_the_events_known_at_each_as_of(events):
    as_ofs = [AS_OF + timedelta(days=days) for days in (-2, -1, 0, 2, 3, 39, 60)]
    features = [feature for feature in FEATURES if "session" in feature.name]
    single = pl.concat([activity_slices(events, ITEMS, [as_of], features) for as_of in as_ofs])
    assert activity_slices(events, ITEMS, as_ofs, features).equals(single)


def test_a_label_stays_what_it_was_when_it_matured():
    churn = Churn(horizon_days=28, allowed_lateness_days=2)
    rows = [event("u0", t.PURCHASE, -1), event("u0", t.PURCHASE, 10, order="b"), event("u1", t.PURCHASE, -1)]
    in_time, later = event("u0", t.RETURN, 29, order="b"), event("u0", t.RETURN, 35, order="b")
    known_at = AS_OF + timedelta(days=60)

    def churned(*more: dict[str, object]) -> list[tuple[str, bool]]:
        shop = Shop(frame_of([*rows, *more]), 1)
        labels = bucket_labels(0, reader=shop, as_ofs=[AS_OF], churn=churn, known_at=known_at)
        return labels.select(t.USER_ID, t.CHURNED).rows()

    assert churned() == churned(later) == [("u0", False), ("u1", True)]
    assert churned(in_time) == [("u0", True), ("u1", True)]


def test_users_are_not_compared_without_the_population():
    events = frame_of([_purchase(-1, 0)])
    with pytest.raises(ValueError, match="merge_population"):
        activity_slices(events, ITEMS, [AS_OF])
    other = merge_population([population_slices(events, ITEMS, [AS_OF - timedelta(days=7)])])
    with pytest.raises(ValueError, match="not that of 2024-03-01"):
        activity_slices(events, ITEMS, [AS_OF], population=other)
    alone = [feature for feature in FEATURES if not needs_population([feature])]
    assert len(FEATURES) - len(alone) == 6
    assert activity_slices(events, ITEMS, [AS_OF], alone)["orders_7d"].to_list() == [1.0]


@PROPERTY
@given(events=event_frames(max_size=40))
def test_any_number_of_buckets_gives_the_same_features(events, tmp_path_factory):
    as_ofs = [AS_OF - timedelta(days=7), AS_OF]
    folder = tmp_path_factory.mktemp("features")
    one, many = (
        compute_features(Shop(events, count), as_ofs, Folder(str(folder / str(count))), IN_PROCESS)
        .read_all()
        .sort(t.AS_OF, t.USER_ID)
        for count in (1, 5)
    )
    assert one.equals(many)
    assert one.filter(pl.col(t.AS_OF) == AS_OF).equals(activity_features(events, ITEMS, AS_OF))
    assert sorted(path.name for path in folder.iterdir()) == ["1", "5"]


@PROPERTY
@given(events=event_frames(max_size=40))
def test_of_a_sample_the_features_are_those_of_everybody_and_at_the_last_as_of_all_are_there(events, tmp_path_factory):
    as_ofs = [AS_OF - timedelta(days=7), AS_OF - timedelta(days=2), AS_OF]
    folder = tmp_path_factory.mktemp("features")
    everybody, some = (
        compute_features(Shop(events, 3), as_ofs, Folder(str(folder / str(share))), IN_PROCESS, share=share)
        .read_all()
        .sort(t.AS_OF, t.USER_ID)
        for share in (1.0, 0.5)
    )
    assert some.equals(everybody.filter(is_sampled(0.5) | (pl.col(t.AS_OF) == AS_OF)))


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
        of_bucket = beside(events) if table_of is BEFORE["activity"] else table_of
        alone = of_bucket(events.filter(pl.col(t.USER_ID) == "5"))
        assert alone.equals(table.filter(pl.col(t.USER_ID) == "5"))


def beside(events: pl.DataFrame) -> TableOf:
    """Features of a bucket beside the population of all, merged from single users."""
    users = [population_slices(part, ITEMS, [AS_OF]) for part in (events.clear(), *events.partition_by(t.USER_ID))]
    population = merge_population(users)
    return lambda part: activity_slices(part, ITEMS, [AS_OF], population=population)


@dataclass(frozen=True)
class Shop:
    """Events in memory, read like a snapshot."""

    events: pl.DataFrame
    bucket_count: int

    @property
    def buckets(self) -> range:
        return range(self.bucket_count)

    def read_events(
        self, bucket: int, as_of: datetime, columns: Sequence[str] | None = None, *, with_anonymous: bool = False
    ) -> pl.DataFrame:
        inside = assign_bucket(self.events, self.bucket_count).filter(pl.col(t.USER_BUCKET) == bucket)
        known = inside.filter(pl.col(t.OCCURRED_AT) < as_of, pl.col(t.RECORDED_AT) < as_of)
        some = known if with_anonymous else known.filter(~t.is_anonymous())
        return some.select(columns or t.EVENTS.columns)

    def read_coded(
        self, bucket: int, as_of: datetime, columns: Sequence[str], *, with_anonymous: bool = False
    ) -> pa.Table:
        return code_events(self.read_events(bucket, as_of, columns, with_anonymous=with_anonymous))

    def read(self, table: t.Table) -> pl.DataFrame:
        return ITEMS


def _purchase(days: int, late_days: int) -> dict[str, object]:
    return event("u0", t.PURCHASE, days, order=f"o{days}", late_days=late_days)
