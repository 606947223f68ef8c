"""Ingestion: idempotent, atomic, quarantining, the same in one process and in several."""

import os
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import permutations
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from everstay import tables as t
from everstay.errors import DataRejected, EverstayError, NotReady, SettingsError, SourceError
from everstay.event_ids import with_ids
from everstay.lake import (
    Lake,
    assign_bucket,
    bucket_files,
    commit_staged,
    compact_events,
    discard_staged,
    stage_events,
    staging,
)
from everstay.lake import ingest as ingestion
from everstay.lake.compaction import MOST_FILES
from everstay.partitions import IN_PROCESS, open_cluster
from everstay.settings import Dask
from everstay.storage import Folder

START = datetime(2023, 1, 1, tzinfo=UTC)
TO_COME = datetime(2099, 3, 4, tzinfo=UTC)
LATER = datetime(2030, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class FrameChunk:
    origin: str
    frame: pl.DataFrame

    def read(self) -> Iterator[pl.DataFrame]:
        yield self.frame


@dataclass(frozen=True)
class NewerChunk:
    """What a database gives when it is read on from the newest event in the lake."""

    lake: Lake
    table: pl.DataFrame
    origin: str = "lines"

    def read(self) -> Iterator[pl.DataFrame]:
        hour = timedelta(hours=1)
        since = START if self.lake.open(t.EVENTS) is None else self.lake.snapshot().newest_recorded_at - hour
        yield self.table.filter(pl.col(t.RECORDED_AT) >= since)


class Killed(BaseException):
    """The process ends here."""


class DyingLake(Lake):
    """Dies before it keeps refused rows."""

    def append(self, table: t.Table, frame: pl.DataFrame) -> None:
        raise Killed


class LaterDyingLake(Lake):
    """Dies as soon as it has kept refused rows."""

    def append(self, table: t.Table, frame: pl.DataFrame) -> None:
        super().append(table, frame)
        raise Killed


@dataclass(frozen=True)
class BrokenChunk:
    origin: str

    def read(self) -> Iterator[pl.DataFrame]:
        yield purchases(0, 5).with_columns(pl.lit(self.origin).alias(t.SOURCE_FILE))
        raise SourceError(f"{self.origin}: the file is cut off")


def purchases(first: int, count: int, **columns: pl.Expr) -> pl.DataFrame:
    """Staged events e<first>... of 17 users, one an hour."""
    numbers = pl.int_range(first, first + count, eager=True)
    times = [START + timedelta(hours=int(n)) for n in numbers]
    events = pl.DataFrame(
        {
            t.EVENT_ID: [f"e{n}" for n in numbers],
            t.USER_ID: [f"u{n % 17}" for n in numbers],
            t.ITEM_ID: [f"i{n % 5}" for n in numbers],
            t.EVENT_TYPE: t.PURCHASE,
            t.OCCURRED_AT: times,
            t.RECORDED_AT: times,
            t.QUANTITY: 1,
            t.AMOUNT: 2.5,
            t.DISCOUNT: 0.0,
        }
    )
    return t.EVENTS.conform(events.with_columns(**columns)).with_columns(
        pl.lit("orders.csv").alias(t.SOURCE_FILE),
        pl.Series(t.SOURCE_ROW, numbers) + 1,
        pl.lit(None, pl.String).alias(t.PROBLEM),
        pl.lit(None, pl.String).alias(t.CONTENT),
    )


def ingest(lake: Lake, *frames: pl.DataFrame, scheduler: str = IN_PROCESS, share: float = 0.5):
    chunks = [FrameChunk(f"file-{number}", frame) for number, frame in enumerate(frames)]
    return commit_staged(stage_events(lake, chunks, scheduler, max_quarantined_share=share))


def everything(lake: Lake) -> pl.DataFrame:
    snapshot = lake.snapshot()
    return pl.concat([snapshot.read_events(bucket, LATER) for bucket in snapshot.buckets]).sort(t.EVENT_ID)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path / "lake"), 4)


def test_what_goes_in_comes_out(lake: Lake):
    staged = purchases(0, 200)
    result = ingest(lake, staged)
    assert (result.rows_read, result.rows_added, result.rows_duplicate, result.rows_quarantined) == (200, 200, 0, 0)
    assert_frame_equal(everything(lake), staged.select(*t.EVENTS.columns).sort(t.EVENT_ID))
    assert lake.snapshot().event_count == 200


