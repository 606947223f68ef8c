"""A shop's own files: the same events from CSV and Parquet, and clear words for every way a file can be wrong."""

import gzip
import os
import weakref
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from everstay import tables as t
from everstay.errors import SourceError
from everstay.settings import FilesSource, Source
from everstay.sources import csv_text, open_source
from everstay.sources.csv_text import STRAY
from everstay.sources.quotations import Quotations
from everstay.sources.storage import explained
from tests.sources.reading import COLUMNS, HEADER, ROWS, files_settings, read_files, refusal_of

Write = Callable[[str | bytes], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write the content to events.csv."""

    def write(content: str | bytes) -> Path:
        path = tmp_path / "events.csv"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


# ---- what was stored before ----------------------------------------------------------------------------------------
def _origins(settings: FilesSource, delivered: frozenset[str]) -> list[str]:
    source = open_source(Source(kind="files", files=settings), delivered=delivered)
    return [Path(chunk.origin).stem for chunk in source.event_chunks()]


def _delivered(settings: FilesSource) -> frozenset[str]:
    return frozenset(open_source(Source(kind="files", files=settings)).deliveries())


def test_a_file_is_read_again_when_its_content_or_the_reading_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.csv").write_text(HEADER + ROWS)
    settings = files_settings(tmp_path / "*.csv")
    known = _delivered(settings)
    assert len(known) == 3
    assert _origins(settings, frozenset()) == ["a", "b", "c"]
    assert _origins(settings, known) == []
    assert _origins(settings.model_copy(update={"chunk_rows": 7, "items": "other"}), known) == []
    for reading in (
        {"time_zone": "Europe/Berlin"},
        {"columns": {**COLUMNS, t.TEXT: "sku"}},
        {"event_types": {"buy": t.CART}},
        {"time_formats": ("%Y-%m-%d %H:%M:%S",)},
        {"encoding": "cp1252"},
        {"decimal": ","},
    ):
        assert _origins(settings.model_copy(update=reading), known) == ["a", "b", "c"], reading
    times = (tmp_path / "b.csv").stat()
    (tmp_path / "b.csv").write_text(HEADER + ROWS.replace("ann", "eve"))  # as long as before
    os.utime(tmp_path / "b.csv", ns=(times.st_atime_ns, times.st_mtime_ns))  # as a copy that keeps times does
    (tmp_path / "d.csv").write_text(HEADER + ROWS)
    assert _origins(settings, known) == ["b", "d"]
    monkeypatch.setattr("everstay.sources.files.code_version", lambda room: f"another {room}")
    assert _origins(settings, known) == ["a", "b", "c", "d"]


def test_a_file_that_changes_while_it_is_read_is_read_again(write: Write) -> None:
    settings = files_settings(write(HEADER + ROWS))
    source = open_source(Source(kind="files", files=settings))
    chunks = source.event_chunks()
    write(HEADER + ROWS + ROWS)
    assert [list(chunk.read()) for chunk in chunks]
    assert _origins(settings, frozenset(source.deliveries())) == ["events"]


# ---- what works ----------------------------------------------------------------------------------------------------
def test_columns_types_and_gaps_are_mapped(write: Write) -> None:
    path = write(HEADER + ROWS)
    events = read_files(files_settings(path))
    assert events[t.EVENT_ID].to_list() == ["1", "2", "3"]
    assert events[t.USER_ID].to_list() == ["ann", "bob", "ann"]
    assert events[t.EVENT_TYPE].to_list() == [t.PURCHASE, t.VIEW, t.PURCHASE]
    assert events[t.OCCURRED_AT][0] == events[t.RECORDED_AT][0] == datetime(2024, 5, 1, 12, tzinfo=UTC)
    assert events[t.QUANTITY].to_list() == [2, 0, 1]
    assert events[t.AMOUNT].to_list() == [19.9, 0.0, 5.0]
    assert events[t.DISCOUNT].to_list() == [0.0, 0.0, 0.0]
    assert events[t.TEXT].to_list() == ["fine", 'two\nlines, one "value"', None]
    assert events[t.SOURCE_ROW].to_list() == [1, 2, 3]
    assert events[t.SOURCE_FILE].unique().to_list() == [str(path)]
    assert events.select(pl.col(t.PROBLEM, t.CONTENT).null_count()).row(0) == (3, 3)


def test_an_id_that_looks_like_a_gap_is_an_id(write: Write) -> None:
    assert read_files(files_settings(write(HEADER + "1,ann,NA,buy,2024-05-01,1,1,\n")))[t.ITEM_ID].to_list() == ["NA"]


def test_csv_and_parquet_give_the_same_events_and_ids(write: Write, tmp_path: Path) -> None:
    columns = {ours: theirs for ours, theirs in COLUMNS.items() if ours != t.EVENT_ID}
    csv = files_settings(write(HEADER + ROWS), columns=columns)
    typed = pl.read_csv(csv.events, try_parse_dates=True)
    assert typed.schema["when"] == pl.Datetime("us")
    typed.write_parquet(tmp_path / "events.parquet")
    parquet = files_settings(tmp_path / "events.parquet", columns=columns)
    assert read_files(parquet).drop(t.SOURCE_FILE).equals(read_files(csv).drop(t.SOURCE_FILE))


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_rows_read_at_once_change_nothing_but_the_frames(tmp_path: Path, suffix: str) -> None:
    rows = pl.DataFrame({t.USER_ID: [f"u{row}" for row in range(1_000)]}).with_columns(
        pl.lit("2024-05-01").alias(t.OCCURRED_AT), pl.int_range(1_000).alias(t.QUANTITY)
    )
    path = tmp_path / f"events.{suffix}"
    rows.write_csv(path) if suffix == "csv" else rows.write_parquet(path, row_group_size=60)
    one = FilesSource(events=str(path), default_event_type=t.PURCHASE)
    many = one.model_copy(update={"chunk_rows": 130})
    frames = [frame for chunk in open_source(Source(kind="files", files=many)).event_chunks() for frame in chunk.read()]
    assert len(frames) > 5
    assert max(frame.height for frame in frames) <= 130
    assert pl.concat(frames).equals(read_files(one).drop(t.EVENT_ID))
    assert read_files(one)[t.SOURCE_ROW].to_list() == list(range(1, 1_001))


def test_a_glob_reads_all_files_in_order_of_name(tmp_path: Path) -> None:
    for name, row in (("b", "2,bob,B,view,2024-05-01,,,\n"), ("a", "1,ann,A,view,2024-05-01,,,\n")):
        (tmp_path / f"events-{name}.csv").write_text(HEADER + row)
    events = read_files(files_settings(tmp_path / "events-*.csv"))
    assert events[t.USER_ID].to_list() == ["ann", "bob"]
    assert [Path(file).name for file in events[t.SOURCE_FILE]] == ["events-a.csv", "events-b.csv"]


def test_times_are_in_the_stated_zone(write: Write) -> None:
    events = read_files(files_settings(write(HEADER + ROWS), time_zone="Europe/Berlin"))
    assert events[t.OCCURRED_AT][0] == datetime(2024, 5, 1, 10, tzinfo=UTC)


def test_two_of_our_columns_may_come_from_one_of_theirs(write: Write) -> None:
    columns = {**COLUMNS, t.SESSION_ID: "id", t.RECORDED_AT: "when"}
    events = read_files(files_settings(write(HEADER + ROWS), columns=columns))
    assert events[t.SESSION_ID].to_list() == events[t.EVENT_ID].to_list() == ["1", "2", "3"]
    assert events[t.RECORDED_AT].equals(events[t.OCCURRED_AT].alias(t.RECORDED_AT))


def test_a_last_column_without_name_is_left_out(write: Write) -> None:
    content = "user_id,occurred_at,\nann,2024-05-01,\nbob,2024-05-02,x\n"
    events = read_files(FilesSource(events=str(write(content)), default_event_type=t.VIEW))
    assert events[t.USER_ID].to_list() == ["ann", "bob"]
    assert events[t.PROBLEM].null_count() == 2


def test_files_without_types_quantities_and_amounts(write: Write) -> None:
    settings = FilesSource(events=str(write("user_id,occurred_at\nann,2024-05-01\n")), default_event_type=t.CART)
    event = read_files(settings).row(0, named=True)
    assert (event[t.EVENT_TYPE], event[t.QUANTITY], event[t.AMOUNT], event[t.DISCOUNT]) == (t.CART, 1, 0.0, 0.0)


def test_a_byte_order_mark_and_windows_line_ends_are_fine(write: Write) -> None:
    content = "\ufeff" + (HEADER + ROWS.splitlines()[0] + "\n").replace("\n", "\r\n")
    assert read_files(files_settings(write(content)))[t.TEXT].to_list() == ["fine"]


def test_a_last_line_without_its_end_is_a_row_that_is_warned_of(write: Write, caplog: pytest.LogCaptureFixture) -> None:
    assert read_files(files_settings(write(HEADER + ROWS))).height == 3
    assert not caplog.records
    assert read_files(files_settings(write((HEADER + ROWS).removesuffix("\n")))).height == 3
    assert "events.csv row 3, the last, has no line end: if the file was cut there, so is its" in caplog.text


def test_a_cut_inside_the_last_value_is_warned_of(write: Write, caplog: pytest.LogCaptureFixture) -> None:
    rows = "id,customer,sku,what,when,pieces,note,total\n1,ann,A,buy,2024-05-01 12:00:00,2,fine,125.50\n"
    assert read_files(files_settings(write(rows.removesuffix("5.50\n"))))[t.AMOUNT].to_list() == [12.0]
    assert "events.csv row 1, the last, has no line end" in caplog.text


# ---- rows that cannot be stored ------------------------------------------------------------------------------------
def test_bad_values_are_told_with_file_and_row(write: Write) -> None:
    path = write(HEADER + ROWS + "4,ann,A,buy,2017-13-45,two,1.00,\n" + "5,ann,A,buy,2024-05-03,1,1.00,\n")
    bad = read_files(files_settings(path)).filter(pl.col(t.PROBLEM).is_not_null()).row(0, named=True)
    assert (bad[t.SOURCE_FILE], bad[t.SOURCE_ROW]) == (str(path), 4)
    assert "occurred_at: '2017-13-45' is not a time" in bad[t.PROBLEM]
    assert "; quantity: 'two' is not a whole number up to a million" in bad[t.PROBLEM]
    assert '"when":"2017-13-45"' in bad[t.CONTENT]
    assert (bad[t.OCCURRED_AT], bad[t.QUANTITY]) == (None, None)


def test_a_bad_row_of_a_parquet_file_is_shown_whatever_its_types(tmp_path: Path) -> None:
    path = tmp_path / "events.parquet"
    pl.DataFrame(
        {
            t.USER_ID: pl.Series([1, 2], dtype=pl.UInt64),
            t.OCCURRED_AT: [datetime(2024, 5, 1, tzinfo=UTC)] * 2,
            t.QUANTITY: [1.0, 1.5],
            t.AMOUNT: pl.Series([Decimal("1.50"), None], dtype=pl.Decimal(10, 2)),
            t.PLATFORM: pl.Series(["web", "app"], dtype=pl.Categorical),
        }
    ).write_parquet(path)
    events = read_files(FilesSource(events=str(path), default_event_type=t.VIEW))
    assert events[t.PLATFORM].to_list() == ["web", "app"]
    words = "quantity: '1.5' is not a whole number up to a million; "
    words += "for goods by weight, set fractional_quantity to one_piece"
    assert events[t.PROBLEM].to_list() == [None, words]
    assert events[t.CONTENT][0] is None
    assert '"user_id":2' in events[t.CONTENT][1]
    assert "2024-05-01" in events[t.CONTENT][1]


@pytest.mark.parametrize("zone", ["+05:30", "-03:30", "Z", "+01:00", "Asia/Kolkata"])
def test_times_at_any_offset_are_the_moments_they_are(tmp_path: Path, zone: str) -> None:
    path, moment = tmp_path / "events.parquet", datetime(2024, 5, 1, 12, tzinfo=UTC)
    times = pa.array([moment, moment], pa.timestamp("us", zone))  # as pandas writes them
    pq.write_table(pa.table({t.USER_ID: ["a", "b"], t.OCCURRED_AT: times, t.QUANTITY: ["1", "x"]}), path)
    events = read_files(FilesSource(events=str(path), default_event_type=t.VIEW))
    assert events[t.OCCURRED_AT].to_list() == [moment] * 2
    assert "2024-05-01" in events[t.CONTENT][1]


def test_columns_that_hold_no_plain_values(tmp_path: Path) -> None:
    path = tmp_path / "events.parquet"
    rows = pl.DataFrame({t.USER_ID: [b"\xff"], t.OCCURRED_AT: ["2024-05-01"], t.ITEM_ID: [["a", "b"]]})
    rows.write_parquet(path)
    bad = read_files(FilesSource(events=str(path), default_event_type=t.VIEW)).row(0, named=True)
    assert bad[t.PROBLEM] == "user_id: Binary is not a plain value; item_id: List(String) is not a plain value"


def test_what_the_lake_judges_is_kept_as_it_is(write: Write) -> None:
    rows = "4,ann,A,barter,2024-05-01,-3,-1.5,\n" + "5,ann,A,buy,2024-05-01,,,\n"
    events = read_files(files_settings(write(HEADER + rows)))
    assert events[t.EVENT_TYPE].to_list() == ["barter", t.PURCHASE]
    assert events[t.QUANTITY].to_list() == [-3, None]
    assert events[t.AMOUNT].to_list() == [-1.5, None]
    assert events[t.PROBLEM].null_count() == 2


def test_repeated_rows_without_an_id_are_one_event(write: Write) -> None:
    columns = {ours: theirs for ours, theirs in COLUMNS.items() if ours != t.EVENT_ID}
    row = "4,ann,A,buy,2024-05-01,1,1.00,\n"
    ids = read_files(files_settings(write(HEADER + row + row + ROWS), columns=columns))[t.EVENT_ID]
    assert ids[0] == ids[1]
    assert ids.n_unique() == 4


def test_repeated_ids_are_kept_for_the_lake_to_judge(write: Write) -> None:
    ids = read_files(files_settings(write(HEADER + ROWS + ROWS)))[t.EVENT_ID].to_list()
    assert ids == ["1", "2", "3", "1", "2", "3"]


def test_a_row_with_too_many_values_is_told_and_the_others_keep_their_numbers(write: Write) -> None:
    rows = ["1,ann,A,view,2024-05-01,,,\n"] * 20
    rows[4] = rows[11] = "1,ann,A,view,2024-05-01,,,a,b\n"
    for chunk_rows in (3, 1_000):
        events = read_files(files_settings(write(HEADER + "".join(rows)), chunk_rows=chunk_rows)).sort(t.SOURCE_ROW)
        assert events[t.SOURCE_ROW].to_list() == list(range(1, 21))
        bad = events.filter(pl.col(t.PROBLEM).is_not_null())
        assert bad[t.SOURCE_ROW].to_list() == [5, 12]
        assert bad[t.PROBLEM][0] == "the row has 9 values where the header has 8"
        assert "2024-05-01,,,a,b" in bad[t.CONTENT][0]


# ---- files that cannot be used -------------------------------------------------------------------------------------
def test_a_missing_column_is_named_with_the_nearest(write: Write) -> None:
    message = refusal_of(files_settings(write((HEADER + ROWS).replace("customer", "Customers"))))
    assert "events.csv: no column 'customer' for user_id" in message
    assert "id, Customers, sku" in message
    assert "did you mean 'Customers'?" in message


def test_a_mapped_column_must_be_there_even_when_it_is_optional(write: Write) -> None:
    assert "no column 'note' for text" in refusal_of(files_settings(write((HEADER + ROWS).replace("note", "remark"))))


def test_an_empty_file(write: Write) -> None:
    assert "events.csv is empty: export" in refusal_of(files_settings(write("")))


@pytest.mark.parametrize("content", [HEADER, HEADER.strip(), HEADER + "\n\n"])
def test_a_header_without_rows(write: Write, content: str) -> None:
    assert "events.csv has a header but no rows" in refusal_of(files_settings(write(content)))


def test_a_parquet_file_without_rows(tmp_path: Path) -> None:
    t.EVENTS.empty().write_parquet(tmp_path / "events.parquet")
    assert "has a header but no rows" in refusal_of(FilesSource(events=str(tmp_path / "events.parquet")))


@pytest.mark.parametrize("kept", [0.3, 0.9])
def test_a_parquet_file_cut_in_the_middle(tmp_path: Path, kept: float) -> None:
    path = tmp_path / "events.parquet"
    pl.DataFrame({t.USER_ID: ["a"] * 100}).write_parquet(path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    message = refusal_of(files_settings(path))
    assert "events.parquet is cut off or damaged: export or copy it again" in message


def test_a_parquet_file_with_damaged_rows(tmp_path: Path) -> None:
    path = tmp_path / "events.parquet"
    rows = pl.DataFrame({t.USER_ID: [f"u{row}" for row in range(5_000)]})
    rows.with_columns(pl.lit("2024-05-01").alias(t.OCCURRED_AT)).write_parquet(path)
    content = bytearray(path.read_bytes())
    content[20:2_000] = bytes(1_980)
    path.write_bytes(content)
    assert "is cut off or damaged" in refusal_of(FilesSource(events=str(path), default_event_type=t.VIEW))


@pytest.mark.parametrize("rest", ["4,ann,A,bu", "4", '4,ann,A,buy,2024-05-01,1,1.00,"half a te'])
def test_a_csv_file_cut_in_the_middle_of_a_row(write: Write, rest: str) -> None:
    message = refusal_of(files_settings(write(HEADER + ROWS + rest)))
    assert "events.csv row 4 is cut off, the file ends in the middle of it: export or copy it again" in message


def test_a_quotation_mark_that_swallows_the_rest(write: Write) -> None:
    message = refusal_of(
        files_settings(write(HEADER + '1,ann,A,buy,2024-05-01,1,1.00,"open\n' + ROWS.replace('"', "")))
    )
    assert "events.csv row 1 is cut off" in message


def test_a_quotation_mark_that_swallows_rows_up_to_the_next(write: Write) -> None:
    marks = {3: '"', 6: '"'}
    rows = [f"{day},ann,{marks.get(day, '')}A,buy,2024-05-0{day} 12:00:00,1,2,fine" for day in range(1, 9)]
    staged = read_files(files_settings(write(HEADER + "\n".join(rows) + "\n")))
    told = staged.filter(pl.col(t.PROBLEM).is_not_null()).select(t.SOURCE_ROW, t.PROBLEM, t.ITEM_ID).rows()
    assert told == [(3, STRAY, None)]
    assert staged[t.EVENT_ID].drop_nulls().to_list() == ["1", "2", "7", "8"]


def test_a_cut_shows_in_a_column_that_is_not_wanted(write: Write) -> None:
    columns = {ours: theirs for ours, theirs in COLUMNS.items() if ours != t.TEXT}
    content = HEADER + '1,ann,A,buy,2024-05-01,1,1.00,"open\n' + ROWS.replace('"', "")
    assert "events.csv row 1 is cut off" in refusal_of(files_settings(write(content), columns=columns))


def test_a_file_in_which_no_row_fits_the_header(write: Write) -> None:
    events = read_files(
        files_settings(write("user_id,occurred_at\na,b,c\nd,e,f\n"), columns={}, default_event_type=t.VIEW)
    )
    assert events[t.SOURCE_ROW].to_list() == [1, 2]
    assert events[t.PROBLEM].unique().to_list() == ["the row has 3 values where the header has 2"]


def test_a_file_that_is_wrong_throughout_is_refused_before_it_fills_the_memory(write: Write) -> None:
    content = "user_id,occurred_at\n" + "a,b,c\n" * 100_001
    message = refusal_of(files_settings(write(content), columns={}, default_event_type=t.VIEW))
    assert "events.csv row 100000 is cut off or damaged" in message


def test_inches_are_no_quotation(write: Write) -> None:
    assert read_files(files_settings(write(HEADER + '1,ann,5" nail,buy,2024-05-01,1,1.00,fine\n'))).height == 1


def test_text_that_is_not_utf_8(write: Write) -> None:
    message = refusal_of(
        files_settings(write((HEADER + ROWS).encode() + "4,Zoë,A,buy,2024-05-01,1,1,\n".encode("latin-1")))
    )
    assert "events.csv row 4: the text is not UTF-8: save the file as UTF-8" in message


def test_a_refused_file_is_held_by_nobody(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not by the error, and not by Arrow's thread that reads ahead: it would abort a process that ends meanwhile."""
    held = []

    class Watched(csv_text._WatchedStream):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            held.append(weakref.ref(self))

    monkeypatch.setattr(csv_text, "_WatchedStream", Watched)
    content = (HEADER + ROWS).encode() + "4,Zoë,A,buy,2024-05-01,1,1,\n".encode("latin-1")
    with pytest.raises(SourceError) as refused:
        read_files(files_settings(write(content)))
    assert [file() for file in held] == [None], refused.value


# PyArrow decodes a row of too many values before it asks what to do with it, and tells of its failure aside.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_row_with_too_many_values_that_is_not_utf_8(write: Write) -> None:
    row = "4,Zoë,A,buy,2024-05-01,1,1,fine,too many\n".encode("latin-1")
    message = refusal_of(files_settings(write((HEADER + ROWS).encode() + row)))
    assert "events.csv row 4: the text is not UTF-8: save the file as UTF-8" in message


@pytest.mark.parametrize(
    "content",
    [
        HEADER.replace("note", "größe").encode("latin-1") + ROWS.encode(),
        (HEADER + ROWS).encode("utf-16"),
        gzip.compress((HEADER + ROWS).encode()),
    ],
)
def test_a_first_line_that_is_not_utf_8(write: Write, content: bytes) -> None:
    assert "events.csv: the first line is not UTF-8 text: save the file as UTF-8" in refusal_of(
        files_settings(write(content))
    )


def test_a_file_that_may_not_be_read() -> None:
    with pytest.raises(SourceError, match=r"events\.csv cannot be read: give the account"), explained("events.csv"):
        raise PermissionError(13, "Permission denied")  # what Arrow raises; the superuser may read everything


def test_two_columns_of_one_name(write: Write) -> None:
    assert "more than one column is called 'id'" in refusal_of(files_settings(write("id,id\n1,2\n")))


def test_a_glob_that_matches_nothing(tmp_path: Path) -> None:
    message = refusal_of(files_settings(tmp_path / "event-*.csv"))
    assert "no file matches" in message
    assert "source.files.events" in message


@pytest.mark.parametrize("pattern", ["**.csv", "x" * 256])
def test_a_pattern_that_cannot_be_looked_up(tmp_path: Path, pattern: str) -> None:
    message = refusal_of(files_settings(tmp_path / pattern))
    assert "source.files.events" in message
    assert "in the settings cannot be looked up (" in message


def test_a_folder_that_may_not_be_entered(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0)
    account = os.geteuid()
    if account == 0:  # the superuser may enter every folder
        os.seteuid(65_534)
    try:
        message = refusal_of(files_settings(tmp_path / "closed" / "*.csv"))
    finally:
        os.seteuid(account)
    assert "Permission denied" in message
    assert "source.files.events" in message
    assert "permission to enter the folder" in message


def test_a_folder_and_a_file_of_another_kind(tmp_path: Path) -> None:
    assert "is a folder: set source.files.events" in refusal_of(files_settings(tmp_path))
    (tmp_path / "events.xlsx").write_bytes(b"x")
    (tmp_path / "more.xlsx").mkdir()
    assert "is not .parquet, .csv, .tsv or .jsonl" in refusal_of(files_settings(tmp_path / "*.xlsx"))


# ---- settings that cannot be used ----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"events": ""}, "source.files.events in the settings is empty"),
        ({"columns": {"user": "customer"}}, "'user' is not an Everstay column; did you mean 'user_id'?"),
        ({"event_types": {"buy": "purchases"}}, "'purchases' is not an Everstay event type; did you mean 'purchase'?"),
        ({"default_event_type": "?"}, "'?' is not an Everstay event type; choose one of view, click"),
        ({"time_zone": "Europe/Berlim"}, "'Europe/Berlim' is not a time zone; did you mean 'Europe/Berlin'?"),
        ({"time_zone": "localtime"}, "'localtime' is not a time zone"),
        ({"time_zone": ""}, "'' is not a time zone: write one like Europe/Berlin"),
        ({"encoding": "cp125"}, "[source.files] in the settings: encoding 'cp125' is not an encoding of text; did you"),
        ({"encoding": "latin-0"}, "encoding 'latin-0' is not an encoding of text; did you mean 'latin"),
        ({"encoding": "base64"}, "encoding 'base64' is not an encoding of text"),
        ({"encoding": ""}, "encoding '' is not an encoding of text: write one like cp1252"),
        ({"time_formats": ("%H:%M",)}, "time_formats: '%H:%M' is not a format of times: name year, month and day"),
    ],
)
def test_settings_are_checked_before_any_file(wrong: dict[str, Any], words: str) -> None:
    assert words in refusal_of(files_settings("absent.csv", **{"columns": {}, **wrong}))


