"""A shop's own database, by real servers: the same events from PostgreSQL and MariaDB, and only new ones again."""

import pickle
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa

from everstay import tables as t
from everstay.errors import SourceError
from everstay.partitions import map_parts, open_cluster
from everstay.settings import Dask, DatabaseSource, Source
from everstay.sources import open_source
from everstay.sources.contract import STAGED, Chunk
from everstay.sources.database_url import arrow_url, database_url
from everstay.sources.sql import Database
from tests.sources.servers import CERTIFICATE, PASSWORD, run_server, run_sql

COLUMNS = {
    t.EVENT_ID: "line", t.USER_ID: "customer", t.ITEM_ID: "sku", t.EVENT_TYPE: "what", t.OCCURRED_AT: "happened",
    t.RECORDED_AT: "logged", t.QUANTITY: "pieces", t.AMOUNT: "total",
}  # fmt: skip
TABLE = (
    "CREATE TABLE order_lines (line bigint PRIMARY KEY, customer varchar(40), sku varchar(40), what varchar(20), "
    "happened {time}, logged {time}, pieces int, total numeric(10, 2), note text)"
)
ROWS = (
    "INSERT INTO order_lines VALUES "
    "(10, 'ann', 'A', 'buy', '2024-05-01 12:00:00', '2024-05-01 12:00:01', 2, 19.90, 'x'),"
    "(12, 'bob', 'B', 'view', '2024-05-01 12:05:00', '2024-05-01 12:05:00.25', NULL, NULL, NULL),"
    "(900, 'ann', 'B', 'buy', '2024-05-02 08:00:00', '2024-05-02 08:00:00', 1, 5, 'ü')"
)
URL = "EVERSTAY_DATABASE_URL"


@pytest.fixture(scope="module", params=["postgresql", "mariadb"])
def server(request: pytest.FixtureRequest) -> Iterator[sa.URL]:
    with run_server(request.param) as url:
        yield url


@pytest.fixture
def shop(server: sa.URL, monkeypatch: pytest.MonkeyPatch) -> sa.URL:
    """A fresh database with three order lines, named by the environment."""
    run_sql(server, "DROP DATABASE IF EXISTS shop", "CREATE DATABASE shop")
    url = server.set(database="shop")
    time = "timestamp" if server.drivername == "postgresql" else "datetime(6)"
    run_sql(url, TABLE.format(time=time), ROWS)
    monkeypatch.setenv(URL, url.render_as_string(hide_password=False))
    return url


def settings_of(**others: Any) -> DatabaseSource:
    given = {"events": "order_lines", "key": "line", "columns": COLUMNS, "event_types": {"buy": t.PURCHASE}}
    return DatabaseSource(**{**given, **others})


def chunks_of(settings: DatabaseSource, newest_recorded_at: datetime | None = None) -> list[Chunk]:
    source = open_source(Source(kind="database", database=settings), newest_recorded_at)
    return list(pickle.loads(pickle.dumps(source.event_chunks())))  # noqa: S301  as Dask


def read_database(settings: DatabaseSource, newest_recorded_at: datetime | None = None) -> pl.DataFrame:
    frames = [frame for chunk in chunks_of(settings, newest_recorded_at) for frame in chunk.read()]
    assert all(frame.schema == pl.Schema(STAGED) for frame in frames)
    return pl.concat(frames) if frames else pl.DataFrame(schema=dict(STAGED))


def refusal_of(settings: DatabaseSource) -> str:
    with pytest.raises(SourceError) as told:
        read_database(settings)
    assert PASSWORD not in str(told.value)
    return str(told.value)