def test_frames_with_more_text_than_short_offsets_reach_lie_beside_others(lake: Lake, monkeypatch: pytest.MonkeyPatch):
    staged = [purchases(0, 20), purchases(20, 20, text=pl.lit("x" * 10_000))]
    monkeypatch.setattr(staging, "_SHORT_BYTES", 100_000)
    ingest(lake, *staged)
    assert_frame_equal(everything(lake), pl.concat(staged).select(*t.EVENTS.columns).sort(t.EVENT_ID))


def test_ids_are_made_where_a_file_has_none(lake: Lake):
    with_own, without = purchases(0, 40), purchases(40, 40).drop(t.EVENT_ID)
    ingest(lake, with_own, without)
    want = pl.concat([with_own, with_ids(without).select(with_own.columns)])
    assert_frame_equal(everything(lake), want.select(*t.EVENTS.columns).sort(t.EVENT_ID))
    again = ingest(lake, without, with_ids(without).select(with_own.columns))
    assert (again.rows_added, again.rows_duplicate) == (0, 80)


def test_events_of_one_moment_are_in_the_order_of_their_made_ids(lake: Lake):
    """As text, for so they are stored and so other files' rows are merged; as bytes the order would be another."""
    rows = purchases(0, 200, **{t.USER_ID: pl.lit("u1"), t.OCCURRED_AT: pl.lit(START), t.RECORDED_AT: pl.lit(START)})
    ingest(lake, rows.with_columns(pl.int_range(pl.len()).cast(pl.Float64).alias(t.AMOUNT)).drop(t.EVENT_ID))
    snapshot = lake.snapshot()
    stored = pl.concat([snapshot.read_events(bucket, LATER) for bucket in snapshot.buckets])[t.EVENT_ID]
    assert len(stored) == 200
    assert stored.to_list() == sorted(stored)


def test_ingesting_twice_equals_once(lake: Lake):
    ingest(lake, purchases(0, 100), purchases(100, 100))
    before, version = everything(lake), lake.snapshot().data_version
    again = ingest(lake, purchases(50, 150), purchases(0, 60))
    assert again.rows_added == 0
    assert again.rows_duplicate == 210
    assert lake.snapshot().data_version == version
    assert_frame_equal(everything(lake), before)


def test_only_new_events_are_added(lake: Lake):
    ingest(lake, purchases(0, 100))
    assert ingest(lake, purchases(90, 20)).rows_added == 10
    assert everything(lake)[t.EVENT_ID].n_unique() == len(everything(lake)) == 110


def test_worker_processes_give_the_same_lake(lake: Lake, tmp_path: Path):
    frames = [purchases(start, 50) for start in range(0, 300, 50)]
    ingest(lake, *frames)
    other = Lake(str(tmp_path / "other"), 4)
    with open_cluster(Dask(workers=2)) as scheduler:
        ingest(other, *frames, scheduler=scheduler)
    assert_frame_equal(everything(other), everything(lake))


def test_one_bucket_or_many_hold_the_same(lake: Lake, tmp_path: Path):
    one = Lake(str(tmp_path / "one"), 1)
    for each in (lake, one):
        ingest(each, purchases(0, 300))
    assert_frame_equal(everything(one), everything(lake))


def test_a_user_lives_in_one_bucket_and_events_are_sorted(lake: Lake):
    ingest(lake, purchases(0, 300).sample(fraction=1, shuffle=True, seed=1))
    snapshot = lake.snapshot()
    homes = {}
    for bucket in snapshot.buckets:
        events = snapshot.read_events(bucket, LATER)
        assert_frame_equal(events, events.sort(t.USER_ID, t.OCCURRED_AT, t.EVENT_ID))
        homes[bucket] = set(events[t.USER_ID])
    assert sum(len(users) for users in homes.values()) == len(set().union(*homes.values())) == 17


def test_reading_as_of_sees_only_what_was_known(lake: Lake):
    late = pl.when(pl.col(t.EVENT_ID) == "e3").then(pl.col(t.RECORDED_AT) + pl.duration(days=9))
    ingest(lake, purchases(0, 100, recorded_at=late.otherwise(pl.col(t.RECORDED_AT))))
    as_of = START + timedelta(hours=50)
    snapshot = lake.snapshot()
    known = pl.concat([snapshot.read_events(bucket, as_of) for bucket in snapshot.buckets])
    assert set(known[t.EVENT_ID]) == {f"e{n}" for n in range(50)} - {"e3"}


