"""Parquet and CSV files, block by block: raw rows with their numbers, and plain words when a file is broken."""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from everstay import tables as t
from everstay.errors import SourceError

_CSV_BLOCK_BYTES = 8 << 20  # also the longest row: more is taken for a quotation mark without its partner
_MOST_UNREAD_ROWS = 100_000  # they wait in memory; with more of them the file as a whole is not what it should be
_EXPORT_AGAIN = "export or copy it again"


@dataclass(frozen=True)
class Part:
    """Rows of a file that one worker reads.

    Attributes:
        path: the file.
        row_groups: of a Parquet file; none for a CSV file, which can only be read from its beginning.
        first_row: rows of the file before the part.
    """

    path: Path
    row_groups: tuple[int, ...] = ()
    first_row: int = 0


@dataclass(frozen=True)
class Block:
    """Rows in the order of the file.

    Attributes:
        rows: (n,) row numbers, 1 = first row of data.
        raw: (n, wanted columns) values: text from CSV, any dtype from Parquet.
        unread: columns `SOURCE_ROW`, `PROBLEM`, `CONTENT`: rows with too few or too many values.
    """

    rows: pl.Series
    raw: pl.DataFrame
    unread: pl.DataFrame


_UNREAD = {t.SOURCE_ROW: pl.Int64, t.PROBLEM: pl.String, t.CONTENT: pl.String}


def find_files(pattern: str, key: str) -> list[Path]:
    """Find the files that a path or glob names, sorted by name.

    Args:
        pattern: for example `exports/events-*.csv`.
        key: where the pattern was set, for the message.

    Raises:
        SourceError: nothing matches, or a match is neither Parquet nor CSV.
    """
    path = Path(pattern)
    root = Path(path.anchor)
    if path.is_dir():
        raise SourceError(f"{pattern} is a folder: set {key} in everstay.toml to {pattern}/*.parquet or /*.csv")
    found = [path] if path.is_file() else root.glob(str(path.relative_to(root)))
    files = sorted(file for file in found if file.is_file())
    if not files:
        raise SourceError(f"no file matches '{pattern}' (from {Path.cwd()}): correct {key} in everstay.toml")
    for file in files:
        if file.suffix.lower() not in (".csv", ".parquet"):
            raise SourceError(f"{file} is neither .csv nor .parquet: narrow {key} in everstay.toml or convert the file")
    return files


def columns_of(path: Path) -> list[str]:
    """Read the names of the columns, and make sure that there are rows.

    Raises:
        SourceError: the file is empty, has no rows, two columns of one name, or is cut off so that this shows already.
    """
    if path.stat().st_size == 0:
        raise SourceError(f"{path} is empty: {_EXPORT_AGAIN}, or take it out of the delivery")
    names, has_rows = _csv_header(path) if _is_csv(path) else _parquet_header(path)
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise SourceError(f"{path}: more than one column is called '{twice[0]}': rename one in the export")
    if not has_rows:
        raise SourceError(f"{path} has a header but no rows: {_EXPORT_AGAIN}, or take it out of the delivery")
    return names


def split(path: Path, chunk_rows: int) -> list[Part]:
    """Cut a Parquet file between row groups into parts of about `chunk_rows` rows; a CSV file is one part."""
    if _is_csv(path):
        return [Part(path)]
    with _explained(path), pyarrow.parquet.ParquetFile(path) as file:
        sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
    starts = np.cumsum([0, *sizes])
    part_of_group = starts[:-1] // chunk_rows
    bounds = [*np.flatnonzero(np.diff(part_of_group, prepend=-1)).tolist(), len(sizes)]
    return [Part(path, tuple(range(low, high)), int(starts[low])) for low, high in pairwise(bounds)]


