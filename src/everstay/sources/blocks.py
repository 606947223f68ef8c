"""What every file reader yields: raw rows with their numbers, and the rows that could not be parsed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from zoneinfo import available_timezones

import polars as pl
import pyarrow as pa

from everstay import tables as t

HEADER_LINES = 10_000
"""Lines of JSON from which the keys of a file are known."""
BLOCK_BYTES = 8 << 20
"""Text read at a time; also the longest row: a longer one is taken for an unclosed quotation mark."""
UNREAD: Mapping[str, type[pl.DataType]] = {t.SOURCE_ROW: pl.Int64, t.PROBLEM: pl.String, t.CONTENT: pl.String}


@dataclass(frozen=True)
class Header:
    """What a file says before its rows are read.

    Attributes:
        names: its columns.
        has_rows: whether there is one.
        is_open: whether later rows may have columns that the first ones have not.
    """

    names: list[str]
    has_rows: bool
    is_open: bool = False


@dataclass(frozen=True)
class Part:
    """Rows of a file that one worker reads.

    Attributes:
        name: path or URI of the file.
        row_groups: of a Parquet file; none for text, which can only be read from its beginning.
        first_row: rows of the file before the part.
        expected: keys of JSON lines that at least one object should have: the settings name them.
        absent: keys of JSON lines that no object may have: the first ones have not, and that means something.
    """

    name: str
    row_groups: tuple[int, ...] = ()
    first_row: int = 0
    expected: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()


@dataclass(frozen=True)
class Block:
    """Rows in the order of the file.

    Attributes:
        rows: (n,) row numbers, 1 = first row of data.
        raw: (n, wanted columns) values: text from text, any dtype from Parquet and databases.
        unread: columns `UNREAD`: rows that could not be parsed.
        is_quoted: quotation marks were read, between which a value may hold a line break.
        decimal: the mark of fractions in texts, `.` or `,`.
    """

    rows: pl.Series
    raw: pl.DataFrame
    unread: pl.DataFrame
    is_quoted: bool = False
    decimal: str = "."


def unread_rows(rows: Iterable[tuple[int, str, str]]) -> pl.DataFrame:
    """Make `Block.unread` from the row number, problem and text of rows that could not be parsed."""
    frame = pl.DataFrame(list(rows), schema=dict(UNREAD), orient="row")
    return frame.with_columns(pl.struct(pl.col(t.CONTENT).alias("row")).struct.json_encode().alias(t.CONTENT))


def frame_of(arrow: pa.RecordBatch | pa.Table) -> pl.DataFrame:
    """Arrow rows as a frame."""
    frame = pl.from_arrow(_without_strangers(arrow))
    assert isinstance(frame, pl.DataFrame)  # what Polars makes of record batches and tables
    frame.columns = arrow.schema.names  # Polars would rename one without a name
    return frame


def _without_strangers(arrow: pa.RecordBatch | pa.Table) -> pa.RecordBatch | pa.Table:
    """The same data in types that Polars knows: decimals of 256 bits and JSON as text, times at offsets in UTC."""
    for place, field in enumerate(arrow.schema):
        if pa.types.is_decimal256(field.type):
            arrow = arrow.set_column(place, field.name, arrow.column(place).cast(pa.string()))
        elif isinstance(field.type, pa.JsonType | pa.Bool8Type):
            plain = pa.bool_() if isinstance(field.type, pa.Bool8Type) else field.type.storage_type
            arrow = arrow.set_column(place, field.name, arrow.column(place).cast(plain))
        elif pa.types.is_timestamp(field.type) and field.type.tz is not None and not _is_name(field.type.tz):
            in_utc = arrow.column(place).cast(pa.timestamp(field.type.unit, "UTC"))  # the same moments
            arrow = arrow.set_column(place, field.name, in_utc)
    return arrow


@cache
def _is_name(zone: str) -> bool:
    """Whether a zone is one of the Time Zone Database rather than an offset, such as `+05:30` or `Z`."""
    return zone in available_timezones()
