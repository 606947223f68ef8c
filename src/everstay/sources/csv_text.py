"""CSV files, plain or compressed, block by block: text with row numbers, and plain words when a file is cut off."""

import codecs
import csv
import io
import logging
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.csv

from everstay import tables as t
from everstay.errors import SourceError
from everstay.sources.blocks import BLOCK_BYTES, Block, Header, Part, frame_of, unread_rows
from everstay.sources.quotations import Quotations
from everstay.sources.storage import CORRECT_ENCODING, EXPORT_AGAIN, UTF8, open_stream

log = logging.getLogger(__name__)

STRAY = "text follows a closing quotation mark: is an earlier mark unmatched, or escaped by a backslash?"
"""The problem of a row whose quotation marks do not match."""

_NO_CHARACTER = "\ufffd"  # what decoding substitutes for invalid bytes
_SEPARATORS = (",", ";", "\t", "|")
_LET_GO_SECONDS = 10.0  # ample for Arrow to finish reading a block
_MOST_UNREAD_ROWS = 100_000  # they are held in memory; with more, the file as a whole is malformed


def read_header(name: str, encoding: str) -> Header:
    """The first line's names, and whether anything follows."""
    return _header(name, encoding)[0]


def _header(name: str, encoding: str) -> tuple[Header, str]:
    """The header, and the separator: the one that gives the most names."""
    with open_stream(name, encoding) as stream:
        text = io.StringIO(stream.read(BLOCK_BYTES).decode("utf-8-sig", errors="replace"), newline="")
    try:
        separator = max(_SEPARATORS, key=lambda mark: _name_count(text, mark))  # of equal ones the first
        names = _first_line(text, separator)
    except csv.Error as error:
        raise SourceError(f"{name}: the first line is not a header ({error}): {EXPORT_AGAIN}") from None
    if any(_NO_CHARACTER in column or "\0" in column for column in names):
        what = "UTF-8 text" if codecs.lookup(encoding).name == UTF8 else f"text in {encoding}"
        raise SourceError(f"{name}: the first line is not {what}: {CORRECT_ENCODING}, or give it its real extension")
    return Header(names, any(line.strip() for line in text)), separator


def _name_count(text: io.StringIO, separator: str) -> int:
    """How many names the separator gives; none where quotation marks contradict it."""
    try:
        return len(_first_line(text, separator, strict=True))
    except csv.Error:
        return 0


def _first_line(text: io.StringIO, separator: str, *, strict: bool = False) -> list[str]:
    """The values of the first line that is not empty; `text` is read up to its end."""
    text.seek(0)
    return next((row for row in csv.reader(text, delimiter=separator, strict=strict) if row), [])


def read(part: Part, columns: Sequence[str], chunk_rows: int, encoding: str) -> Iterator[Block]:
    """Yield the rows, at most `chunk_rows` at once, with the named columns as text.

    Raises:
        SourceError: the file ends in the middle of a row.
    """
    unread: list[pa.csv.InvalidRow] = []
    read, told = 0, 0  # rows with the right number of values, and others, given to the caller
    separator = _header(part.name, encoding)[1]
    with open_stream(part.name, encoding) as stream:
        watch = _Watch(separator)
        raw = pl.DataFrame(schema=dict.fromkeys(columns, pl.String))
        for raw in _regrouped(_batches(stream, watch, columns, unread), chunk_rows):
            skipped = np.array([row.number - 1 for row in unread], dtype=np.int64)
            rows = _row_numbers(read, raw.height, skipped)
            read += raw.height
            until = int(np.searchsorted(skipped, rows[-1]))
            block = Block(rows, raw, _unread(unread[told:until]), is_quoted=watch.quotations.has_any)
            yield _without_strays(block, watch.quotations.take_stray(rows[-1]), separator)
            told = until
        _judge_end(part.name, watch, read, unread)
    if unread[told:]:
        yield Block(pl.Series([], dtype=pl.Int64), raw.clear(), _unread(unread[told:]))


class _Watch:
    """Tracks how a file ends and what is quoted, as the CSV parser silently accepts unmatched quotation marks."""

    def __init__(self, separator: str) -> None:
        self._last_byte = b""
        self.separator = separator
        self.quotations = Quotations(separator)

    def follow(self, block: bytes) -> None:
        """Take the next bytes of the file."""
        self.quotations.follow(block)
        self._last_byte = block[-1:] or self._last_byte

    @property
    def ends_with_a_row(self) -> bool:
        return self._last_byte in (b"\n", b"\r")