# ---- items, users, treatments --------------------------------------------------------------------------------------
def _tables(tmp_path: Path, **contents: str) -> Any:
    for name, content in contents.items():
        (tmp_path / f"{name}.csv").write_text(content)
    paths = {name: str(tmp_path / f"{name}.csv") for name in contents}
    columns = {t.USER_ID: "customer", t.PRICE: "unit price"}
    return open_source(Source(kind="files", files=FilesSource(events="e.csv", columns=columns, **paths)))


def test_tables_that_a_shop_does_not_give_are_empty(tmp_path: Path) -> None:
    source = _tables(tmp_path)
    for table, frame in ((t.ITEMS, source.items()), (t.USERS, source.users()), (t.TREATMENTS, source.treatments())):
        assert frame.schema == pl.Schema(table.columns)
        assert frame.height == 0


def test_tables_are_mapped_and_conform(tmp_path: Path) -> None:
    source = _tables(
        tmp_path,
        items="item_id,unit price,title,colour\nA,1.50,Tea,red\nB,,Cup,\nA,1.50,Tea,blue\n",
        users="customer,has_marketing_consent\nann,yes\nbob,\n",
        treatments="campaign_id,customer,arm,assigned_at\nspring,ann,coupon,2024-04-01\n",
    )
    assert source.items().select(t.ITEM_ID, t.PRICE, t.TITLE).rows() == [("A", 1.5, "Tea"), ("B", None, "Cup")]
    assert source.users().select(t.USER_ID, t.HAS_MARKETING_CONSENT).rows() == [("ann", True), ("bob", None)]
    treatment = source.treatments().row(0, named=True)
    assert (treatment[t.USER_ID], treatment[t.ASSIGNED_AT]) == ("ann", datetime(2024, 4, 1, tzinfo=UTC))
    for table, frame in ((t.ITEMS, source.items()), (t.USERS, source.users()), (t.TREATMENTS, source.treatments())):
        assert frame.schema == pl.Schema(table.columns)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("item_id,unit price\nA,1\nB,cheap\n", "items.csv row 2: price: 'cheap' is not a number"),
        ("item_id,unit price\nA,1\n,2\n", "items.csv row 2: item_id is missing"),
        ("item_id,unit price\nA,1\nB,2\nA,3\n", "items.csv row 3: item_id 'A' appears twice with different values"),
        ("item_id,unit price\nA,1\nB,2,3\n", "items.csv row 2: the row has 3 values where the header has 2"),
        ("sku,unit price\nA,1\n", "items.csv: no column 'item_id' for item_id; it has sku, unit price"),
    ],
)
def test_a_table_that_cannot_be_stored_names_its_row(tmp_path: Path, content: str, words: str) -> None:
    with pytest.raises(SourceError) as caught:
        _tables(tmp_path, items=content).items()
    assert words in str(caught.value)