def read_part(part: Part, columns: Sequence[str], chunk_rows: int) -> Iterator[Block]:
    """Yield the rows of a part, at most `chunk_rows` at once, with only the named columns.

    Raises:
        SourceError: the file turns out to be cut off or not what it should be; the row is named where it is known.
    """
    with _explained(part.path):
        if _is_csv(part.path):
            yield from _read_csv(part.path, columns, chunk_rows)
        else:
            yield from _read_parquet(part, columns, chunk_rows)


def _is_csv(path: Path) -> bool:
    return path.suffix.lower() == ".csv"


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn what Arrow says about a file into words for its owner."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        said = str(error).partition("\n")[0]
        row = re.search(r"Row #(\d+)", said)
        where = f"{path} row {int(row[1]) - 1}" if row else str(path)  # Arrow counts the header
        if "UTF8" in said:
            raise SourceError(f"{where}: the text is not UTF-8: save the file as UTF-8") from None
        if "straddling" in said:
            reason = f"a row longer than {_CSV_BLOCK_BYTES >> 20} MiB, or a quotation mark that is never closed"
            raise SourceError(f"{where}: {reason}: correct the export") from None
        raise SourceError(f"{where} is cut off or damaged: {_EXPORT_AGAIN} ({said})") from None


# ---- Parquet -------------------------------------------------------------------------------------------------------
def _parquet_header(path: Path) -> tuple[list[str], bool]:
    with _explained(path), pyarrow.parquet.ParquetFile(path) as file:
        return list(file.schema_arrow.names), file.metadata.num_rows > 0


def _read_parquet(part: Part, columns: Sequence[str], chunk_rows: int) -> Iterator[Block]:
    first = part.first_row + 1
    with pyarrow.parquet.ParquetFile(part.path) as file:
        for batch in file.iter_batches(chunk_rows, row_groups=list(part.row_groups), columns=list(columns)):
            raw = _frame(batch).select(columns)
            rows = pl.int_range(first, first + raw.height, eager=True)
            yield Block(rows, raw, pl.DataFrame(schema=_UNREAD))
            first += raw.height


