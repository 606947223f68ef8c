"""What workers do with a delivery's chunks: read, refuse, and lay the rows of every bucket side by side. Invisible.

A frame of a chunk becomes one file, an Arrow stream of a record batch per bucket, whose extents are told, so that a
worker that resolves a bucket reads just its own rows, and the number of files does not grow with the number of buckets.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple, Protocol

import numpy as np
import polars as pl
import pyarrow as pa

from everstay import tables as t
from everstay.event_ids import as_text, content_digests
from everstay.lake.buckets import assign_bucket
from everstay.lake.order import one_chunk
from everstay.lake.refusal import split_refused
from everstay.lake.store import Lake
from everstay.storage import Folder

_KIND = pl.Enum(t.EVENT_TYPES)
_SHORT_BYTES = 1 << 31  # of text that offsets of 32 bits reach; nearly every frame's is shorter
_PLAIN = pl.CompatLevel.oldest()  # offsets instead of views: a slice then holds its own text only


class Chunk(Protocol):
    """A unit of reading that a worker gets; `everstay.sources` makes them."""

    @property
    def origin(self) -> str:
        """Name of the file."""

    def read(self) -> Iterator[pl.DataFrame]:
        """Yield staged events: the columns of `events`, `source_file`, `source_row`, `problem`, `content`."""


class Extent(NamedTuple):
    """Bytes of a file."""

    start: int
    size: int


@dataclass(frozen=True)
class StagedFrame:
    """A frame's good rows, bucket by bucket, in a file of the staging's folder.

    Attributes:
        name: of the file.
        origin: the chunk's; of each row only its number is written.
        schema: of the rows.
        buckets: where the record batch of each bucket lies.
    """

    name: str
    origin: str
    schema: pa.Schema
    buckets: Mapping[int, Extent]


class StagedRows(NamedTuple):
    """The rows of one bucket in one frame's file."""

    name: str
    origin: str
    schema: pa.Schema
    extent: Extent


@dataclass(frozen=True)
class ChunkOutcome:
    """What became of a chunk: its rows, its good rows' files, and the files of refused rows."""

    rows_read: int
    frames: tuple[StagedFrame, ...]
    refused: tuple[str, ...]


def stage_chunk(numbered: tuple[int, Chunk], *, lake: Lake, folder: Folder) -> ChunkOutcome:
    """Read a chunk, refuse what cannot be stored and write the rest to `folder`."""
    number, chunk = numbered
    rows_read, frames, refused = 0, [], []
    for part, frame in enumerate(chunk.read()):
        name = f"{number:06d}-{part:06d}"
        rows_read += len(frame)
        good, bad = split_refused(frame)
        if len(bad):
            folder.write_frame(f"refused/{name}.arrow", bad)
            refused.append(f"refused/{name}.arrow")
        if len(good):
            written = _write_frame(good.drop(t.SOURCE_FILE), lake.bucket_count, folder, f"{name}.arrow")
            frames.append(StagedFrame(f"{name}.arrow", chunk.origin, *written))
    return ChunkOutcome(rows_read, tuple(frames), tuple(refused))


def _write_frame(
    good: pl.DataFrame, bucket_count: int, folder: Folder, name: str
) -> tuple[pa.Schema, dict[int, Extent]]:
    """Write rows in the order of their buckets, without the columns in which there is nothing; return where each is."""
    bucket = assign_bucket(good.select(t.USER_ID), bucket_count)[t.USER_BUCKET].to_numpy()
    order = np.argsort(bucket.astype(np.uint16) if bucket_count <= 1 << 16 else bucket, kind="stable")
    kept = [column.name for column in good if column.null_count() < len(good)]
    coded = pl.col(t.EVENT_TYPE).cast(_KIND).to_physical()
    table = good.select(kept).with_columns(coded)[order].to_arrow(compat_level=_PLAIN)
    if t.EVENT_ID not in good.columns:
        table = table.append_column(t.EVENT_ID, content_digests(good).take(pa.array(order)))
    if table.nbytes < _SHORT_BYTES:
        table = table.cast(_with_short_offsets(table.schema))
    (rows,) = table.combine_chunks().to_batches()
    counts = np.bincount(bucket)
    numbers = np.flatnonzero(counts)
    starts = np.cumsum(counts) - counts
    extents = {}
    with folder.writing(name) as file, pa.ipc.new_stream(file, rows.schema) as writer:
        writer.write_batch(rows.slice(0, 0))  # the schema comes with it
        for number, first, count in zip(
            numbers.tolist(), starts[numbers].tolist(), counts[numbers].tolist(), strict=True
        ):
            start = file.tell()
            writer.write_batch(rows.slice(first, count))
            extents[number] = Extent(start, file.tell() - start)
    return rows.schema, extents


def _with_short_offsets(schema: pa.Schema) -> pa.Schema:
    """Text with offsets of 32 bits instead of 64."""
    short = {pa.large_string(): pa.string()}
    return pa.schema([field.with_type(short.get(field.type, field.type)) for field in schema])


def group_by_bucket(frames: Sequence[StagedFrame]) -> dict[int, list[StagedRows]]:
    """What each bucket is read from, in the order of the delivery: buckets ascend, and equal schemas are one object."""
    rows: dict[int, list[StagedRows]] = {}
    schemas: dict[pa.Schema, pa.Schema] = {}
    for frame in frames:
        schema = schemas.setdefault(frame.schema, frame.schema)
        for bucket, extent in frame.buckets.items():
            rows.setdefault(bucket, []).append(StagedRows(frame.name, frame.origin, schema, extent))
    return dict(sorted(rows.items()))


def read_bucket(staged: Sequence[StagedRows], folder: Folder) -> pa.Table:
    """All staged rows of a bucket in one piece, in the order of the delivery; a column without a value is absent."""
    pieces = [_read_rows(rows, folder) for rows in staged]
    tables = [pa.Table.from_batches(alike) for _, alike in groupby(pieces, key=lambda piece: piece.schema)]
    if len({table.schema.field(t.EVENT_ID).type for table in tables}) > 1:  # some of the files have ids of their own
        tables = [with_text_ids(table) for table in tables]
    table = pa.concat_tables(tables, promote_options="permissive").combine_chunks()  # picking rows from many is slow
    kinds = pa.DictionaryArray.from_arrays(one_chunk(table[t.EVENT_TYPE]), t.EVENT_TYPES)
    coded = table.set_column(table.column_names.index(t.EVENT_TYPE), t.EVENT_TYPE, kinds)
    return coded.append_column(t.SOURCE_FILE, _origins([rows.origin for rows in staged], pieces))


def with_text_ids(events: pa.Table) -> pa.Table:
    """Rows whose ids are text, as they are stored."""
    place = events.column_names.index(t.EVENT_ID)
    return events.set_column(place, t.EVENT_ID, as_text(one_chunk(events[t.EVENT_ID])))


def _read_rows(rows: StagedRows, folder: Folder) -> pa.RecordBatch:
    """Rows of a bucket, without a look at the other buckets' in the same file."""
    with folder.reading(rows.name) as file:
        file.seek(rows.extent.start)
        return pa.ipc.read_record_batch(file.read_buffer(rows.extent.size), rows.schema)


def _origins(names: Sequence[str], pieces: Sequence[pa.RecordBatch]) -> pa.Array:
    """`SOURCE_FILE` of the rows of each piece."""
    known = sorted(set(names))
    codes = np.repeat([known.index(name) for name in names], [len(piece) for piece in pieces])
    return pa.DictionaryArray.from_arrays(codes.astype(np.int32), known)