# ---- what works ----------------------------------------------------------------------------------------------------
def test_a_table_becomes_events(shop: sa.URL) -> None:
    events = read_database(settings_of())
    assert events[t.EVENT_ID].to_list() == ["10", "12", "900"]
    assert events[t.USER_ID].to_list() == ["ann", "bob", "ann"]
    assert events[t.EVENT_TYPE].to_list() == [t.PURCHASE, t.VIEW, t.PURCHASE]
    assert events[t.OCCURRED_AT][0] == datetime(2024, 5, 1, 12, tzinfo=UTC)
    assert events[t.RECORDED_AT][1] == datetime(2024, 5, 1, 12, 5, 0, 250_000, UTC)
    assert events[t.QUANTITY].to_list() == [2, 0, 1]
    assert events[t.AMOUNT].to_list() == [19.9, 0.0, 5.0]
    assert events[t.SOURCE_FILE].unique().to_list() == ["order_lines"]
    assert events[t.SOURCE_ROW].to_list() == [10, 12, 900]


def test_a_query_with_colons_and_percent_signs_is_a_table_too(shop: sa.URL) -> None:
    query = "SELECT * FROM order_lines WHERE note LIKE '%' AND happened >= '2024-05-01 12:00:00';\n"
    assert read_database(settings_of(events=query))[t.SOURCE_ROW].to_list() == [10, 900]


def test_ranges_of_the_key_hold_equal_numbers_of_rows_and_lose_none(shop: sa.URL) -> None:
    values = ",".join(
        f"({1_000 + row * row}, 'u{row % 7}', 'A', 'view', '2024-05-03', '2024-05-03', 1, 1, '')"
        for row in range(1_000)
    )
    run_sql(shop, f"INSERT INTO order_lines VALUES {values}")
    settings = settings_of(chunk_rows=100)
    frames = [frame for chunk in chunks_of(settings) for frame in chunk.read()]
    assert [frame.height for frame in frames] == [100] * 10 + [3]
    assert pl.concat(frames).equals(read_database(settings_of()))
    assert pl.concat(frames)[t.SOURCE_ROW].is_unique().all()


