"""Merging sorted events equals sorting them all, and says when only their ids can tell the order."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from polars.testing import assert_frame_equal

from everstay import tables as t
from everstay.lake import Lake, compact_events
from everstay.lake.compaction import MOST_FILES
from everstay.lake.merge import SameMoment, merge_coded
from everstay.lake.order import sort_events
from everstay.partitions import IN_PROCESS
from tests.lake.test_ingest import LATER, ingest, purchases

START = datetime(2023, 1, 1, tzinfo=UTC)
COLUMNS = (t.USER_ID, t.ITEM_ID, t.ORDER_ID, t.QUANTITY, t.AMOUNT, t.OCCURRED_AT)


def events(rows: int, users: int = 9) -> pl.DataFrame:
    """Events of some users at different times, some without an order, one item or amount."""
    rng = np.random.default_rng(rows)
    drawn = rng.integers(0, users, rows)
    return pl.DataFrame(
        {
            t.EVENT_ID: [f"e{number}" for number in range(rows)],
            t.USER_ID: [f"u{number}" for number in drawn],
            t.ITEM_ID: [f"i{number}" if number else None for number in rng.integers(0, 30, rows)],
            t.ORDER_ID: [f"o{number}" if number % 3 else None for number in range(rows)],
            t.QUANTITY: pl.Series(rng.integers(1, 9, rows), dtype=pl.Int32),
            t.AMOUNT: [float(number) if number % 5 else None for number in range(rows)],
            t.OCCURRED_AT: [START + timedelta(seconds=int(second)) for second in rng.permutation(10 * rows)[:rows]],
        }
    )


def coded(frame: pl.DataFrame) -> pa.Table:
    """One part of the lake: in order, ids and types as dictionaries."""
    table = frame.sort(t.USER_ID, t.OCCURRED_AT, t.EVENT_ID).to_arrow(compat_level=pl.CompatLevel.oldest())
    for name in (t.USER_ID, t.ITEM_ID, t.ORDER_ID):
        table = table.set_column(table.column_names.index(name), name, table[name].combine_chunks().dictionary_encode())
    return table


def decoded(table: pa.Table) -> list[tuple]:
    frame = pl.DataFrame(table).select(COLUMNS)
    return frame.with_columns(pl.col(t.USER_ID, t.ITEM_ID, t.ORDER_ID).cast(pl.String)).rows()


@pytest.mark.parametrize("sizes", [(200, 3), (5, 150, 40), (1, 1), (0, 60), (60,)])
def test_merging_equals_sorting(sizes: tuple[int, ...]):
    whole, parts = events(sum(sizes)), []
    for size in sizes:
        parts.append(coded(whole[sum(map(len, parts)) :][:size]))
    merged = merge_coded([part.select(COLUMNS) for part in parts])
    assert decoded(merged) == decoded(sort_events(pa.concat_tables(parts)))
    assert (np.diff(merged[t.USER_ID].combine_chunks().indices.to_numpy()) >= 0).all()


def test_events_of_one_moment_are_not_guessed():
    first = events(50)
    second = first[:1].with_columns(pl.lit("other").alias(t.EVENT_ID))
    with pytest.raises(SameMoment):
        merge_coded([coded(first).select(COLUMNS), coded(second).select(COLUMNS)])


def test_a_lake_of_several_files_is_read_in_order_even_where_moments_are_equal(tmp_path):
    lake = Lake(str(tmp_path / "lake"), 2)
    ingest(lake, purchases(0, 60))
    ingest(lake, purchases(60, 60, occurred_at=pl.col(t.OCCURRED_AT) - timedelta(hours=60)))
    snapshot, columns = lake.snapshot(), (t.USER_ID, t.ITEM_ID, t.OCCURRED_AT)
    for bucket in snapshot.buckets:
        read = pl.DataFrame(snapshot.read_coded(bucket, LATER, columns)).select(columns)
        expected = snapshot.read_events(bucket, LATER, columns)
        assert read.with_columns(pl.col(t.USER_ID, t.ITEM_ID).cast(pl.String)).rows() == expected.rows()


@pytest.mark.parametrize("deliveries", [1, 3])
def test_a_user_s_rows_may_be_deleted_by_delta(tmp_path: Path, deliveries: int):
    lake = Lake(str(tmp_path / "lake"), 2)
    for delivery in range(deliveries):
        ingest(lake, purchases(2_000 * delivery, 30_000))
    moment = datetime(2100, 1, 1, tzinfo=UTC)
    before = pl.concat([lake.snapshot().read_events(bucket, moment) for bucket in range(lake.bucket_count)])
    DeltaTable(lake.table_uri(t.EVENTS)).delete("user_id = 'u5'")
    after = lake.snapshot()
    read = pl.concat([after.read_events(bucket, moment) for bucket in range(lake.bucket_count)])
    assert_frame_equal(read, before.filter(pl.col(t.USER_ID) != "u5"))
    for bucket in range(lake.bucket_count):
        coded = after.read_coded(bucket, moment, [t.USER_ID, t.OCCURRED_AT, t.AMOUNT])
        told = pl.DataFrame(pl.from_arrow(coded)).cast({t.USER_ID: pl.String})
        assert_frame_equal(
            told.select(t.USER_ID, t.AMOUNT), after.read_events(bucket, moment).select(t.USER_ID, t.AMOUNT)
        )
        codes = coded[t.USER_ID].combine_chunks().indices.to_numpy()
        assert (np.diff(codes) >= 0).all()


def test_what_comes_after_a_deletion_is_read_and_compacted_with_what_was_left(tmp_path: Path):
    lake, moment, columns = Lake(str(tmp_path / "lake"), 2), datetime(2100, 1, 1, tzinfo=UTC), [t.EVENT_ID, t.AMOUNT]
    ingest(lake, purchases(0, 3_000))
    DeltaTable(lake.table_uri(t.EVENTS)).delete("user_id = 'u5'")
    ingest(lake, purchases(3_000, 300, occurred_at=pl.col(t.OCCURRED_AT) - timedelta(hours=3_000)))
    for night in range(MOST_FILES):
        snapshot = lake.snapshot()
        for bucket in snapshot.buckets:
            coded = pl.DataFrame(snapshot.read_coded(bucket, moment, columns)).select(columns)
            assert coded.rows() == snapshot.read_events(bucket, moment, columns).rows()
        ingest(lake, purchases(3_300 + 3_000 * night, 3_000))
    before = pl.concat([lake.snapshot().read_events(bucket, moment) for bucket in range(2)])
    assert compact_events(lake, IN_PROCESS) == 2
    assert_frame_equal(pl.concat([lake.snapshot().read_events(bucket, moment) for bucket in range(2)]), before)


def test_a_delivery_is_read_with_files_that_a_person_rewrote_with_wide_offsets(tmp_path: Path):
    lake, moment, columns = Lake(str(tmp_path / "lake"), 2), datetime(2100, 1, 1, tzinfo=UTC), [t.EVENT_ID, t.AMOUNT]
    ingest(lake, purchases(0, 300))
    uri, told = lake.table_uri(t.EVENTS), lake.open(t.EVENTS).metadata()
    rows = pl.read_delta(uri).to_arrow(compat_level=pl.CompatLevel.oldest())
    assert rows.schema.field(t.EVENT_ID).type == pa.large_string()
    kept = {"name": told.name, "description": told.description, "partition_by": [t.USER_BUCKET]}
    write_deltalake(uri, rows, mode="overwrite", schema_mode="overwrite", **kept)
    for night in range(MOST_FILES):
        ingest(lake, purchases(300 + 30 * night, 30, occurred_at=pl.col(t.OCCURRED_AT) - timedelta(hours=300)))
    before = [lake.snapshot().read_events(bucket, moment) for bucket in range(2)]
    for bucket in range(2):
        coded = pl.DataFrame(lake.snapshot().read_coded(bucket, moment, columns)).select(columns)
        assert coded.rows() == before[bucket].select(columns).rows()
    assert compact_events(lake, IN_PROCESS) == 2
    assert_frame_equal(pl.concat(lake.snapshot().read_events(bucket, moment) for bucket in range(2)), pl.concat(before))


def test_rows_of_a_file_in_another_order_are_read_in_the_order_of_events(tmp_path: Path):
    lake = Lake(str(tmp_path / "lake"), 2)
    ingest(lake, purchases(0, 3_000))
    moment = datetime(2100, 1, 1, tzinfo=UTC)
    snapshot = lake.snapshot()
    (version,) = [one for one in snapshot.versions if one.name == t.EVENTS.name]
    for bucket in range(lake.bucket_count):
        for file in version.files_of_bucket(bucket):
            path = Path(lake.uri, file)
            rows, before = pl.read_parquet(path, hive_partitioning=False), snapshot.read_events(bucket, moment)
            middle = len(rows) // 2
            pl.concat([rows[middle:], rows[:middle]]).write_parquet(path)
            assert_frame_equal(snapshot.read_events(bucket, moment), before)
            coded = snapshot.read_coded(bucket, moment, [t.AMOUNT])
            assert coded[t.AMOUNT].to_pylist() == before[t.AMOUNT].to_list()