class _WatchedStream(io.RawIOBase):
    """A stream that reports what is read to a `_Watch`."""

    def __init__(self, stream: pa.NativeFile, watch: _Watch) -> None:
        super().__init__()
        self._stream, self._watch = stream, watch

    def read(self, size: int | None = -1, /) -> bytes:
        block: bytes = self._stream.read(None if size is None or size < 0 else size)
        self._watch.follow(block)
        return block

    def readable(self) -> bool:
        """It is."""
        return True


def _batches(
    stream: pa.NativeFile, watch: _Watch, columns: Sequence[str], unread: list[pa.csv.InvalidRow]
) -> Iterator[pa.RecordBatch]:
    """Parse columns as text; rows with a wrong number of values go to `unread`, too many of them are an error.

    Arrow reads ahead in a thread of its own, which still holds the stream when the parser has refused a block. We wait
    for it: a process that exits before that thread releases the stream is aborted.
    """
    watched = _WatchedStream(stream, watch)
    held, reader = weakref.ref(watched), None

    def skip(row: pa.csv.InvalidRow) -> str:
        unread.append(row)
        return "skip" if len(unread) < _MOST_UNREAD_ROWS else "error"

    try:
        reader = pyarrow.csv.open_csv(
            watched,
            pyarrow.csv.ReadOptions(use_threads=False, block_size=BLOCK_BYTES),  # threads lose the row numbers
            pyarrow.csv.ParseOptions(delimiter=watch.separator, newlines_in_values=True, invalid_row_handler=skip),
            pyarrow.csv.ConvertOptions(
                include_columns=list(columns),
                default_column_type=pa.string(),
                null_values=[""],
                strings_can_be_null=True,
            ),
        )
        yield from reader
    except (OSError, UnicodeError) as error:
        raise error.with_traceback(None) from None  # the frames that read the stream hold it
    finally:
        del reader, watched
        _wait_while(lambda: held() is not None, _LET_GO_SECONDS)


def _wait_while(holds: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while holds() and time.monotonic() < end:
        time.sleep(0.001)


def _without_strays(block: Block, stray: Sequence[int], separator: str) -> Block:
    """Move rows in which an unmatched quotation mark merged several rows into one value to `unread`."""
    is_stray = block.rows.is_in(stray)
    if not is_stray.any():
        return block
    texts = (
        block.raw.filter(is_stray).select(pl.concat_str(pl.all(), separator=separator, ignore_nulls=True)).to_series()
    )
    told = unread_rows((number, STRAY, text) for number, text in zip(block.rows.filter(is_stray), texts, strict=True))
    unread = pl.concat([block.unread, told]).sort(t.SOURCE_ROW)
    return Block(block.rows.filter(~is_stray), block.raw.filter(~is_stray), unread, block.is_quoted)


def _judge_end(name: str, watch: _Watch, read: int, unread: list[pa.csv.InvalidRow]) -> None:
    """Raise when the file ends in the middle of a row, warn when it ends without a line end."""
    last = read + len(unread)
    is_cut = bool(unread) and unread[-1].number - 1 == last and not watch.ends_with_a_row
    if is_cut or watch.quotations.is_open:
        raise SourceError(f"{name} row {last} is cut off, the file ends in the middle of it: {EXPORT_AGAIN}")
    if not watch.ends_with_a_row:
        log.warning("%s row %d, the last, has no line end: if the file was cut there, so is its last value", name, last)


def _row_numbers(read: int, count: int, skipped: np.ndarray) -> pl.Series:
    """Numbers of `count` rows after `read` earlier ones; the rows numbered `skipped` are in neither count.

    >>> _row_numbers(1, 3, np.array([2, 4])).to_list()
    [3, 5, 6]
    """
    position = np.arange(read, read + count)
    rows_before = skipped - 1 - np.arange(len(skipped))  # kept rows before each skipped one
    return pl.Series(t.SOURCE_ROW, position + 1 + np.searchsorted(rows_before, position, side="right"))


def _unread(unread: Iterable[pa.csv.InvalidRow]) -> pl.DataFrame:
    return unread_rows(
        (
            row.number - 1,
            f"the row has {row.actual_columns} values where the header has {row.expected_columns}",
            row.text,
        )
        for row in unread
    )


def _regrouped(batches: Iterable[pa.RecordBatch], rows: int) -> Iterator[pl.DataFrame]:
    """Yield the same rows in frames of `rows` rows; the last one may be smaller, none is empty."""
    waiting = pl.DataFrame()
    for batch in batches:
        waiting = pl.concat([waiting, frame_of(batch)]) if waiting.height else frame_of(batch)
        while waiting.height >= rows:
            yield waiting.head(rows)
            waiting = waiting.slice(rows)
    if waiting.height:
        yield waiting
