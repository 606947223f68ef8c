"""JSON lines: the same events as CSV, rows known by their line, and plain words for lines that are no objects."""

import gzip
import json
from pathlib import Path

import polars as pl
import pytest

from everstay import tables as t
from everstay.settings import FilesSource, Source
from everstay.sources import json_lines, open_source
from tests.sources.reading import HEADER, ROWS, files_settings, read_files, refusal_of

LINES = [
    {"id": 1, "customer": "ann", "sku": "A", "what": "buy", "when": "2024-05-01 12:00:00", "pieces": 2, "total": 19.9,
     "note": "fine"},
    {"id": 2, "customer": "bob", "sku": "B", "what": "view", "when": "2024-05-01 12:05:00", "pieces": None,
     "note": 'two\nlines, one "value"'},
    {"id": "3", "customer": "ann", "sku": "B", "what": "buy", "when": "2024-05-02T08:00:00", "pieces": "1", "total": 5},
]  # fmt: skip
TEXT = "".join(json.dumps(line) + "\n" for line in LINES)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.jsonl"


@pytest.mark.parametrize("name", ["events.jsonl", "events.ndjson", "events.json", "events.jsonl.gz"])
def test_json_lines_and_csv_give_the_same_events(tmp_path: Path, name: str) -> None:
    content = TEXT.encode()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    (tmp_path / "events.csv").write_text(HEADER + ROWS)
    lines = read_files(files_settings(tmp_path / name))
    assert lines.drop(t.SOURCE_FILE).equals(read_files(files_settings(tmp_path / "events.csv")).drop(t.SOURCE_FILE))


def test_a_last_line_without_its_end_and_a_byte_order_mark_are_fine(path: Path) -> None:
    path.write_text("\ufeff" + TEXT.removesuffix("\n"))
    assert read_files(files_settings(path))[t.EVENT_ID].to_list() == ["1", "2", "3"]


@pytest.mark.parametrize("chunk_rows", [1, 2, 1_000])
def test_lines_keep_their_numbers(path: Path, chunk_rows: int) -> None:
    first, second, third = TEXT.splitlines(keepends=True)
    path.write_text(first + "\n" + second + "{'no': json}\n" + "[1]\n" + third)
    events = read_files(files_settings(path, chunk_rows=chunk_rows)).sort(t.SOURCE_ROW)
    assert events[t.SOURCE_ROW].to_list() == [1, 3, 4, 5, 6]
    bad = events.filter(pl.col(t.PROBLEM).is_not_null())
    assert bad[t.SOURCE_ROW].to_list() == [4, 5]
    assert bad[t.PROBLEM].unique().to_list() == ["the line is not a JSON object"]
    assert json.loads(bad[t.CONTENT][0]) == {"row": "{'no': json}"}


def test_a_list_is_no_plain_value(path: Path) -> None:
    path.write_text(TEXT + '{"id": 4, "customer": "ann", "sku": ["A", "B"], "what": "view", "when": "2024-05-01"}\n')
    bad = read_files(files_settings(path)).filter(pl.col(t.PROBLEM).is_not_null())
    assert bad[t.PROBLEM].to_list() == ["""sku: '["A","B"]' is not a plain value"""]


def test_a_key_that_comes_late_is_read(path: Path) -> None:
    late = '{"user_id": "b", "occurred_at": "2024-05-01", "platform": "app", "has_marketing_consent": true}\n'
    path.write_text('{"user_id": "a", "occurred_at": "2024-05-01"}\n' + late)
    assert read_files(FilesSource(events=str(path), default_event_type=t.VIEW))[t.PLATFORM].to_list() == [None, "app"]


def test_a_key_that_no_object_has_is_an_absent_column(path: Path) -> None:
    lines = [{"user_id": user, "occurred_at": "2024-05-01"} for user in ("a", "b", "a")]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    events = read_files(FilesSource(events=str(path), default_event_type=t.PURCHASE))
    assert events[t.EVENT_ID].is_duplicated().to_list() == [True, False, True]
    assert events.select(t.QUANTITY, t.AMOUNT).rows() == [(1, 0.0)] * 3