# ---- CSV -----------------------------------------------------------------------------------------------------------
class _WatchedFile(io.FileIO):
    """A file that remembers how it ended, for a CSV parser closes an open quotation at the end without a word."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.quotes = 0
        self.last_bytes = b""

    def read(self, size: int | None = -1, /) -> bytes:
        block = super().read(-1 if size is None else size) or b""
        self.quotes += block.count(b'"')
        self.last_bytes = (self.last_bytes + block[-3:])[-3:]
        return block

    @property
    def ends_with_a_row(self) -> bool:
        return self.last_bytes.endswith((b"\n", b"\r"))

    def ends_inside_a_quotation(self, last_value: str | None) -> bool:
        """Tell whether a quotation mark is left open, given the last value that was read."""
        swallowed_the_end = last_value is not None and last_value.endswith(("\n", "\r"))
        is_closed = self.last_bytes.rstrip().endswith(b'"')
        return self.quotes % 2 == 1 and not is_closed and (swallowed_the_end or not self.ends_with_a_row)


def _csv_header(path: Path) -> tuple[list[str], bool]:
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        try:
            names = next((row for row in csv.reader(file) if row), [])
        except csv.Error as error:
            raise SourceError(f"{path}: the first line is no header ({error}): {_EXPORT_AGAIN}") from None
        return names, any(line.strip() for line in file)


def _read_csv(path: Path, columns: Sequence[str], chunk_rows: int) -> Iterator[Block]:
    # The last column shows how the file ends, whether it is wanted or not.
    last_column = _csv_header(path)[0][-1]
    parsed = list(dict.fromkeys([*columns, last_column]))
    unread: list[pa.csv.InvalidRow] = []
    read, told = 0, 0  # rows with the right number of values, and others, given to the caller
    with _WatchedFile(path) as file:
        raw = pl.DataFrame(schema=dict.fromkeys(parsed, pl.String))
        for raw in _regrouped(_csv_batches(file, parsed, unread), chunk_rows):
            skipped = np.array([row.number - 1 for row in unread], dtype=np.int64)
            rows = _row_numbers(read, raw.height, skipped)
            read += raw.height
            until = int(np.searchsorted(skipped, rows[-1]))
            yield Block(rows, raw.select(columns), _unread_rows(unread[told:until]))
            told = until
        _refuse_a_cut(file, raw[last_column], read, unread)
    if unread[told:]:
        yield Block(pl.Series([], dtype=pl.Int64), raw.select(columns).clear(), _unread_rows(unread[told:]))


def _csv_batches(file: io.FileIO, columns: Sequence[str], unread: list[pa.csv.InvalidRow]) -> Iterator[pa.RecordBatch]:
    """Parse columns as text; rows with a wrong number of values go to `unread`, too many of them are an error."""

    def skip(row: pa.csv.InvalidRow) -> str:
        unread.append(row)
        return "skip" if len(unread) < _MOST_UNREAD_ROWS else "error"

    yield from pyarrow.csv.open_csv(
        file,
        pyarrow.csv.ReadOptions(use_threads=False, block_size=_CSV_BLOCK_BYTES),  # threads lose the row numbers
        pyarrow.csv.ParseOptions(newlines_in_values=True, invalid_row_handler=skip),
        pyarrow.csv.ConvertOptions(
            include_columns=list(columns), default_column_type=pa.string(), null_values=[""], strings_can_be_null=True
        ),
    )


def _refuse_a_cut(file: _WatchedFile, last_values: pl.Series, read: int, unread: list[pa.csv.InvalidRow]) -> None:
    """Raise when the file ends in the middle of a row."""
    last = read + len(unread)
    last_value = last_values[-1] if len(last_values) else None
    is_cut = bool(unread) and unread[-1].number - 1 == last and not file.ends_with_a_row
    if is_cut or file.ends_inside_a_quotation(last_value):
        raise SourceError(f"{file.name!s} row {last} is cut off, the file ends in the middle of it: {_EXPORT_AGAIN}")


def _row_numbers(read: int, count: int, skipped: np.ndarray) -> pl.Series:
    """Number `count` rows of which `read` came before, when the rows numbered `skipped` are left out of both.

    >>> _row_numbers(1, 3, np.array([2, 4])).to_list()
    [3, 5, 6]
    """
    position = np.arange(read, read + count)
    rows_before = skipped - 1 - np.arange(len(skipped))  # kept rows before each skipped one
    return pl.Series(t.SOURCE_ROW, position + 1 + np.searchsorted(rows_before, position, side="right"))


def _unread_rows(unread: Iterable["pa.csv.InvalidRow"]) -> pl.DataFrame:
    records: list[Mapping[str, object]] = [
        {
            t.SOURCE_ROW: row.number - 1,
            t.PROBLEM: f"the row has {row.actual_columns} values where the header has {row.expected_columns}",
            t.CONTENT: row.text,
        }
        for row in unread
    ]
    frame = pl.DataFrame(records, schema=_UNREAD)
    return frame.with_columns(pl.struct(pl.col(t.CONTENT).alias("row")).struct.json_encode().alias(t.CONTENT))


def _regrouped(batches: Iterable[pa.RecordBatch], rows: int) -> Iterator[pl.DataFrame]:
    """Yield the same rows in frames of `rows` rows, the last one smaller; empty ones never."""
    waiting = pl.DataFrame()
    for batch in batches:
        waiting = pl.concat([waiting, _frame(batch)]) if waiting.height else _frame(batch)
        while waiting.height >= rows:
            yield waiting.head(rows)
            waiting = waiting.slice(rows)
    if waiting.height:
        yield waiting


def _frame(batch: pa.RecordBatch) -> pl.DataFrame:
    frame = pl.from_arrow(batch)
    assert isinstance(frame, pl.DataFrame)  # what Polars makes of a record batch
    return frame
