"""What every source gives: chunks of staged events, and the items, users and treatments tables."""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

import numpy as np
import pandas as pd
import polars as pl

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

# Two independent keys make two 64-bit hashes into one of 128 bits. They are part of the stored ids: never change them.
_HASH_KEYS = ("everstay-event-0", "everstay-event-1")
_FIELD_END, _NAME_END = "\x1e", "\x1f"  # record and unit separator: control characters that no shop's text holds


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
    return staged if is_keyed else staged.with_columns(content_ids(staged))


def content_ids(events: pl.DataFrame) -> pl.Series:
    """Derive `event_id` from a row's content: 32 hex digits, the same in every process and year.

    Rows that agree in every column of `EVENTS` are one event; a null column counts as absent, so that a column added
    later leaves older ids as they are.

    Args:
        events: columns of `EVENTS`; `EVENT_ID` is ignored.

    >>> rows = pl.DataFrame({t.USER_ID: ["a", "a", "b"], t.QUANTITY: [1, 1, 1]})
    >>> ids = content_ids(rows)
    >>> ids[0] == ids[1], ids[0] == ids[2], len(ids[0])
    (True, False, 32)
    """
    names = [name for name in t.EVENTS.columns if name != t.EVENT_ID and name in events.columns]
    fields = [pl.lit(name + _NAME_END) + _as_text(events, name) for name in names]
    text = events.select(pl.concat_str(fields, separator=_FIELD_END, ignore_nulls=True)).to_series()
    content = text.to_numpy().astype(object)
    halves = [pd.util.hash_array(content, hash_key=key, categorize=False) for key in _HASH_KEYS]
    digits = np.stack(halves, axis=1).astype(">u8").tobytes().hex()
    ids = np.frombuffer(digits.encode(), dtype="S32").astype(str)
    return pl.Series(t.EVENT_ID, ids, dtype=pl.String)


def _as_text(events: pl.DataFrame, name: str) -> pl.Expr:
    """Write a column as text; times as microseconds, for their text is a matter of taste."""
    column = pl.col(name)
    return (column.to_physical() if events.schema[name].is_temporal() else column).cast(pl.String)