@pytest.mark.parametrize(
    ("ours", "theirs", "meant"), [(t.EVENT_ID, "id", "ids"), (t.AMOUNT, "total", "totals"), (t.TEXT, "note", "notes")]
)
def test_a_key_that_is_named_and_that_no_object_has_is_told_with_the_nearest(
    path: Path, ours: str, theirs: str, meant: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is empty, and not absent: no id is made and no amount assumed. A night without ratings may have none."""
    path.write_text(TEXT.replace(f'"{theirs}"', f'"{meant}"'))
    events = read_files(files_settings(path))
    assert events.filter(pl.col(t.EVENT_TYPE) == t.PURCHASE)[ours].to_list() == [None] * 2
    assert f"events.jsonl: no object has the key '{theirs}', which [columns] of the source names; they " in caplog.text
    assert f"did you mean '{meant}'?" in caplog.text


def test_a_table_lacks_a_key_that_is_named(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path.write_text('{"item_id": "a", "name": "Tea"}\n')
    settings = FilesSource(events="none", items=str(path), columns={t.TITLE: "title"})
    assert open_source(Source(kind="files", files=settings)).items()[t.TITLE].to_list() == [None]
    assert "no object has the key 'title'" in caplog.text


def test_what_tells_events_apart_is_no_matter_of_other_tables(path: Path) -> None:
    path.write_text('{"item_id": "a", "quantity": 3, "amount": 9}\n')
    settings = FilesSource(events="none", items=str(path))
    assert open_source(Source(kind="files", files=settings)).items()[t.ITEM_ID].to_list() == ["a"]


def test_a_key_that_is_required_must_come_early(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_lines, "HEADER_LINES", 1)
    path.write_text('{"user_id": "a"}\n{"user_id": "a", "when": "2024-05-01"}\n')
    settings = FilesSource(events=str(path), default_event_type=t.VIEW, columns={t.OCCURRED_AT: "when"})
    assert "no column 'when' for occurred_at in the first 10,000 lines, where it must occur" in refusal_of(settings)


@pytest.mark.parametrize("chunk_rows", [1, 2, 1_000])
def test_what_a_missing_key_means_does_not_depend_on_the_rows_read_at_once(
    path: Path, monkeypatch: pytest.MonkeyPatch, chunk_rows: int
) -> None:
    monkeypatch.setattr(json_lines, "HEADER_LINES", 1)
    late = {"user_id": "b", "occurred_at": "2024-05-01", "amount": 3, "platform": "app", "quantity": "x"}
    lines = [{"user_id": "a", "occurred_at": "2024-05-01"}, late, {"user_id": "c", "occurred_at": "2024-05-01"}]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    settings = FilesSource(events=str(path), default_event_type=t.PURCHASE, chunk_rows=chunk_rows)
    message = refusal_of(settings)
    assert "events.jsonl: some objects have the key 'quantity', but none of the first 1 has" in message
    assert 'name it in [columns] of the source in the settings (quantity = "quantity")' in message
    named = settings.model_copy(update={"columns": {t.AMOUNT: "amount", t.QUANTITY: "quantity"}})
    events = read_files(named)
    assert events.select(t.QUANTITY, t.AMOUNT, t.PLATFORM).rows() == [
        (None, None, None),
        (None, 3.0, "app"),
        (None, None, None),
    ]
    assert events.equals(read_files(named.model_copy(update={"chunk_rows": 3})))


def test_a_key_that_the_first_objects_have_is_a_column_of_all(path: Path) -> None:
    lines = [{"user_id": "a", "occurred_at": "2024-05-01", "amount": 3}, {"user_id": "b", "occurred_at": "2024-05-01"}]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    settings = FilesSource(events=str(path), default_event_type=t.PURCHASE, chunk_rows=1)
    assert read_files(settings)[t.AMOUNT].to_list() == [3.0, None]


@pytest.mark.parametrize("text", ['{"user_id": "Zoë"}\n'.encode("latin-1"), b"user_id,occurred_at\na,b\n"])
def test_a_file_without_any_object(path: Path, text: bytes) -> None:
    path.write_bytes(text)
    assert "events.jsonl: no line is a JSON object in UTF-8" in refusal_of(files_settings(path))


def test_a_file_cut_in_the_middle_of_a_line(path: Path) -> None:
    path.write_text(TEXT + '{"id": 4, "customer": "an')
    assert "events.jsonl row 4 is cut off, the file ends in the middle of it" in refusal_of(files_settings(path))


def test_an_array_is_not_json_lines(path: Path) -> None:
    path.write_text(json.dumps(LINES))
    assert "events.jsonl is one JSON array: write one object per line" in refusal_of(files_settings(path))


def test_a_missing_key_is_named_with_the_nearest(path: Path) -> None:
    path.write_text(TEXT.replace('"customer"', '"customers"'))
    message = refusal_of(files_settings(path))
    assert "events.jsonl: no column 'customer' for user_id" in message
    assert "did you mean 'customers'?" in message


def test_a_line_without_end_does_not_fill_the_memory(path: Path) -> None:
    path.write_text(TEXT + '{"id": "' + "x" * (17 << 20))
    assert "events.jsonl row 4: a line longer than 8 MiB" in refusal_of(files_settings(path))


def test_an_empty_file(path: Path) -> None:
    path.write_text("")
    assert "events.jsonl is empty: export" in refusal_of(files_settings(path))


def test_ids_of_more_digits_than_64_bits_hold_keep_them(path: Path) -> None:
    ids = [10**22 + number for number in range(3)]
    path.write_text("".join(json.dumps({**LINES[0], "id": number, "customer": number}) + "\n" for number in ids))
    assert read_files(files_settings(path))[t.USER_ID].to_list() == [str(number) for number in ids]