@pytest.mark.parametrize("wanted", [True, False])
def test_a_quotation_mark_without_its_partner_in_any_column(write: Write, *, wanted: bool) -> None:
    columns = COLUMNS if wanted else {ours: theirs for ours, theirs in COLUMNS.items() if ours != t.TEXT}
    marks = {3: '"', 6: '"'}
    rows = [f"{day},ann,A,buy,2024-05-0{day} 12:00:00,1,2,{marks.get(day, '')}big pan" for day in range(1, 9)]
    staged = read_files(files_settings(write(HEADER + "\n".join(rows) + "\n"), columns=columns))
    told = staged.filter(pl.col(t.PROBLEM).is_not_null())[t.SOURCE_ROW].to_list()
    assert told == [3], "which swallowed rows 4 to 6"
    assert staged.filter(pl.col(t.PROBLEM).is_null())[t.EVENT_ID].to_list() == ["1", "2", "7", "8"]


def test_every_row_of_a_file_of_strays_is_told_and_none_is_remembered(write: Write) -> None:
    rows = [f'{day},ann,"A"a,buy,2024-05-0{day} 12:00:00,1,2,fine\n' for day in range(1, 9)]
    staged = read_files(files_settings(write(HEADER + "".join(rows)), chunk_rows=3))
    assert staged.filter(pl.col(t.PROBLEM) == STRAY)[t.SOURCE_ROW].to_list() == list(range(1, 9))
    quotations = Quotations()
    quotations.follow((HEADER + "".join(rows)).encode())
    assert list(quotations.take_stray(3)) == [1, 2, 3]
    assert list(quotations.stray) == [4, 5, 6, 7, 8]


