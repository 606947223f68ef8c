"""Compaction: fewer files and the same events; old versions readable until they are vacuumed."""

import os
import time
from pathlib import Path

import pytest
from deltalake import DeltaTable
from polars.testing import assert_frame_equal

from everstay import tables as t
from everstay.lake import Lake, compact_events, vacuum
from everstay.lake.compaction import MOST_FILES
from everstay.partitions import IN_PROCESS
from tests.lake.test_ingest import LATER, everything, ingest, purchases


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """A lake of two buckets with more files each than is wanted; the first night is by far the largest."""
    lake = Lake(str(tmp_path / "lake"), 2)
    ingest(lake, purchases(0, 20_000))
    for night in range(MOST_FILES):
        ingest(lake, purchases(20_000 + 50 * night, 50))
    return lake


def files_of(lake: Lake) -> list[str]:
    events = lake.open(t.EVENTS)
    assert events is not None
    return sorted(events.file_uris())


def test_small_files_become_one_and_the_large_one_stays(lake: Lake):
    before, files = everything(lake), files_of(lake)
    assert len(files) == 2 * (MOST_FILES + 1)
    assert compact_events(lake, IN_PROCESS) == 2
    assert len(files_of(lake)) == 2 * 2
    assert len(set(files_of(lake)) & set(files)) == 2
    assert_frame_equal(everything(lake), before)


def test_events_stay_sorted_and_statistics_stay_true(lake: Lake):
    first, last, count = (
        getattr(lake.snapshot(), name) for name in ("first_event_at", "recorded_until", "event_count")
    )
    compact_events(lake, IN_PROCESS)
    snapshot = lake.snapshot()
    assert (snapshot.first_event_at, snapshot.recorded_until, snapshot.event_count) == (first, last, count)
    for bucket in snapshot.buckets:
        events = snapshot.read_events(bucket, LATER)
        assert_frame_equal(events, events.sort(t.USER_ID, t.OCCURRED_AT, t.EVENT_ID))


def test_with_few_files_nothing_is_done(lake: Lake):
    compact_events(lake, IN_PROCESS)
    version = lake.snapshot().data_version
    assert compact_events(lake, IN_PROCESS) == 0
    assert lake.snapshot().data_version == version


def test_known_events_are_known_after_compaction(lake: Lake):
    compact_events(lake, IN_PROCESS)
    assert ingest(lake, purchases(19_990, 60)).rows_added == 0
    assert ingest(lake, purchases(20_390, 60)).rows_added == 50


def test_old_files_are_read_by_old_versions_until_they_are_vacuumed(lake: Lake):
    before = lake.snapshot()
    compact_events(lake, IN_PROCESS)
    assert vacuum(lake, keep_days=7) == 0
    assert before.event_count == sum(len(before.read_events(bucket, LATER)) for bucket in before.buckets)
    events = everything(lake)
    assert vacuum(lake, keep_days=0) == 2 * MOST_FILES
    assert_frame_equal(everything(lake), events)


def test_a_file_that_no_version_names_is_vacuumed_when_it_is_as_old_as_the_versions(lake: Lake):
    lake.replace(t.ITEMS, t.ITEMS.empty(), key="k")
    table = Path(lake.table_uri(t.ITEMS))
    old, young = (table / f"part-{name}.parquet" for name in ("old", "young"))
    for left in (old, young):
        left.write_bytes(b"half a file")
    os.utime(old, (time.time() - 8 * 24 * 3600,) * 2)
    assert vacuum(lake, keep_days=7) == 1
    assert (old.exists(), young.exists()) == (False, True)


def test_what_a_compaction_that_died_has_left_is_removed_after_a_day(lake: Lake, monkeypatch: pytest.MonkeyPatch):
    before = everything(lake)
    monkeypatch.setattr(DeltaTable, "create_write_transaction", die)
    with pytest.raises(KeyboardInterrupt):
        compact_events(lake, IN_PROCESS)
    monkeypatch.undo()
    (folder,) = Path(lake.uri, "_staging").iterdir()
    left = set(Path(lake.table_uri(t.EVENTS)).glob("*/compacted-*"))
    assert len(left) == 2
    ingest(lake, purchases(20_500, 50))
    assert all(path.exists() for path in left)  # of a process that may still be at work
    assert compact_events(lake, IN_PROCESS) == 2
    old = lake.snapshot()
    os.utime(folder / "started", (0, 0))
    ingest(lake, purchases(20_550, 50))
    assert not folder.exists()
    assert set(Path(lake.table_uri(t.EVENTS)).glob("*/compacted-*")).isdisjoint(left)
    assert sum(len(old.read_events(bucket, LATER)) for bucket in old.buckets) == len(before) + 50
    assert len(everything(lake)) == len(before) + 100


def die(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_a_compaction_that_died_after_its_commit_keeps_what_old_versions_name(lake: Lake):
    compact_events(lake, IN_PROCESS)
    old = lake.snapshot()
    (token,) = {Path(uri).stem for uri in files_of(lake) if "compacted-" in uri}
    for night in range(2 * MOST_FILES):
        ingest(lake, purchases(20_500 + 50 * night, 50))
    compact_events(lake, IN_PROCESS)
    assert token not in str(files_of(lake))
    folder = Path(lake.uri, "_staging", token)
    folder.mkdir()
    (folder / "started").touch()
    os.utime(folder / "started", (0, 0))
    ingest(lake, purchases(21_500, 50))
    assert not folder.exists()
    assert sum(len(old.read_events(bucket, LATER)) for bucket in old.buckets) == old.event_count