def test_an_event_of_the_moment_itself_is_not_known_whichever_way_it_is_read(lake: Lake):
    ingest(lake, purchases(0, 100))
    snapshot, last = lake.snapshot(), START + timedelta(hours=99)
    for as_of, known in ((last, 99), (last + timedelta(microseconds=1), 100)):
        assert sum(len(snapshot.read_events(bucket, as_of)) for bucket in snapshot.buckets) == known
        assert sum(len(snapshot.read_coded(bucket, as_of, (t.USER_ID,))) for bucket in snapshot.buckets) == known


def test_a_snapshot_does_not_move(lake: Lake):
    ingest(lake, purchases(0, 100))
    before = lake.snapshot()
    ingest(lake, purchases(100, 50))
    assert before.event_count == 100
    assert lake.snapshot().event_count == 150
    assert before.data_version != lake.snapshot().data_version
    assert before.first_event_at == START
    assert before.newest_recorded_at == START + timedelta(hours=99)
    assert before.recorded_until == START + timedelta(hours=99, milliseconds=1)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({t.USER_ID: pl.lit(None, pl.String)}, "user_id: is missing"),
        ({t.USER_ID: pl.lit("  ")}, "user_id: is empty"),
        ({t.USER_ID: pl.lit("NULL")}, "user_id: 'NULL' is not an id; leave it empty if there is none"),
        ({t.ITEM_ID: pl.lit("nan")}, "item_id: 'nan' is not an id"),
        ({t.OCCURRED_AT: pl.lit(None, t.TIME)}, "occurred_at: is missing"),
        (
            {t.OCCURRED_AT: pl.lit(datetime(1900, 1, 1, tzinfo=UTC))},
            "00:00:00.000000+00:00 is not between 1990 and 2100",
        ),
        ({t.AMOUNT: pl.lit(1.5e11)}, "amount: 150000000000.0 is above a hundred billion"),
        ({t.EVENT_TYPE: pl.lit("bought")}, "event_type: 'bought' is unknown"),
        ({t.QUANTITY: pl.lit(-2)}, "quantity: -2 is negative"),
        ({t.QUANTITY: pl.lit(1_000_001)}, "quantity: 1000001 is above a million"),
        ({t.AMOUNT: pl.lit(-0.5)}, "amount: -0.5 is not zero or more"),
        ({t.AMOUNT: pl.lit(float("nan"))}, "amount: NaN is not zero or more"),
        ({t.DISCOUNT: pl.lit(float("inf"))}, "discount: inf is not zero or more"),
        ({t.RATING: pl.lit(6.0)}, "rating: 6.0 is not within 1 to 5"),
        ({t.RECORDED_AT: pl.col(t.OCCURRED_AT) - pl.duration(hours=1)}, "recorded_at: is before occurred_at"),
        ({t.RECORDED_AT: pl.lit(TO_COME)}, "recorded_at: 2099-03-04 00:00:00.000000+00:00 is in the future; check"),
        ({t.RECORDED_AT: pl.lit(TO_COME), t.OCCURRED_AT: pl.lit(TO_COME)}, "occurred_at: 2099-03-04 00:00:00"),
    ],
)
def test_a_bad_row_is_quarantined_with_file_row_and_reason(lake: Lake, columns: dict[str, pl.Expr], words: str):
    result = ingest(lake, purchases(0, 30), purchases(30, 1, **columns))
    assert (result.rows_added, result.rows_quarantined) == (30, 1)
    row = lake.read(t.QUARANTINE).row(0, named=True)
    assert (row[t.SOURCE_FILE], row[t.SOURCE_ROW]) == ("orders.csv", 31)
    assert words in row[t.PROBLEM]
    assert '"e30"' in row[t.CONTENT]


def test_a_million_pieces_are_stored(lake: Lake):
    assert ingest(lake, purchases(0, 1, quantity=pl.lit(1_000_000))).rows_quarantined == 0
    assert everything(lake)[t.QUANTITY].to_list() == [1_000_000]


@pytest.mark.parametrize("bad", [1, 2, 3])
def test_bad_rows_among_good_ones_of_one_frame(lake: Lake, bad: int):
    frame = pl.concat([purchases(0, 40), purchases(40, bad, user_id=pl.lit(" ")), purchases(50, 9)])
    result = ingest(lake, frame)
    assert (result.rows_added, result.rows_quarantined) == (49, bad)
    assert lake.read(t.QUARANTINE)[t.PROBLEM].to_list() == ["user_id: is empty"] * bad


