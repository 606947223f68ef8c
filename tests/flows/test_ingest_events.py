"""The ingestion flow: once is as good as twice, and bad data stops before anything is stored."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from deltalake import DeltaTable

from everstay import tables as t
from everstay.errors import DataRejected, NotReady, SourceError
from everstay.lake import Lake
from everstay.settings import load_settings
from everstay.sources import open_source
from everstay.sources.store_twin import write_parquet
from flows.build_features import build_features
from flows.ingest_events import ingest_events
from tests.flows.conftest import write_settings


def lake_of(folder: Path) -> Lake:
    return Lake(str(folder / "lake"), 2)


def test_a_second_run_finds_nothing_new(shop: Path):
    truth = open_source(load_settings().source).truth()
    first, second = ingest_events(), ingest_events()
    assert first.result.rows_added == lake_of(shop).snapshot().event_count > 10_000
    assert first.report is not None
    assert "events" in first.report.read_text()
    assert second.result.rows_added == 0
    assert second.report is None
    assert second.data_version == first.data_version
    assert truth.users().height == 300


def test_a_lake_whose_events_were_all_deleted_is_filled_again(shop: Path):
    added = ingest_events().result.rows_added
    DeltaTable(lake_of(shop).table_uri(t.EVENTS)).delete()
    for needs in ("recorded_until", "first_event_at"):
        with pytest.raises(NotReady, match=r"holds no events any more: run `make ingest`"):
            getattr(lake_of(shop).snapshot(), needs)
    assert ingest_events().result.rows_added == added
    assert lake_of(shop).snapshot().event_count == added


def files_shop(folder: Path, monkeypatch: pytest.MonkeyPatch, spoil: pl.Expr | None = None) -> Path:
    """The twin as a shop's own files; `spoil` changes a column of the first file."""
    exports = folder / "exports"
    write_parquet(exports, load_settings().source.store_twin)
    first = sorted(exports.glob("events-*.parquet"))[0]
    if spoil is not None:
        pl.read_parquet(first).with_columns(spoil).write_parquet(first)
    settings = write_settings(
        folder,
        kind='"files"',
        store_twin=f'{{}}\nfiles = {{events = "{exports}/events-*.parquet", items = "{exports}/items.parquet"}}',
    )
    monkeypatch.setenv("EVERSTAY_SETTINGS", str(settings))
    return first


def test_files_give_the_same_events_as_the_source_they_were_written_from(shop: Path, monkeypatch: pytest.MonkeyPatch):
    files_shop(shop, monkeypatch)
    added = ingest_events().result.rows_added
    assert added == lake_of(shop).snapshot().event_count > 10_000


def test_a_night_reads_the_night_s_files(shop: Path, monkeypatch: pytest.MonkeyPatch):
    file = files_shop(shop, monkeypatch)
    rows = pl.read_parquet(file)
    is_late = pl.col(t.RECORDED_AT) >= pl.col(t.RECORDED_AT).max() - timedelta(days=3)
    rows.filter(~is_late).write_parquet(file)
    first = ingest_events().result
    assert ingest_events().result.rows_read == 0
    rows.filter(is_late).write_parquet(file.with_name("events-9999.parquet"))
    night = ingest_events().result
    assert night.rows_read == night.rows_added == rows.select(is_late.sum()).item() > 0
    rows.write_parquet(file)  # the export of all days is made anew
    again = ingest_events().result
    assert (again.rows_added, again.rows_duplicate) == (0, len(rows))
    assert lake_of(shop).snapshot().event_count == first.rows_added + night.rows_added


def test_a_mapping_that_is_changed_stores_no_row_a_second_time(shop: Path, monkeypatch: pytest.MonkeyPatch):
    file = files_shop(shop, monkeypatch)
    pl.read_parquet(file).drop(t.EVENT_ID).write_parquet(file)
    added = ingest_events().result.rows_added
    monkeypatch.setenv("EVERSTAY_SOURCE__FILES__COLUMNS", f'{{"{t.PLATFORM}": "{t.SESSION_ID}"}}')
    with pytest.raises(DataRejected, match="rows would be stored a second time"):
        ingest_events()
    assert lake_of(shop).snapshot().event_count == added


def test_what_was_rejected_is_read_again(shop: Path, monkeypatch: pytest.MonkeyPatch):
    files_shop(shop, monkeypatch, pl.lit(-1, pl.Int32).alias(t.QUANTITY))
    with pytest.raises(DataRejected):
        ingest_events()
    monkeypatch.setenv("EVERSTAY_SOURCE__MAX_QUARANTINED_SHARE", "1")
    result = ingest_events().result
    assert result.rows_quarantined > 0
    assert result.rows_read == result.rows_added + result.rows_quarantined


