"""Files of a version by bucket: the log is read once a process, and another table in the same place is another one."""

import pickle
import shutil
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from deltalake import DeltaTable

from everstay import tables as t
from everstay.lake import Lake, table_version
from everstay.lake.table_version import TableVersion
from tests.lake.test_ingest import LATER, START, ingest, purchases


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path / "lake"), 4)


def users_of(lake: Lake) -> set[str]:
    """Read bucket after bucket, as a worker does that gets the snapshot anew for each."""
    packed = pickle.dumps(lake.snapshot())
    read = [pickle.loads(packed).read_events(bucket, LATER) for bucket in range(lake.bucket_count)]  # noqa: S301  own
    return set(pl.concat(read)[t.USER_ID])


def test_the_log_is_read_once_for_all_buckets(lake: Lake, monkeypatch: pytest.MonkeyPatch):
    ingest(lake, purchases(0, 100))
    ingest(lake, purchases(100, 100))
    opened = []

    def counted(*words: object, **named: object) -> DeltaTable:
        opened.append(words)
        return DeltaTable(*words, **named)

    monkeypatch.setattr(table_version, "DeltaTable", counted)
    assert users_of(lake) == {f"u{number}" for number in range(17)}
    assert len(opened) == 1
    assert users_of(lake) == {f"u{number}" for number in range(17)}
    assert len(opened) == 1
    ingest(lake, purchases(200, 1, user_id=pl.lit("new")))
    assert "new" in users_of(lake)


def test_a_table_made_anew_is_not_taken_for_the_one_before(lake: Lake):
    ingest(lake, purchases(0, 100))
    before = lake.snapshot()
    assert len(users_of(lake)) == 17
    shutil.rmtree(lake.uri)
    ingest(lake, purchases(0, 100, user_id=pl.lit("other")))
    assert lake.snapshot().data_version != before.data_version, "else what was made of the other is taken for its own"
    assert users_of(lake) == {"other"}


def test_files_of_other_times_are_not_named(lake: Lake):
    ingest(lake, purchases(0, 100, user_id=pl.lit("u")))
    ingest(lake, purchases(1_000, 100, user_id=pl.lit("u")))
    version = next(one for one in lake.snapshot().versions if one.name == t.EVENTS.name)
    (bucket,) = [number for number in range(lake.bucket_count) if version.files_of_bucket(number)]
    hour = timedelta(hours=1)
    assert len(version.files_of_bucket(bucket)) == 2
    assert len(version.files_of_bucket(bucket, (START + 99 * hour, START + 999 * hour))) == 1
    assert version.files_of_bucket(bucket, (START + 100 * hour, START + 999 * hour)) == []
    assert len(version.files_of_bucket(bucket, (START + 99 * hour, START + 1_000 * hour))) == 2


def test_a_commit_after_the_table_was_opened_is_not_taken_for_its_version(lake: Lake):
    ingest(lake, purchases(0, 100))
    first = lake.snapshot().versions
    opened = lake.open(t.EVENTS)
    ingest(lake, purchases(100, 100))
    ingest(lake, purchases(200, 100))
    assert opened is not None
    assert TableVersion.of(opened, t.EVENTS, lake.table_uri(t.EVENTS)) in first
    assert lake.snapshot().versions != first