@pytest.mark.parametrize("kind", ["numeric(12)", "numeric(20, 2)"])
@pytest.mark.parametrize("chunk_rows", [1, 2, 1_000])
def test_a_key_may_be_a_decimal_that_is_whole(shop: sa.URL, kind: str, chunk_rows: int) -> None:
    plain = read_database(settings_of())
    run_sql(shop, f"ALTER TABLE order_lines ADD COLUMN number {kind}", "UPDATE order_lines SET number = line")
    columns = {**COLUMNS, t.EVENT_ID: "number"}
    settings = settings_of(key="number", columns=columns, chunk_rows=chunk_rows)
    assert len(chunks_of(settings)) == -(-3 // chunk_rows)
    assert read_database(settings).equals(plain)


@pytest.mark.parametrize(("line", "chunk_rows"), [(10, 1_000), (12, 1), (12, 1_000), (900, 1_000)])
def test_a_key_may_not_have_a_fraction(shop: sa.URL, line: int, chunk_rows: int) -> None:
    run_sql(shop, "ALTER TABLE order_lines ADD COLUMN number numeric(20, 2)", "UPDATE order_lines SET number = line")
    run_sql(shop, f"UPDATE order_lines SET number = number + 0.5 WHERE line = {line}")
    message = refusal_of(settings_of(key="number", chunk_rows=chunk_rows))
    assert re.search(rf"of source\.database\.key holds '?{line}\.50*'?, which is not a whole number", message)


def test_workers_read_ranges(shop: sa.URL) -> None:
    chunks = chunks_of(settings_of(chunk_rows=1))
    with open_cluster(Dask(workers=2)) as scheduler:
        assert map_parts(_keys, chunks, scheduler) == [[10], [12], [900]]


def test_no_chunk_carries_the_password(shop: sa.URL) -> None:
    assert PASSWORD.encode() not in pickle.dumps(chunks_of(settings_of()))


def test_options_of_python_s_drivers_and_views_are_fine(shop: sa.URL, monkeypatch: pytest.MonkeyPatch) -> None:
    run_sql(shop, "CREATE VIEW lines_of_ann AS SELECT * FROM order_lines WHERE customer = 'ann'")
    if shop.drivername == "mysql":
        shop = shop.set(drivername="mariadb+pymysql").update_query_dict({"charset": "utf8mb4"})
        monkeypatch.setenv(URL, shop.render_as_string(hide_password=False))
    assert read_database(settings_of(events="lines_of_ann"))[t.SOURCE_ROW].to_list() == [10, 900]


def test_times_are_in_the_stated_zone(shop: sa.URL) -> None:
    events = read_database(settings_of(time_zone="Europe/Berlin"))
    assert events[t.OCCURRED_AT][0] == datetime(2024, 5, 1, 10, tzinfo=UTC)


def test_a_bad_row_is_known_by_its_key(shop: sa.URL) -> None:
    run_sql(shop, "UPDATE order_lines SET customer = 'anonymous:1' WHERE line = 12")
    bad = read_database(settings_of()).filter(pl.col(t.PROBLEM).is_not_null()).row(0, named=True)
    assert (bad[t.SOURCE_FILE], bad[t.SOURCE_ROW]) == ("order_lines", 12)


def test_items_are_read_whole(shop: sa.URL) -> None:
    run_sql(shop, "CREATE TABLE products (sku varchar(9), price numeric(9, 2), title text)")
    run_sql(shop, "INSERT INTO products VALUES ('B', 1.5, 'Cup'), ('A', NULL, 'Tea'), ('A', NULL, 'Tea')")
    items = open_source(
        Source(kind="database", database=settings_of(items="products", columns={t.ITEM_ID: "sku"}))
    ).items()
    assert items.select(t.ITEM_ID, t.PRICE, t.TITLE).rows() == [("A", None, "Tea"), ("B", 1.5, "Cup")]
    assert open_source(Source(kind="database", database=settings_of())).users().height == 0


# ---- options of the URL --------------------------------------------------------------------------------------------
def _options(shop: sa.URL, monkeypatch: pytest.MonkeyPatch, options: dict[str, str]) -> None:
    monkeypatch.setenv(URL, shop.update_query_dict(options).render_as_string(hide_password=False))


def _folder(shop: sa.URL) -> Path:
    """Where the server has its socket and its certificate."""
    query = "SHOW unix_socket_directories" if shop.drivername == "postgresql" else "SELECT @@socket"
    ((place,),) = Database().fetch(query)
    return Path(place) if shop.drivername == "postgresql" else Path(place).parent


HARMLESS = {
    "postgresql": [
        {"connect_timeout": "5", "application_name": "our shop"},
        {"client_encoding": "utf8", "gssencmode": "disable"},
        {"keepalives": "1", "keepalives_count": "3", "sslmode": "prefer"},
        {"sslmode": "disable"},
        {"sslmode": "require"},
    ],
    "mysql": [
        {"connect_timeout": "5", "read_timeout": "30", "write_timeout": "30"},
        {"local_infile": "0", "charset": "utf8mb4"},
        {"ssl_disabled": "true", "program_name": "everstay"},
    ],
}
ONLY_OF_THE_DRIVER = {
    "postgresql": [{"sslmode": "allow"}, {"passfile": "/nowhere"}, {"gssencmode": "prefer", "sslsni": "0"}],
    "mysql": [{"init_command": "SET @a = 1"}, {"sql_mode": "ANSI_QUOTES"}, {"collation": "utf8mb4_bin"}],
}


def test_options_of_the_connection_change_no_row(shop: sa.URL, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = read_database(settings_of())
    for options in HARMLESS[shop.drivername]:
        _options(shop, monkeypatch, options)
        assert arrow_url(database_url()) is not None, options
        assert read_database(settings_of()).equals(plain), options
    for options in ONLY_OF_THE_DRIVER[shop.drivername]:
        _options(shop, monkeypatch, options)
        assert arrow_url(database_url()) is None, options
        assert read_database(settings_of()).equals(plain), options


def test_a_socket_is_read(shop: sa.URL, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, folder = read_database(settings_of()), _folder(shop)
    if shop.drivername == "postgresql":
        local = shop.set(host=None, port=None).update_query_dict({"host": str(folder), "port": str(shop.port)})
    else:
        local = shop.set(host="localhost", port=None).update_query_dict({"unix_socket": str(folder / "s")})
    monkeypatch.setenv(URL, local.render_as_string(hide_password=False))
    assert read_database(settings_of()).equals(plain)


def test_rows_come_encrypted_from_the_server_of_the_certificate(shop: sa.URL, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = str(_folder(shop) / CERTIFICATE)
    if shop.drivername == "postgresql":
        options = {"sslmode": "verify-full", "sslrootcert": certificate}
        is_encrypted = "(SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid())"
        other = {"sslmode": "verify-full", "sslrootcert": __file__}
    else:
        options = {"ssl_ca": certificate}
        variable = "FROM information_schema.session_status WHERE variable_name = 'Ssl_cipher'"
        is_encrypted = f"(SELECT variable_value <> '' {variable})"
        other = {"ssl_ca": __file__}
    settings = settings_of(events=f"SELECT * FROM order_lines WHERE {is_encrypted}")
    _options(shop, monkeypatch, options)
    assert read_database(settings)[t.SOURCE_ROW].to_list() == [10, 12, 900]
    _options(shop, monkeypatch, other)
    assert "cannot be opened" in refusal_of(settings)


def test_an_option_that_decides_what_a_table_is_holds_for_its_rows(
    shop: sa.URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shop.drivername == "postgresql":
        run_sql(shop, "CREATE SCHEMA other", "CREATE TABLE other.more AS SELECT * FROM order_lines WHERE line > 10")
        _options(shop, monkeypatch, {"options": "-c search_path=other -c statement_timeout=9000"})
        assert arrow_url(database_url()) is not None
        settings = settings_of(events="SELECT * FROM more")
    else:
        _options(shop, monkeypatch, {"init_command": "SET @least = 11"})
        settings = settings_of(events="SELECT * FROM order_lines WHERE line > @least")
    assert read_database(settings)[t.SOURCE_ROW].to_list() == [12, 900]


def test_an_option_that_does_not_exist_is_named_when_planning(shop: sa.URL, monkeypatch: pytest.MonkeyPatch) -> None:
    for option in ("ssl_mode", "ssl"):
        _options(shop, monkeypatch, {option: "true"})
        message = refusal_of(settings_of())
        assert "EVERSTAY_DATABASE_URL" in message
        assert option in message


def test_an_option_with_a_wrong_value_is_told_when_planning(shop: sa.URL, monkeypatch: pytest.MonkeyPatch) -> None:
    _options(shop, monkeypatch, {"connect_timeout": "soon"})
    message = refusal_of(settings_of())
    assert "database" in message.lower()
    assert "soon" in message


def test_the_driver_s_rows_are_those_of_arrow_whatever_the_type(shop: sa.URL, monkeypatch: pytest.MonkeyPatch) -> None:
    is_postgresql = shop.drivername == "postgresql"
    kinds = {"odd": "uuid" if is_postgresql else "bigint unsigned", "moment": "timestamptz", "day": "date"}
    if not is_postgresql:
        kinds["moment"] = "datetime(6)"
    run_sql(shop, *(f"ALTER TABLE order_lines ADD COLUMN {name} {kind}" for name, kind in kinds.items()))
    value = "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'" if is_postgresql else "18446744073709551615"
    run_sql(shop, f"UPDATE order_lines SET odd = {value}, moment = logged, day = logged WHERE line > 10")
    columns = {**COLUMNS, t.SESSION_ID: "odd", t.RECORDED_AT: "moment", t.ORDER_ID: "day"}
    plain = read_database(settings_of(columns=columns))
    _options(shop, monkeypatch, ONLY_OF_THE_DRIVER[shop.drivername][0])
    assert read_database(settings_of(columns=columns)).equals(plain)
    assert plain[t.SESSION_ID].to_list() == [None, *[value.strip("'")] * 2]


# ---- only what is new ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("others", "read"),
    [
        ({"overlap_hours": 0}, [12, 900]),
        ({"overlap_hours": 24}, [10, 12, 900]),
        ({"incremental": False}, [10, 12, 900]),
        ({"overlap_hours": 0, "time_zone": "Europe/Berlin"}, [900]),
    ],
)
def test_a_second_ingestion_reads_what_is_not_older_than_the_lake(shop: sa.URL, others: Any, read: list[int]) -> None:
    newest = datetime(2024, 5, 1, 12, 5, 0, 250_000, UTC)
    assert read_database(settings_of(**others), newest)[t.SOURCE_ROW].to_list() == read


def test_nothing_new_is_no_chunk(shop: sa.URL) -> None:
    assert chunks_of(settings_of(overlap_hours=0), datetime(2024, 6, 1, tzinfo=UTC)) == []


def test_a_row_that_does_not_say_when_it_was_recorded_is_always_read(shop: sa.URL) -> None:
    run_sql(shop, "UPDATE order_lines SET logged = NULL WHERE line = 10")
    events = read_database(settings_of(overlap_hours=0), datetime(2024, 6, 1, tzinfo=UTC))
    assert events[t.SOURCE_ROW].to_list() == [10]
    assert events[t.RECORDED_AT].to_list() == events[t.OCCURRED_AT].to_list()


def test_a_date_in_the_future_does_not_end_all_reading(shop: sa.URL) -> None:
    run_sql(shop, "UPDATE order_lines SET logged = '2300-01-01' WHERE line = 10")
    run_sql(shop, f"UPDATE order_lines SET logged = '{datetime.now(UTC):%Y-%m-%d %H:%M:%S}' WHERE line = 12")
    far = datetime(2300, 1, 1, tzinfo=UTC)
    assert read_database(settings_of(), far)[t.SOURCE_ROW].to_list() == [10, 12]


def test_times_with_a_zone_and_plain_days_are_watermarks_too(shop: sa.URL) -> None:
    zoned = "timestamptz" if shop.drivername == "postgresql" else "timestamp(6) NULL"
    run_sql(shop, f"ALTER TABLE order_lines ADD COLUMN moment {zoned}", "ALTER TABLE order_lines ADD COLUMN day date")
    run_sql(shop, "UPDATE order_lines SET moment = logged, day = logged")
    newest = datetime(2024, 5, 2, 8, tzinfo=UTC)
    for column, read in (("moment", [900]), ("day", [900])):
        settings = settings_of(overlap_hours=0, columns={**COLUMNS, t.RECORDED_AT: column})
        assert read_database(settings, newest)[t.SOURCE_ROW].to_list() == read


def test_a_table_that_dates_no_record_is_read_whole(shop: sa.URL) -> None:
    columns = {ours: theirs for ours, theirs in COLUMNS.items() if ours != t.RECORDED_AT}
    assert read_database(settings_of(columns=columns), datetime(2024, 6, 1, tzinfo=UTC)).height == 3


def test_a_watermark_that_is_text(shop: sa.URL) -> None:
    settings = settings_of(columns={**COLUMNS, t.RECORDED_AT: "note"})
    with pytest.raises(
        SourceError, match=r"recorded_at holds 'x', which is not a database time: .*incremental = false"
    ):
        chunks_of(settings, datetime(2024, 6, 1, tzinfo=UTC))


# ---- what cannot be read -------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("others", "words"),
    [
        (
            {"events": "order_line"},
            "has no table 'order_line'; did you mean 'order_lines'?; correct source.database.even",
        ),
        ({"items": "products"}, "has no table 'products'; it has order_lines; correct source.database.items"),
        ({"events": "SELECT nothing FROM order_lines"}, "database 'shop' at 127.0.0.1 rejects a query: "),
        (
            {"columns": {**COLUMNS, t.PLATFORM: "device"}},
            "order_lines: no column 'device' for platform; it has line",
        ),
        ({"key": "lines"}, "order_lines: no column 'lines' for source.database.key; it has line"),
        ({"key": "customer"}, "of source.database.key holds 'ann', which is not a whole number: name a unique"),
        ({"key": "pieces"}, "of source.database.key is missing in 1 rows"),
    ],
)
def test_what_is_not_there_is_told(shop: sa.URL, others: dict[str, Any], words: str) -> None:
    source = open_source(Source(kind="database", database=settings_of(**others)))
    with pytest.raises(SourceError) as told:
        source.items() if "items" in others else source.event_chunks()
    assert words in str(told.value)
    assert PASSWORD not in str(told.value)


@pytest.mark.parametrize("chunk_rows", [1, 1_000])
def test_a_key_that_is_not_unique(shop: sa.URL, chunk_rows: int) -> None:
    run_sql(shop, "UPDATE order_lines SET pieces = 1")
    message = refusal_of(settings_of(key="pieces", chunk_rows=chunk_rows))
    assert ("is not unique" if chunk_rows == 1 else "holds 1 twice") in message


def test_an_empty_table(shop: sa.URL) -> None:
    run_sql(shop, "DELETE FROM order_lines")
    assert "order_lines has no rows: correct source.database.events" in refusal_of(settings_of())


def test_a_catalogue_that_contradicts_itself(shop: sa.URL) -> None:
    run_sql(shop, "CREATE TABLE products (item_id varchar(9), title text)")
    run_sql(shop, "INSERT INTO products VALUES ('A', 'Tea'), ('A', 'Cup')")
    with pytest.raises(SourceError, match="products row 2: item_id 'A' appears twice with different values"):
        open_source(Source(kind="database", database=settings_of(items="products", columns={}))).items()


def test_a_wrong_password_a_wrong_database_and_no_server(shop: sa.URL, monkeypatch: pytest.MonkeyPatch) -> None:
    for url in (shop.set(password="wrong"), shop.set(database="absent"), shop.set(port=9)):
        monkeypatch.setenv(URL, url.render_as_string(hide_password=False))
        message = refusal_of(settings_of())
        assert "cannot be opened" in message
        assert "check EVERSTAY_DATABASE_URL" in message
        assert "wrong" not in message


def test_a_table_that_went_away_before_it_was_read(shop: sa.URL) -> None:
    chunk = chunks_of(settings_of())[0]
    run_sql(shop, "DROP TABLE order_lines")
    with pytest.raises(SourceError, match=r"order_lines cannot be read from the database: .*order_lines") as told:
        list(chunk.read())
    assert "cast" not in str(told.value)


def test_a_type_that_cannot_be_read_has_to_be_cast(shop: sa.URL) -> None:
    is_postgresql = shop.drivername == "postgresql"
    kind, cast = ("money", "CAST(odd AS numeric)") if is_postgresql else ("point", "ST_AsText(odd)")
    run_sql(shop, f"ALTER TABLE order_lines ADD COLUMN odd {kind}")
    message = refusal_of(settings_of(columns={**COLUMNS, t.ITEM_ID: "odd"}))
    assert "order_lines cannot be read from the database" in message
    assert "cast any column whose type cannot be read: use a SELECT instead of the table" in message
    query = f"SELECT line, customer, what, happened, pieces, total, {cast} AS odd FROM order_lines"
    columns = {ours: theirs for ours, theirs in COLUMNS.items() if ours != t.RECORDED_AT}
    assert read_database(settings_of(events=query, columns={**columns, t.ITEM_ID: "odd"})).height == 3


# ---- settings that cannot be used ----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("", "the environment variable EVERSTAY_DATABASE_URL is not set: set it to a URL like postgresql://"),
        ("shop", "EVERSTAY_DATABASE_URL is not a database URL: write one like postgresql://"),
        ("oracle://a:b@host/shop", "EVERSTAY_DATABASE_URL names an unsupported database 'oracle'"),
    ],
)
def test_a_url_that_is_none(monkeypatch: pytest.MonkeyPatch, value: str, words: str) -> None:
    monkeypatch.setenv(URL, value)
    assert words in refusal_of(settings_of())


def test_no_events_named() -> None:
    assert "source.database.events in the settings is empty" in refusal_of(settings_of(events=""))


def _keys(chunk: Chunk) -> list[int]:
    return [key for frame in chunk.read() for key in frame[t.SOURCE_ROW]]