def test_an_inch_mark_in_the_last_row_is_no_open_quotation(write: Write) -> None:
    content = HEADER + '1,ann,5" nail,buy,2024-05-01,1,1.00,fine'
    assert read_files(files_settings(write(content)))[t.ITEM_ID].to_list() == ['5" nail']


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ('"a, b"', "a, b"),
        ('"a ""b"" c"', 'a "b" c'),
        ('""""', '"'),
        ('"two\nlines"', "two\nlines"),
        ('5" nail', '5" nail'),
        ('"padded" ', "padded "),
        ('""', None),
    ],
)
def test_quotations_that_are_right(write: Write, value: str, read: str | None) -> None:
    rows = [f"{day},ann,A,buy,2024-05-0{day} 12:00:00,1,2,{value}" for day in range(1, 4)]
    staged = read_files(files_settings(write(HEADER + "\r\n\r\n".join(rows) + "\r\n")))
    assert staged[t.TEXT].to_list() == [read] * 3
    assert staged[t.PROBLEM].null_count() == staged.height


@pytest.mark.parametrize(
    ("theirs", "ours", "value"),
    [("total", "amount", "0"), ("pieces", "quantity", "1, or 0 for events without pieces,")],
)
def test_a_file_without_a_column_of_numbers_that_another_has_is_told(
    write: Write, tmp_path: Path, caplog: pytest.LogCaptureFixture, theirs: str, ours: str, value: str
) -> None:
    (tmp_path / "later.csv").write_text((HEADER + ROWS).replace(theirs, "other", 1))
    native = {name: column for name, column in COLUMNS.items() if name != ours}
    write((HEADER + ROWS).replace(theirs, ours, 1))
    read_files(files_settings(tmp_path / "*.csv", columns=native))
    assert f"later.csv has no column '{ours}', unlike" in caplog.text
    assert f"events.csv: {ours} is {value} in its rows" in caplog.text


