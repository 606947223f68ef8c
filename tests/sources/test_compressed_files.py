"""Compressed exports: the same events as plain ones, and a cut-off one is refused."""

import gzip
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from everstay import tables as t
from tests.sources.reading import HEADER, ROWS, files_settings, read_files, refusal_of

MANY = "".join(
    f"{row},user-{row * 7919 % 1013},sku-{row % 37},buy,2024-05-01,1,{row % 97}.5,\n" for row in range(20_000)
)


def compress(content: str, suffix: str) -> bytes:
    raw = content.encode()
    return gzip.compress(raw) if suffix == ".gz" else pa.compress(raw, codec="zstd", asbytes=True)


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_compressed_file_gives_the_events_of_the_plain_one(tmp_path: Path, suffix: str) -> None:
    (tmp_path / "events.csv").write_text(HEADER + ROWS)
    (tmp_path / f"events.csv{suffix}").write_bytes(compress(HEADER + ROWS, suffix))
    plain = read_files(files_settings(tmp_path / "events.csv"))
    compressed = read_files(files_settings(tmp_path / f"events.csv{suffix}"))
    assert compressed.drop(t.SOURCE_FILE).equals(plain.drop(t.SOURCE_FILE))


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
@pytest.mark.parametrize("lost", [4, 2_000])
def test_a_compressed_file_that_is_cut_off(tmp_path: Path, suffix: str, lost: int) -> None:
    path = tmp_path / f"events.csv{suffix}"
    path.write_bytes(compress(HEADER + MANY, suffix)[:-lost])
    message = refusal_of(files_settings(path))
    assert f"events.csv{suffix} is cut off or damaged: export or copy it again" in message


def test_a_cut_before_the_compression_is_found_too(tmp_path: Path) -> None:
    path = tmp_path / "events.csv.gz"
    path.write_bytes(compress(HEADER + ROWS + "4,ann,A,bu", ".gz"))
    assert "events.csv.gz row 4 is cut off" in refusal_of(files_settings(path))


def test_row_numbers_are_those_of_the_text(tmp_path: Path) -> None:
    path = tmp_path / "events.csv.gz"
    path.write_bytes(compress(HEADER + MANY + "x,ann,A,buy,2024-13-01,1,1,\n", ".gz"))
    bad = read_files(files_settings(path, chunk_rows=3_000)).filter(pl.col(t.PROBLEM).is_not_null())
    assert bad[t.SOURCE_ROW].to_list() == [20_001]


def test_two_gzip_files_in_one_are_one_text(tmp_path: Path) -> None:
    path = tmp_path / "events.csv.gz"
    path.write_bytes(gzip.compress((HEADER + ROWS).encode()) + gzip.compress(b"4,ann,A,view,2024-05-03,,,\n"))
    assert read_files(files_settings(path))[t.EVENT_ID].to_list() == ["1", "2", "3", "4"]


def test_a_file_that_is_not_compressed_whatever_its_name_says(tmp_path: Path) -> None:
    path = tmp_path / "events.csv.gz"
    path.write_text(HEADER + ROWS)
    assert "events.csv.gz is cut off or damaged" in refusal_of(files_settings(path))


def test_a_compressed_nothing(tmp_path: Path) -> None:
    path = tmp_path / "events.csv.gz"
    path.write_bytes(compress("", ".gz"))
    assert "events.csv.gz is empty: export" in refusal_of(files_settings(path))


def test_compressed_parquet_is_no_format(tmp_path: Path) -> None:
    path = tmp_path / "events.parquet.gz"
    path.write_bytes(compress("x", ".gz"))
    assert "is not .parquet, .csv, .tsv or .jsonl" in refusal_of(files_settings(path))
