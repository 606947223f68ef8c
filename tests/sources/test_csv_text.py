"""CSV as shops write it: any usual separator, encoding and decimal mark gives the events of the plain file."""

import gzip
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from everstay import tables as t
from everstay.preview.survey import survey_source
from everstay.settings import FilesSource, Source
from everstay.sources import csv_text, open_source
from everstay.sources.csv_text import STRAY
from tests.sources.reading import COLUMNS, HEADER, ROWS, files_settings, read_files, refusal_of

Write = Callable[..., Path]
MARKS = [";", "\t", "|"]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write the content to a file."""

    def write(content: str, name: str = "events.csv", encoding: str = "utf-8") -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode(encoding))
        return path

    return write


def separated(content: str, mark: str) -> str:
    """The same rows with another separator; a comma within quotation marks stays."""
    return re.sub(r',(?=(?:[^"]*"[^"]*")*[^"]*$)', lambda _: mark, content)


# ---- separators ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("mark", MARKS)
@pytest.mark.parametrize("chunk_rows", [2, 1_000])
def test_the_separator_is_that_of_the_header(write: Write, mark: str, chunk_rows: int) -> None:
    plain = read_files(files_settings(write(HEADER + ROWS)))
    other = files_settings(write(separated(HEADER + ROWS, mark)), chunk_rows=chunk_rows)
    assert "two\nlines, one" in plain[t.TEXT][1]
    assert read_files(other).equals(plain)


@pytest.mark.parametrize("header", ['"a, b";"c"', '"a|b|c";"d, e"'])
def test_a_separator_within_quotation_marks_is_none(write: Write, header: str) -> None:
    user, day = (name.strip('"') for name in header.split(";"))
    settings = FilesSource(
        events=str(write(f"{header}\nann;2024-05-01\n")),
        columns={t.USER_ID: user, t.OCCURRED_AT: day}, default_event_type=t.VIEW,
    )  # fmt: skip
    assert read_files(settings)[t.USER_ID].to_list() == ["ann"]


def test_a_comma_wins_where_two_separators_give_as_many_names(write: Write) -> None:
    settings = FilesSource(
        events=str(write("user_id,occurred_at;at\nann,2024-05-01\n")),
        columns={t.OCCURRED_AT: "occurred_at;at"}, default_event_type=t.VIEW,
    )  # fmt: skip
    assert read_files(settings)[t.USER_ID].to_list() == ["ann"]


@pytest.mark.parametrize("suffix", [".tsv", ".tsv.gz", ".tsv.zst", ".TSV"])
def test_tab_separated_files_may_say_so(tmp_path: Path, suffix: str) -> None:
    content = separated(HEADER + ROWS, "\t").encode()
    if suffix.endswith(".gz"):
        content = gzip.compress(content)
    elif suffix.endswith(".zst"):
        content = pa.compress(content, codec="zstd", asbytes=True)
    path = tmp_path / f"events{suffix}"
    path.write_bytes(content)
    assert read_files(files_settings(path))[t.EVENT_ID].to_list() == ["1", "2", "3"]


@pytest.mark.parametrize("mark", MARKS)
def test_bad_rows_are_told_whatever_the_separator(write: Write, mark: str) -> None:
    marks = {3: '"', 6: '"'}
    rows = [f"{day},ann,{marks.get(day, '')}A,buy,2024-05-0{day} 12:00:00,1,2,fine\n" for day in range(1, 9)]
    rows.append("9,ann,A,buy,2024-05-09,1,2,fine,too many\n")
    content = (HEADER + "".join(rows)).replace(",", mark)
    for chunk_rows in (3, 1_000):
        staged = read_files(files_settings(write(content), chunk_rows=chunk_rows))
        bad = staged.filter(pl.col(t.PROBLEM).is_not_null()).sort(t.SOURCE_ROW)
        assert bad.select(t.SOURCE_ROW, t.PROBLEM).rows() == [
            (3, STRAY),
            (6, "the row has 9 values where the header has 8"),  # the quotation made one row of 3 to 6
        ]
        shown = mark.replace("\t", "\\t")
        assert f"3{shown}ann{shown}A{shown}buy" in bad[t.CONTENT][0]
        assert staged[t.EVENT_ID].drop_nulls().to_list() == ["1", "2", "7", "8"]


@pytest.mark.parametrize("mark", MARKS)
@pytest.mark.parametrize("rest", ["4,ann,A,bu", '4,ann,A,buy,2024-05-01,1,1.00,"half a te'])
def test_a_cut_is_found_whatever_the_separator(write: Write, mark: str, rest: str) -> None:
    message = refusal_of(files_settings(write(separated(HEADER + ROWS, mark) + rest.replace(",", mark))))
    assert "events.csv row 4 is cut off" in message


# ---- encodings -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("encoding", ["iso-8859-1", "cp1252", "Latin1", "utf-16", "utf-8-sig", "UTF8"])
def test_text_is_read_in_the_encoding_of_the_settings(tmp_path: Path, encoding: str) -> None:
    content = HEADER.replace("note", "größe") + "".join(f"{row},Zoë{row},A,view,2024-05-01,,,é\n" for row in range(999))
    path = tmp_path / "events.csv.gz"
    path.write_bytes(gzip.compress(content.encode(encoding)))
    events = read_files(files_settings(path, encoding=encoding, columns={**COLUMNS, t.TEXT: "größe"}))
    assert events[t.USER_ID].to_list() == [f"Zoë{row}" for row in range(999)]
    assert events[t.TEXT].unique().to_list() == ["é"]
    assert events[t.PROBLEM].null_count() == 999


def test_an_encoding_is_of_the_catalogue_too(write: Write) -> None:
    items = write("item_id;title\nA;Café\n", "items.csv", "cp1252")
    source = open_source(Source(kind="files", files=FilesSource(events="e.csv", items=str(items), encoding="cp1252")))
    assert source.items()[t.TITLE].to_list() == ["Café"]


@pytest.mark.parametrize(("encoding", "place"), [("ascii", 0), ("utf-16", 0), ("cp1252", 9_000_000)])
def test_bytes_that_are_not_in_the_encoding(tmp_path: Path, encoding: str, place: int) -> None:
    row = b"1,ann,A,view,2024-05-01,,,fine\n"
    path = tmp_path / "events.csv"
    path.write_bytes(HEADER.encode() + row * (place // len(row)) + b"1,ann,\x81,view,2024-05-01,,,fine\n" + row)
    message = refusal_of(files_settings(path, encoding=encoding))
    assert message.startswith(f"{path}: the text is not as source.files.encoding says (")
    assert "\n" not in message


@pytest.mark.parametrize(("end", "encoding"), [(b"\x81\n" * 9, "cp1252"), (b"", "utf-8")], ids=["bytes", "cut"])
def test_a_file_that_fails_far_inside_is_refused_at_once(tmp_path: Path, end: bytes, encoding: str) -> None:
    path = tmp_path / "events.csv.gz"
    whole = gzip.compress(HEADER.encode() + b"1,ann,A,view,2024-05-01,,,fine\n" * 300_000 + end, 1)
    path.write_bytes(whole if end else whole[:-9])
    began = time.monotonic()
    refusal_of(files_settings(path, encoding=encoding))
    assert time.monotonic() - began < csv_text._LET_GO_SECONDS, "it waits for a stream that its own error holds"


def test_text_that_is_not_utf_8_may_be_named(write: Write) -> None:
    settings = files_settings(write(HEADER + "1,Zoë,A,view,2024-05-01,,,\n", encoding="cp1252"))
    assert "save the file as UTF-8, or name its encoding in source.files.encoding" in refusal_of(settings)
    assert read_files(settings.model_copy(update={"encoding": "cp1252"}))[t.USER_ID].to_list() == ["Zoë"]


# ---- decimal marks -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("12,50", 12.5), ("-3,5", -3.5), ("1.234,50", 1_234.5), ("1.234.567", 1_234_567.0), (" 7 ", 7.0), (",5", 0.5),
        ("12.5", None), ("1.23,5", None), ("0.750", None), ("1234.567,5", None), ("1,2,3", None), (",", None),
        ("x", None),
    ],
)  # fmt: skip
def test_a_decimal_comma(write: Write, written: str, read: float | None) -> None:
    content = HEADER.replace(",", ";") + f"1;ann;A;buy;2024-05-01;1,0;{written};\n"
    event = read_files(files_settings(write(content), decimal=",")).row(0, named=True)
    assert (event[t.QUANTITY], event[t.AMOUNT]) == (1, read)
    assert event[t.PROBLEM] == (
        None if read is not None else f"amount: '{written}' is not a number with a decimal comma"
    )


def test_a_whole_number_as_id_has_the_shop_s_decimal_mark(write: Write) -> None:
    content = HEADER.replace(",", ";") + "1;17850,0;1.000;view;2024-05-01;;;\n"
    event = read_files(files_settings(write(content), decimal=",")).row(0, named=True)
    assert (event[t.USER_ID], event[t.ITEM_ID]) == ("17850", "1.000")


def test_numbers_of_json_and_parquet_have_a_point_already(tmp_path: Path) -> None:
    rows = pl.DataFrame({t.USER_ID: ["ann"], t.OCCURRED_AT: ["2024-05-01"], t.AMOUNT: [12.5]})
    rows.write_ndjson(tmp_path / "events.jsonl")
    rows.write_parquet(tmp_path / "events.parquet")
    for name in ("events.jsonl", "events.parquet"):
        settings = FilesSource(events=str(tmp_path / name), default_event_type=t.PURCHASE, decimal=",")
        assert read_files(settings)[t.AMOUNT].to_list() == [12.5]


# ---- all of it -----------------------------------------------------------------------------------------------------
INVOICES = (
    "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
    "536365,85123A,WHITE HANGING HEART T-LIGHT HOLDER,6,12/1/2010 8:26,2.55,17850,United Kingdom\n"
    "536367,22633,HAND WARMER £ JACK,6,12/1/2010 8:34,1.85,13047,United Kingdom\n"
    '536544,21773,"DECORATIVE ROSE BATHROOM, BOTTLE",1,12/13/2010 14:32,2.51,,United Kingdom\n'
    "C536379,D,Discount,-1,7/1/2011 9:41,27.5,14527,United Kingdom\n"
)


def test_invoices_as_they_are_published_need_a_format_and_an_encoding(write: Write) -> None:
    settings = FilesSource(
        events=str(write(INVOICES, encoding="iso-8859-1")), encoding="iso-8859-1", time_formats=("%m/%d/%Y %H:%M",),
        time_zone="Europe/London", default_event_type=t.PURCHASE, unit_price="UnitPrice", negative_quantity="return",
        cancelled_order_prefix="C", without_user="keep",
        columns={
            t.USER_ID: "CustomerID", t.ITEM_ID: "StockCode", t.ORDER_ID: "InvoiceNo", t.OCCURRED_AT: "InvoiceDate",
            t.QUANTITY: "Quantity", t.TEXT: "Description",
        },
    )  # fmt: skip
    survey = survey_source(open_source(Source(kind="files", files=settings)), Path("expectations"))
    assert (survey.rows_read, survey.rows_refused, survey.rows_anonymous) == (4, 0, 1)
    rows = survey.first_rows
    assert rows[t.OCCURRED_AT].to_list() == [
        datetime(2010, 12, 1, 8, 26, tzinfo=UTC), datetime(2010, 12, 1, 8, 34, tzinfo=UTC),
        datetime(2010, 12, 13, 14, 32, tzinfo=UTC), datetime(2011, 7, 1, 8, 41, tzinfo=UTC),
    ]  # fmt: skip
    assert rows[t.EVENT_TYPE].to_list() == [t.PURCHASE, t.PURCHASE, t.PURCHASE, t.RETURN]
    assert rows[t.AMOUNT].to_list() == [15.3, 11.1, 2.51, 27.5]
    assert rows[t.TEXT][1] == "HAND WARMER £ JACK"