def test_a_column_called_as_one_of_ours_but_for_capitals_is_told(
    write: Write, caplog: pytest.LogCaptureFixture
) -> None:
    native = {ours: theirs for ours, theirs in COLUMNS.items() if ours != t.AMOUNT}
    read_files(files_settings(write((HEADER + ROWS).replace("total", "Amount", 1)), columns=native))
    assert "column 'Amount' is not read: if it is amount, name it in [columns] of the source" in caplog.text


@pytest.mark.parametrize(
    ("ours", "value", "kept"),
    [
        (t.SESSION_ID, timedelta(hours=1), "1:00:00"),
        (t.TEXT, [b"a", b"b"], "[b'a', b'b']"),
        (t.TEXT, ["and long " * 20], "and long " * 20),
    ],
)
def test_what_is_no_plain_value_is_told_and_kept(tmp_path: Path, ours: str, value: object, kept: str) -> None:
    file = tmp_path / "events.parquet"
    pl.DataFrame({t.USER_ID: ["ann"], t.OCCURRED_AT: ["2024-05-01"], "odd": [value]}).write_parquet(file)
    settings = FilesSource(events=str(file), columns={ours: "odd"}, default_event_type=t.VIEW)
    told = read_files(settings).select(t.PROBLEM, t.CONTENT).row(0)
    assert told[0].startswith(f"{ours}: ")
    assert told[0].endswith(" is not a plain value")
    assert kept in told[1]