def test_bad_rows_of_a_frame_in_pieces_are_told_whichever_piece_they_are_in(lake: Lake):
    pieces = [purchases(100 * piece, 100) for piece in range(3)]
    pieces[1] = pieces[1].with_columns(pl.lit(-1.0).alias(t.AMOUNT))
    assert ingest(lake, pl.concat(pieces, rechunk=False)).rows_quarantined == 100
    told = lake.read(t.QUARANTINE)[t.PROBLEM].unique().to_list()
    assert told == ["amount: -1.0 is not zero or more"]


def test_a_source_problem_is_not_told_twice(lake: Lake):
    bad = purchases(30, 1, occurred_at=pl.lit(None, t.TIME)).with_columns(
        pl.lit("occurred_at: '2017-13-45' is not a time").alias(t.PROBLEM)
    )
    ingest(lake, purchases(0, 30), bad)
    assert lake.read(t.QUARANTINE)[t.PROBLEM].to_list() == ["occurred_at: '2017-13-45' is not a time"]


def test_an_id_used_for_two_events_keeps_the_first_and_quarantines_the_other(lake: Lake):
    twice = pl.concat([purchases(0, 10), purchases(5, 1, amount=pl.lit(99.0), user_id=pl.lit("u5"))])
    result = ingest(lake, twice)
    assert (result.rows_added, result.rows_quarantined) == (10, 1)
    assert "appears twice" in lake.read(t.QUARANTINE)[t.PROBLEM].item()
    assert everything(lake).filter(pl.col(t.EVENT_ID) == "e5")[t.AMOUNT].item() == 2.5


def test_files_that_overlap_are_stored_as_in_two_nights_when_only_the_record_differs(lake: Lake, tmp_path: Path):
    later = pl.col(t.RECORDED_AT) + pl.duration(days=1)
    one, other = purchases(0, 100), purchases(80, 100, recorded_at=later, text=pl.lit("filled in later"))
    together = ingest(lake, other, one, share=0.0)
    assert (together.rows_added, together.rows_duplicate, together.rows_quarantined) == (180, 20, 0)
    nights = Lake(str(tmp_path / "nights"), 4)
    ingest(nights, one)
    ingest(nights, other)
    assert_frame_equal(everything(lake), everything(nights))


def repeated_purchases(seed: int) -> pl.DataFrame:
    """Some of e0-e19, recorded and described anew, and a few of them with another amount."""
    draw = random.Random(seed)
    rows = [
        purchases(
            draw.randrange(20),
            1,
            recorded_at=pl.col(t.OCCURRED_AT) + pl.duration(hours=draw.randrange(2)),
            text=pl.lit(draw.choice(["good", "bad", None]), pl.String),
            amount=pl.lit(draw.choice([2.5, 2.5, 1.0, 9.0])),
        )
        for _ in range(40)
    ]
    return pl.concat(rows)


@pytest.mark.parametrize("seed", range(5))
def test_the_order_in_which_files_are_read_decides_nothing(tmp_path: Path, seed: int):
    files = [repeated_purchases(3 * seed + number) for number in range(3)]
    found = []
    for number, order in enumerate(permutations(files)):
        lake = Lake(str(tmp_path / f"lake-{number}"), 2)
        result = ingest(lake, *(file.sample(fraction=1, shuffle=True, seed=number) for file in order), share=1.0)
        refused = lake.read(t.QUARANTINE).select(t.PROBLEM, t.CONTENT).sort(pl.all())
        assert 0 < result.rows_added < result.rows_read == 120
        assert result.rows_added + result.rows_duplicate + result.rows_quarantined == 120
        found.append((everything(lake), refused))
    for events, refused in found[1:]:
        assert_frame_equal(events, found[0][0])
        assert_frame_equal(refused, found[0][1])
    kept = everything(lake).join(pl.concat(files), on=t.EVENT_ID, how="left").group_by(t.EVENT_ID)
    first = kept.agg(pl.col(t.RECORDED_AT).first() == pl.col(f"{t.RECORDED_AT}_right").min())
    assert first[t.RECORDED_AT].all()


