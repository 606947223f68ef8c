"""What every source gives: chunks of staged events, and the items, users and treatments tables."""

import base64
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

import numpy as np
import polars as pl
import polars_hash
import pyarrow as pa
from numpy.typing import NDArray

from everstay import tables as t

STAGED: Mapping[str, pl.DataType | type[pl.DataType]] = MappingProxyType(
    {
        **t.EVENTS.columns,
        t.SOURCE_FILE: pl.String,
        t.SOURCE_ROW: pl.Int64,
        t.PROBLEM: pl.String,
        t.CONTENT: pl.String,
    }
)
"""Columns of staged events: those of `EVENTS`, where each row came from, and what is wrong with it."""


_ID_BYTES = 12  # two of 100 billion events share an id with a probability of 6e-8; 16 letters without padding
_NULL = np.uint64(0x9E3779B97F4A7C15)  # part of the stored ids: never change it


class Chunk(Protocol):
    """A part of a source's events: a picklable unit of work, read by one worker."""

    @property
    def origin(self) -> str:
        """The file's name as shown to people."""
        ...

    def read(self) -> Iterator[pl.DataFrame]:
        """Yield staged events (columns `STAGED`), never more than fits in memory at once.

        Raises:
            SourceError: the file cannot be read to its end; what was yielded before must not be stored.
        """
        ...


class Source(Protocol):
    """A shop's data in canonical form."""

    def event_chunks(self) -> Sequence[Chunk]:
        """Split the events into chunks that can be read in parallel; the same data gives the same chunks.

        Raises:
            SourceError: a file is absent, empty, cut off, or lacks a column.
        """
        ...

    def deliveries(self) -> Mapping[str, str]:
        """Name what `event_chunks` reads, to be noted once it is stored: `tables.DELIVERY` to `tables.SOURCE_FILE`.

        Empty where the source cannot tell whether it has changed: then it is read anew every time.
        """
        ...

    def items(self) -> pl.DataFrame:
        """Return the catalogue; conforms to `tables.ITEMS`, no rows when the shop gives none."""
        ...

    def users(self) -> pl.DataFrame:
        """Return what users declared; conforms to `tables.USERS`, no rows when the shop gives none."""
        ...

    def treatments(self) -> pl.DataFrame:
        """Return who was sent what; conforms to `tables.TREATMENTS`, no rows when the shop gives none."""
        ...


def stage(frame: pl.DataFrame, origin: str) -> pl.DataFrame:
    """Complete events to the columns of `STAGED`, in order and dtype.

    Args:
        frame: columns of `EVENTS` and `SOURCE_ROW`; `PROBLEM` and `CONTENT` where the source has them. An absent
            `RECORDED_AT` becomes `OCCURRED_AT`, an absent `EVENT_ID` is derived from the content.
        origin: the file's name.
    """
    frame = frame.with_columns(pl.lit(origin).alias(t.SOURCE_FILE))
    if t.RECORDED_AT not in frame.columns:
        frame = frame.with_columns(pl.col(t.OCCURRED_AT).alias(t.RECORDED_AT))
    absent = [pl.lit(None, dtype).alias(name) for name, dtype in STAGED.items() if name not in frame.columns]
    is_keyed = t.EVENT_ID in frame.columns
    staged = frame.with_columns(absent).select(pl.col(name).cast(dtype) for name, dtype in STAGED.items())
    return _without_feigned_ids(staged) if is_keyed else staged.with_columns(content_ids(staged))


def _without_feigned_ids(staged: pl.DataFrame) -> pl.DataFrame:
    """Refuse a shop's own ids that look like made ones: of these the lake counts on that they come from the content."""
    looks_made = staged[t.EVENT_ID].str.starts_with(t.MADE_ID).fill_null(value=False)
    if not looks_made.any():
        return staged
    is_feigned = looks_made & (staged[t.EVENT_ID] != content_ids(staged)).fill_null(value=False)
    words = pl.lit(f"event_id: begins with '{t.MADE_ID}', which stands for ids made from a row; map no event_id then")
    told = pl.concat_str(t.PROBLEM, words, separator="; ", ignore_nulls=True)
    return staged.with_columns(pl.when(is_feigned).then(told).otherwise(t.PROBLEM).alias(t.PROBLEM))


def content_ids(events: pl.DataFrame) -> pl.Series:
    """Derive `event_id` from a row's content: `~` and 96 bits of XXH3, the same in every process and year.

    Rows that agree in every column of `EVENTS` are one event; a null column counts as absent.

    Args:
        events: columns of `EVENTS`; `EVENT_ID` is ignored.

    >>> rows = pl.DataFrame({t.USER_ID: ["a", "a", "b"], t.QUANTITY: [1, 1, 1]})
    >>> ids = content_ids(rows)
    >>> ids[0] == ids[1], ids[0] == ids[2], len(ids[0])
    (True, False, 17)
    """
    names = [name for name in t.EVENTS.columns if name != t.EVENT_ID]
    words = np.full((len(names), events.height), _NULL)
    for place, name in enumerate(names):
        if name in events.columns and events[name].null_count() < events.height:
            words[place] = _words(events[name])
    digest = polars_hash.col(t.EVENT_ID).nchash.xxh3_128(return_binary=True, byte_order="big")
    rows = pl.DataFrame({t.EVENT_ID: _as_rows(np.ascontiguousarray(words.T), pa.large_binary())})
    return _as_text(rows.select(digest).to_series())


def _as_text(digests: pl.Series) -> pl.Series:
    """`~` and the first `_ID_BYTES` of each digest (n,) of 16 bytes in base64; all at once, for none is padded."""
    (*_, data) = digests.to_arrow(compat_level=pl.CompatLevel.oldest()).buffers()
    heads = np.frombuffer(data, np.uint8).reshape(len(digests), 16)[:, :_ID_BYTES]
    letters = np.frombuffer(base64.b64encode(heads.tobytes()), np.uint8).reshape(len(digests), -1)
    marks = np.full((len(digests), 1), ord(t.MADE_ID), np.uint8)
    return _as_rows(np.hstack([marks, letters]), pa.large_string()).alias(t.EVENT_ID)


def _words(column: pl.Series) -> NDArray[np.uint64]:
    """Each value as 64 bits (n,): XXH3 of text, the bits of a number or time, `_NULL` where there is none."""
    if column.dtype == pl.String:
        hashed = polars_hash.col(column.name).nchash.xxh3_64()
        bits = column.to_frame().select(hashed.fill_null(0)).to_series().to_numpy()
    else:
        numbers = column.to_physical().cast(pl.Float64 if column.dtype.is_float() else pl.Int64)
        bits = numbers.fill_null(0).to_numpy().view(np.uint64)
    return np.where(column.is_null().to_numpy(), _NULL, bits) if column.null_count() else bits


def _as_rows(values: NDArray[np.generic], kind: pa.DataType) -> pl.Series:
    """Rows of an array (n, k) as n values of the same number of bytes, numbers little-endian."""
    width = values.shape[1] * values.itemsize
    ends = np.arange(0, len(values) * width + 1, max(width, 1), dtype=np.int64)
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(values.astype(values.dtype.newbyteorder("<"), copy=False))]
    return pl.Series(pl.from_arrow(pa.Array.from_buffers(kind, len(values), buffers)))
