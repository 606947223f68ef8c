"""Ingestion from a real database: the night brings what is new, what came late, and nothing twice."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
import sqlalchemy as sa

from everstay import tables as t
from everstay.lake import Lake
from everstay.settings import DATABASE_VARIABLE, load_settings
from everstay.sources import open_source
from flows.ingest_events import ingest_events
from tests.flows.conftest import write_settings
from tests.sources.servers import run_server, run_sql

COLUMNS = (
    t.EVENT_ID,
    t.USER_ID,
    t.ITEM_ID,
    t.EVENT_TYPE,
    t.OCCURRED_AT,
    t.RECORDED_AT,
    t.ORDER_ID,
    t.QUANTITY,
    t.AMOUNT,
)
CREATE = (
    "CREATE TABLE shop_events (line bigserial PRIMARY KEY, event_id text, user_id text, item_id text, event_type text, "
    "occurred_at timestamptz, recorded_at timestamptz, order_id text, quantity int, amount double precision)"
)


@pytest.fixture(scope="module")
def server() -> Iterator[sa.URL]:
    with run_server("postgresql") as url:
        yield url


@pytest.fixture
def database(shop: Path, server: sa.URL, monkeypatch: pytest.MonkeyPatch) -> sa.URL:
    """The shop's settings name a table of events, still empty."""
    run_sql(server, "DROP TABLE IF EXISTS shop_events", CREATE)
    source = '{}\ndatabase = {events = "shop_events", key = "line", chunk_rows = 5_000, overlap_hours = 1}'
    monkeypatch.setenv("EVERSTAY_SETTINGS", str(write_settings(shop, kind='"database"', store_twin=source)))
    monkeypatch.setenv(DATABASE_VARIABLE, server.render_as_string(hide_password=False))
    return server


def insert(url: sa.URL, events: pl.DataFrame) -> None:
    engine = sa.create_engine(url.set(drivername="postgresql+psycopg"), poolclass=sa.NullPool)
    table = sa.Table("shop_events", sa.MetaData(), autoload_with=engine)
    with engine.begin() as connection:
        connection.execute(sa.insert(table), events.select(COLUMNS).to_dicts())


def test_a_second_ingestion_reads_only_what_can_be_new(shop: Path, database: sa.URL) -> None:
    twin = open_source(load_settings().source.model_copy(update={"kind": "store_twin"}))
    events = pl.concat([frame for chunk in twin.event_chunks() for frame in chunk.read()]).sort(t.RECORDED_AT)
    newest: datetime = events[t.RECORDED_AT].max()
    is_old = pl.col(t.RECORDED_AT) < newest - timedelta(days=1)
    old, new = events.filter(is_old), events.filter(~is_old)
    insert(database, old)
    first = ingest_events().result
    assert (first.rows_read, first.rows_added) == (old.height, old.height)

    late = old.head(1).with_columns(pl.lit("late").alias(t.EVENT_ID), pl.lit(newest).alias(t.RECORDED_AT))
    insert(database, pl.concat([new, late]))
    second = ingest_events().result
    since = old[t.RECORDED_AT].max() - timedelta(hours=1)
    again = old.filter(pl.col(t.RECORDED_AT) >= since).height
    assert second.rows_added == new.height + 1
    assert second.rows_read - second.rows_added == second.rows_duplicate <= again + 1
    assert second.rows_read < old.height / 10

    assert ingest_events().result.rows_added == 0
    assert Lake(str(shop / "lake"), 2).snapshot().event_count == events.height + 1


def test_what_is_recorded_at_the_newest_moment_after_a_night_is_read_in_the_next(
    shop: Path, database: sa.URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVERSTAY_SOURCE__DATABASE__OVERLAP_HOURS", "0")
    twin = open_source(load_settings().source.model_copy(update={"kind": "store_twin"}))
    events = next(twin.event_chunks()[0].read()).filter(pl.col(t.EVENT_TYPE) == t.PURCHASE)
    newest = events.filter(pl.col(t.RECORDED_AT) == pl.col(t.RECORDED_AT).max()).head(1)
    insert(database, events)
    ingest_events()
    insert(database, newest.with_columns(pl.lit("same moment").alias(t.EVENT_ID)))
    second = ingest_events().result
    assert (second.rows_read, second.rows_added) == (2, 1)
    assert Lake(str(shop / "lake"), 2).snapshot().event_count == events.height + 1


def test_a_refused_row_that_was_corrected_is_stored_when_everything_is_read_once(
    shop: Path, database: sa.URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    twin = open_source(load_settings().source.model_copy(update={"kind": "store_twin"}))
    events = next(twin.event_chunks()[0].read()).filter(pl.col(t.EVENT_TYPE) == t.PURCHASE).sort(t.RECORDED_AT)
    is_first = pl.int_range(pl.len()) == 0
    quantity = pl.when(is_first).then(-1).otherwise(t.QUANTITY).cast(pl.Int32).alias(t.QUANTITY)
    insert(database, events.with_columns(quantity))
    assert ingest_events().result.rows_quarantined == 1
    run_sql(database, "UPDATE shop_events SET quantity = 1 WHERE quantity = -1")
    assert ingest_events().result.rows_added == 0
    monkeypatch.setenv("EVERSTAY_SOURCE__DATABASE__INCREMENTAL", "false")
    again = ingest_events().result
    assert (again.rows_read, again.rows_added) == (events.height, 1)
    assert Lake(str(shop / "lake"), 2).snapshot().event_count == events.height
