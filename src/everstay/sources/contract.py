"""What every source provides: chunks of staged events, and the items, users and treatments tables."""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

import polars as pl

from everstay import tables as t
from everstay.event_ids import content_ids

STAGED: Mapping[str, pl.DataType | type[pl.DataType]] = MappingProxyType(
    {
        **t.EVENTS.columns,
        t.SOURCE_FILE: pl.String,
        t.SOURCE_ROW: pl.Int64,
        t.PROBLEM: pl.String,
        t.CONTENT: pl.String,
    }
)
"""Columns of staged events: those of `EVENTS`, where each row came from, and what is wrong with it.

`EVENT_ID` is absent where the shop gives none: it is made when the row is stored.
"""


class Chunk(Protocol):
    """A part of a source's events: a picklable unit of work, read by one worker."""

    @property
    def origin(self) -> str:
        """The file's name as shown to people."""
        ...

    def read(self) -> Iterator[pl.DataFrame]:
        """Yield staged events (columns of `STAGED`), never more than fits in memory at once.

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
        """Name what `event_chunks` reads, to be recorded once it is stored: `tables.DELIVERY` to `tables.SOURCE_FILE`.

        Empty where the source cannot tell whether it has changed: then it is read again every time.
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
    """Bring events to the columns, order and dtypes of `STAGED`, except an absent `EVENT_ID`.

    Args:
        frame: columns of `EVENTS` and `SOURCE_ROW`; `PROBLEM` and `CONTENT` where the source has them. An absent
            `RECORDED_AT` becomes `OCCURRED_AT`, an absent `EVENT_ID` stays absent.
        origin: the file's name.
    """
    frame = frame.with_columns(pl.lit(origin).alias(t.SOURCE_FILE))
    if t.RECORDED_AT not in frame.columns:
        frame = frame.with_columns(pl.col(t.OCCURRED_AT).alias(t.RECORDED_AT))
    is_keyed = t.EVENT_ID in frame.columns
    columns = {name: dtype for name, dtype in STAGED.items() if is_keyed or name != t.EVENT_ID}
    absent = [pl.lit(None, dtype).alias(name) for name, dtype in columns.items() if name not in frame.columns]
    staged = frame.with_columns(absent).select(pl.col(name).cast(dtype) for name, dtype in columns.items())
    return _without_feigned_ids(staged) if is_keyed else staged


def _without_feigned_ids(staged: pl.DataFrame) -> pl.DataFrame:
    """Refuse a shop's own ids that look like made ones, which the lake relies on to come from the content."""
    looks_made = staged[t.EVENT_ID].str.starts_with(t.MADE_ID).fill_null(value=False)
    if not looks_made.any():
        return staged
    is_feigned = looks_made & (staged[t.EVENT_ID] != content_ids(staged)).fill_null(value=False)
    words = pl.lit(
        f"event_id: begins with '{t.MADE_ID}', which is reserved for ids made from a row; do not map event_id"
    )
    told = pl.concat_str(t.PROBLEM, words, separator="; ", ignore_nulls=True)
    return staged.with_columns(pl.when(is_feigned).then(told).otherwise(t.PROBLEM).alias(t.PROBLEM))