def test_a_lake_that_lost_its_events_reads_everything_again(shop: Path, monkeypatch: pytest.MonkeyPatch):
    file = files_shop(shop, monkeypatch)
    added = ingest_events().result.rows_added
    shutil.rmtree(shop / "lake" / t.EVENTS.name)
    everywhere = load_settings().source.files.events
    monkeypatch.setenv("EVERSTAY_SOURCE__FILES__EVENTS", str(file))
    some = ingest_events().result.rows_added
    assert 0 < some < added
    monkeypatch.setenv("EVERSTAY_SOURCE__FILES__EVENTS", everywhere)
    assert ingest_events().result.rows_added == added - some


def test_of_an_older_version_of_the_lake_everything_is_read_again(shop: Path, monkeypatch: pytest.MonkeyPatch):
    file = files_shop(shop, monkeypatch)
    rows = pl.read_parquet(file)
    is_late = pl.col(t.RECORDED_AT) >= pl.col(t.RECORDED_AT).max() - timedelta(days=3)
    rows.filter(~is_late).write_parquet(file)
    ingest_events()
    rows.filter(is_late).write_parquet(file.with_name("events-9999.parquet"))
    added = ingest_events().result.rows_added
    assert added > 0
    lake_of(shop).open(t.EVENTS).restore(0)
    assert [ingest_events().result.rows_added for _ in range(2)] == [added, 0]
    assert ingest_events().result.rows_read == 0


def test_a_row_whose_time_has_not_come_is_read_again(shop: Path, monkeypatch: pytest.MonkeyPatch):
    file = files_shop(shop, monkeypatch)
    first = ingest_events().result
    late = pl.lit(datetime.now(UTC) + timedelta(days=2)).cast(t.TIME)
    row = pl.read_parquet(file).filter(pl.col(t.EVENT_TYPE) == t.PURCHASE).tail(1)
    ahead = row.with_columns(pl.lit("ahead").alias(t.EVENT_ID), late.alias(t.OCCURRED_AT), late.alias(t.RECORDED_AT))
    pl.concat([row.with_columns(pl.lit("now").alias(t.EVENT_ID)), ahead]).write_parquet(
        file.with_name("events-9999.parquet")
    )
    monkeypatch.setenv("EVERSTAY_SOURCE__MAX_QUARANTINED_SHARE", "1")
    night = ingest_events().result
    assert (night.rows_read, night.rows_added, night.rows_quarantined) == (2, 1, 1)
    again = ingest_events().result
    assert (again.rows_read, again.rows_duplicate, again.rows_quarantined) == (2, 1, 1)
    assert lake_of(shop).snapshot().event_count == first.rows_added + 1


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (pl.lit(-1, pl.Int32).alias(t.QUANTITY), "quantity: -1 is negative"),
        (pl.lit("bought").alias(t.EVENT_TYPE), "event_type: 'bought' is unknown"),
        (pl.lit(None, pl.String).alias(t.USER_ID), "user_id: is missing"),
    ],
)
def test_too_many_bad_rows_stop_the_flow_with_file_and_row(
    shop: Path, monkeypatch: pytest.MonkeyPatch, spoil: pl.Expr, words: str
):
    file = files_shop(shop, monkeypatch, spoil)
    with pytest.raises(DataRejected) as told:
        ingest_events()
    assert words in str(told.value)
    assert f"{file}, row 1" in str(told.value)
    with pytest.raises(NotReady):
        lake_of(shop).snapshot()


def test_an_expectation_that_fails_stops_before_anything_is_stored(shop: Path, monkeypatch: pytest.MonkeyPatch):
    first = files_shop(shop, monkeypatch)
    ingest_events()
    before = lake_of(shop).snapshot()
    spoiled = (pl.lit(None, pl.String).alias(t.ITEM_ID), pl.col(t.EVENT_ID) + "-again")
    pl.read_parquet(first).with_columns(spoiled).write_parquet(first)
    with pytest.raises(DataRejected) as told:
        ingest_events()
    assert "99% of the purchases name the item bought" in str(told.value)
    assert str(shop / "reports") in str(told.value)
    assert lake_of(shop).snapshot() == before
    assert lake_of(shop).snapshot().event_count == before.event_count


def test_a_file_cut_in_the_middle_stops_before_anything_is_stored(shop: Path, monkeypatch: pytest.MonkeyPatch):
    file = files_shop(shop, monkeypatch)
    file.write_bytes(file.read_bytes()[:-2_000])
    with pytest.raises(SourceError, match=file.name):
        ingest_events()
    with pytest.raises(NotReady):
        lake_of(shop).snapshot()


def test_features_need_events(shop: Path):
    with pytest.raises(NotReady, match="make train"):
        build_features()


def test_features_are_built_once_per_data_version(shop: Path):
    ingest_events()
    first, second = build_features(), build_features()
    assert first.is_new
    assert not second.is_new
    stored = lake_of(shop).read(t.USER_FEATURES)
    assert set(stored[t.AS_OF]) == set(first.split.as_ofs)
    labels = lake_of(shop).read(t.CHURN_LABELS)
    assert labels.join(stored, on=[t.USER_ID, t.AS_OF], how="anti").is_empty()
    assert 0.05 < labels[t.CHURNED].mean() < 0.95