def test_quarantine_does_not_grow_when_the_same_file_comes_again(lake: Lake):
    for _ in range(2):
        ingest(lake, purchases(0, 30), purchases(30, 1, quantity=pl.lit(-2)))
    assert len(lake.read(t.QUARANTINE)) == 1


def test_a_bad_row_at_the_place_of_another_nights_is_kept_too(lake: Lake):
    for night in range(3):
        numbered = pl.lit(31, pl.Int64).alias(t.SOURCE_ROW)
        ingest(lake, purchases(0, 30), purchases(100 + night, 1, quantity=pl.lit(-2)).with_columns(numbered))
    kept = lake.read(t.QUARANTINE)
    assert kept[t.SOURCE_ROW].to_list() == [31] * 3
    assert all(f'"e{100 + night}"' in content for night, content in enumerate(kept[t.CONTENT].sort()))


def test_too_many_bad_rows_reject_the_delivery_and_store_nothing(lake: Lake):
    with pytest.raises(DataRejected, match=r"(?s)4 of 10 rows .* orders.csv, row 7: quantity: -1 is negative") as told:
        ingest(lake, purchases(0, 6), purchases(6, 4, quantity=pl.lit(-1)), share=0.3)
    assert "max_quarantined_share" in str(told.value)
    with pytest.raises(NotReady):
        lake.snapshot()


def test_a_column_that_is_no_id_of_events_rejects_the_delivery_and_stores_nothing(lake: Lake):
    orders = purchases(0, 60).with_columns(pl.format("order-{}", pl.int_range(pl.len()) // 30).alias(t.EVENT_ID))
    told = r"(?s)\d\d of 60 rows .* file-0, row \d+: event_id: order-\d appears twice .* is an order_id"
    with pytest.raises(DataRejected, match=told):
        ingest(lake, orders, share=0.3)
    assert not [file.name for file in Folder(lake.uri).files()]
    with pytest.raises(NotReady):
        lake.snapshot()


def test_a_file_that_breaks_in_the_middle_stores_nothing(lake: Lake):
    ingest(lake, purchases(100, 20))
    before = everything(lake)
    chunks = [FrameChunk("good", purchases(200, 50)), BrokenChunk("broken.csv")]
    with pytest.raises(SourceError, match=r"broken\.csv: the file is cut off"):
        stage_events(lake, chunks, IN_PROCESS, max_quarantined_share=0.5)
    assert_frame_equal(everything(lake), before)
    assert not list(Path(lake.uri, "_staging").glob("*"))


def test_what_is_staged_is_invisible_until_committed_and_gone_when_discarded(lake: Lake):
    ingest(lake, purchases(0, 20))
    staged = stage_events(lake, [FrameChunk("more", purchases(20, 20))], IN_PROCESS, max_quarantined_share=0.5)
    assert lake.snapshot().event_count == 20
    assert sum(len(staged.read(bucket)) for bucket in staged.buckets) == 20
    files = set(Path(lake.table_uri(t.EVENTS)).rglob("*.parquet"))
    discard_staged(staged)
    assert len(files - set(Path(lake.table_uri(t.EVENTS)).rglob("*.parquet"))) == len(staged.files)
    assert len(everything(lake)) == 20


def test_a_crash_between_staging_and_commit_changes_nothing_and_a_second_run_completes(lake: Lake):
    ingest(lake, purchases(0, 20))
    stage_events(lake, [FrameChunk("more", purchases(20, 20))], IN_PROCESS, max_quarantined_share=0.5)  # and dies
    assert len(everything(lake)) == 20
    assert ingest(lake, purchases(20, 20)).rows_added == 20
    assert len(everything(lake)) == 40


@pytest.mark.parametrize("dying", [DyingLake, LaterDyingLake])
def test_a_kill_between_refused_rows_and_events_loses_neither_though_a_source_brings_only_what_is_newer(
    lake: Lake, dying: type[Lake]
):
    is_bad = (pl.int_range(50, dtype=pl.Int32) % 20 == 3).cast(pl.Int32)
    table = purchases(0, 50, quantity=1 - 2 * is_bad)
    chunks = [NewerChunk(lake, table)]
    with pytest.raises(Killed):
        commit_staged(stage_events(dying(lake.uri, 4), chunks, IN_PROCESS, max_quarantined_share=0.5))
    commit_staged(stage_events(lake, chunks, IN_PROCESS, max_quarantined_share=0.5))
    last = commit_staged(stage_events(lake, chunks, IN_PROCESS, max_quarantined_share=0.5))
    assert (last.rows_read, last.rows_added, last.rows_quarantined) == (2, 0, 0)
    assert everything(lake)[t.EVENT_ID].to_list() == table.filter(is_bad == 0)[t.EVENT_ID].sort().to_list()
    assert sorted(lake.read(t.QUARANTINE)[t.SOURCE_ROW]) == [4, 24, 44]


def test_of_two_ingestions_at_once_one_is_told_to_run_again(lake: Lake):
    ingest(lake, purchases(0, 20))
    first = stage_events(lake, [FrameChunk("a", purchases(20, 20))], IN_PROCESS, max_quarantined_share=0.5)
    second = stage_events(lake, [FrameChunk("b", purchases(20, 30))], IN_PROCESS, max_quarantined_share=0.5)
    commit_staged(first)
    with pytest.raises(EverstayError, match="another ingestion was committed meanwhile"):
        commit_staged(second)
    assert everything(lake)[t.EVENT_ID].is_unique().all()
    assert len(everything(lake)) == 40


@dataclass(frozen=True)
class BusyChunk:
    """While it is read, another ingestion is committed."""

    lake: Lake
    origin: str = "slow"

    def read(self) -> Iterator[pl.DataFrame]:
        ingest(self.lake, purchases(100, 20))
        yield purchases(20, 20)


def test_of_two_ingestions_of_which_one_is_quicker_the_other_is_told_to_run_again(lake: Lake):
    ingest(lake, purchases(0, 20))
    with pytest.raises(EverstayError, match="another ingestion was committed meanwhile"):
        commit_staged(stage_events(lake, [BusyChunk(lake)], IN_PROCESS, max_quarantined_share=0.5))
    assert len(everything(lake)) == 40


def test_another_number_of_buckets_is_refused(lake: Lake):
    ingest(lake, purchases(0, 20))
    other = Lake(lake.uri, 8)
    with pytest.raises(SettingsError, match=r"data\.buckets is 8, but the lake was created with 4 user buckets"):
        other.snapshot()
    with pytest.raises(SettingsError):
        stage_events(other, [FrameChunk("a", purchases(20, 20))], IN_PROCESS, max_quarantined_share=0.5)


def test_buckets_are_the_same_for_ever():
    users = pl.DataFrame({t.USER_ID: ["anna", "bert", "清", "42"]})
    assert assign_bucket(users, 16)[t.USER_BUCKET].to_list() == [9, 10, 3, 1]


def test_a_staging_that_fails_late_leaves_no_file(lake: Lake, monkeypatch: pytest.MonkeyPatch):
    ingest(lake, purchases(0, 50))
    files = set(Path(lake.uri).rglob("*.parquet"))
    broken = Path(lake.uri, "_staging")
    monkeypatch.setattr(ingestion, "resolve_bucket", partial(fail_at_last_bucket, last=lake.bucket_count - 1))
    with pytest.raises(OSError, match="disk full"):
        stage_events(lake, [FrameChunk("more", purchases(50, 200))], IN_PROCESS, max_quarantined_share=0.5)
    assert set(Path(lake.uri).rglob("*.parquet")) == files
    assert not list(broken.glob("*"))


def fail_at_last_bucket(numbered, *, last: int, **rest):
    if numbered[0] == last:
        raise OSError("disk full")
    return bucket_files.resolve_bucket(numbered, **rest)


def test_a_leftover_of_a_process_that_died_is_removed_after_a_day(lake: Lake):
    ingest(lake, purchases(0, 50))
    dead = stage_events(lake, [FrameChunk("more", purchases(50, 50))], IN_PROCESS, max_quarantined_share=0.5)
    orphans = [Path(lake.table_uri(t.EVENTS)) / file.path for file in dead.files]
    folder = Path(lake.uri, "_staging", dead.token)
    ingest(lake, purchases(50, 10))
    assert all(path.exists() for path in orphans)
    os.utime(folder / "started", (0, 0))
    ingest(lake, purchases(60, 10))
    assert not any(path.exists() for path in orphans)
    assert not folder.exists()
    assert len(everything(lake)) == 70


def test_a_leftover_of_a_committed_delivery_takes_no_old_version_with_it(lake: Lake):
    staged = stage_events(lake, [FrameChunk("first", purchases(0, 50))], IN_PROCESS, max_quarantined_share=0.5)
    commit_staged(staged)
    first = lake.snapshot()
    folder = Path(lake.uri, "_staging", staged.token)
    for night in range(MOST_FILES):
        ingest(lake, purchases(50 + 20 * night, 20))
    compact_events(lake, IN_PROCESS)
    assert staged.token not in str(lake.open(t.EVENTS).file_uris())
    folder.mkdir(parents=True)
    (folder / "started").touch()  # as if it had been killed before it could clear its folder
    os.utime(folder / "started", (0, 0))
    ingest(lake, purchases(500, 10))
    assert not folder.exists()
    assert sum(len(first.read_events(bucket, LATER)) for bucket in first.buckets) == 50


def test_a_delivery_of_refused_rows_alone_makes_no_empty_lake(lake: Lake):
    result = ingest(lake, purchases(0, 5, quantity=pl.lit(-1)), share=1.0)
    assert (result.rows_added, result.rows_quarantined) == (0, 5)
    with pytest.raises(NotReady):
        lake.snapshot()


def test_an_id_that_is_stored_for_something_else_is_quarantined_and_what_is_stored_kept(lake: Lake):
    ingest(lake, purchases(0, 100))
    changed = pl.when(pl.col(t.EVENT_ID).is_in(["e7", "e9"])).then(99.0).otherwise(t.AMOUNT)
    result = ingest(lake, purchases(0, 120).with_columns(changed.alias(t.AMOUNT)))
    assert (result.rows_added, result.rows_duplicate, result.rows_quarantined) == (20, 98, 2)
    told = lake.read(t.QUARANTINE).sort(t.SOURCE_ROW)
    assert told[t.SOURCE_ROW].to_list() == [8, 10]
    assert told[t.PROBLEM][0].startswith("event_id: e7 is already stored with different content, which was kept")
    assert everything(lake).filter(pl.col(t.EVENT_ID) == "e7")[t.AMOUNT].item() == 2.5


def test_a_file_read_otherwise_than_before_is_not_stored_a_second_time(lake: Lake):
    rows = purchases(0, 60).drop(t.EVENT_ID)
    wrong = pl.when(pl.col(t.SOURCE_ROW) <= 5).then(-1).otherwise(t.QUANTITY).alias(t.QUANTITY)
    first = [FrameChunk("a.csv", rows.with_columns(wrong, pl.lit("a.csv").alias(t.SOURCE_FILE)))]
    commit_staged(stage_events(lake, first, IN_PROCESS, max_quarantined_share=0.5))
    shifted = rows.with_columns(pl.col(t.OCCURRED_AT, t.RECORDED_AT) - timedelta(hours=2))
    again = [FrameChunk("a.csv", shifted.with_columns(pl.lit("a.csv").alias(t.SOURCE_FILE)))]
    before = everything(lake)
    with pytest.raises(DataRejected, match=r"a\.csv: already stored, but .* 55 rows would be stored a second time"):
        stage_events(lake, again, IN_PROCESS, max_quarantined_share=0.5, read_before=["a.csv"])
    dearer = rows.with_columns(pl.when(pl.col(t.SOURCE_ROW) > 57).then(99.0).otherwise(t.AMOUNT).alias(t.AMOUNT))
    few = [FrameChunk("a.csv", dearer.with_columns(pl.lit("a.csv").alias(t.SOURCE_FILE)))]
    with pytest.raises(DataRejected, match="now read it differently: 3 rows"):  # fewer than were refused, but not these
        stage_events(lake, few, IN_PROCESS, max_quarantined_share=0.5, read_before=["a.csv"])
    assert_frame_equal(everything(lake), before)
    mended = [FrameChunk("a.csv", rows.with_columns(pl.lit("a.csv").alias(t.SOURCE_FILE)))]
    staged = stage_events(lake, mended, IN_PROCESS, max_quarantined_share=0.5, read_before=["a.csv"])
    assert (staged.rows_new, staged.rows_duplicate) == (5, 55), "only what was refused before is new"


def test_events_of_another_shop_do_not_come_into_the_lake(lake: Lake):
    mine, other = (replace(lake, shop=shop) for shop in ("your own shop", "the Complete Journey"))
    ingest(mine, purchases(0, 20))
    with pytest.raises(SettingsError, match="the lake holds events of your own shop, but these are of the Complete"):
        ingest(other, purchases(20, 20))
    assert ingest(mine, purchases(20, 20)).rows_added == 20
