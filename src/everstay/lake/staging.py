"""Per-chunk work on a delivery: read, refuse and group rows by bucket, all still invisible.

Each frame of a chunk becomes one file, an Arrow stream with one record batch per bucket, so that a worker that resolves
a bucket reads only its own rows, and the number of files does not grow with the number of buckets. An index of the
batches is written the same way: a worker gets one place in the index, however many frames there are.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import NamedTuple, Protocol

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from everstay import tables as t
from everstay.event_ids import as_text, content_digests
from everstay.lake.buckets import assign_bucket
from everstay.lake.order import one_chunk
from everstay.lake.refusal import split_refused
from everstay.lake.store import Lake
from everstay.storage import Folder

_KIND = pl.Enum(t.EVENT_TYPES)
_SHORT_BYTES = 1 << 31  # of text that 32-bit offsets can address; nearly every frame has less
_FRAMES, _INDEX = "frames.arrow", "index.arrow"
_PLACES = pa.schema([("frame", pa.int64()), ("start", pa.int64()), ("size", pa.int64())])
_PLAIN = pl.CompatLevel.oldest()  # offsets instead of views: a slice then holds its own text only


class Chunk(Protocol):
    """A part of a delivery that one worker reads; implemented in `everstay.sources`."""

    @property
    def origin(self) -> str:
        """Name of the file."""

    def read(self) -> Iterator[pl.DataFrame]:
        """Yield staged events: the columns of `events`, `source_file`, `source_row`, `problem`, `content`.

        `event_id` may be absent from a frame: ids are then made from its rows.
        """


class Extent(NamedTuple):
    """Bytes of a file."""

    start: int
    size: int


class Batches(NamedTuple):
    """Record batches of a file, one after the other.

    Attributes:
        bucket: (m,) the bucket whose rows each holds, ascending.
        start: (m,) byte at which each begins.
        size: (m,) bytes.
    """

    bucket: NDArray[np.int64]
    start: NDArray[np.int64]
    size: NDArray[np.int64]


class FrameFile(NamedTuple):
    """A file of the staging's folder with a frame's good rows, bucket by bucket.

    Attributes:
        name: of the file.
        origin: the chunk's; the rows in the file carry only their row numbers.
        schema: of the rows.
    """

    name: str
    origin: str
    schema: pa.Schema


class StagedFrame(NamedTuple):
    """A frame's good rows, and where those of each bucket lie."""

    file: FrameFile
    batches: Batches


@dataclass(frozen=True)
class ChunkOutcome:
    """What became of a chunk: its number of rows, the files of its good rows, and those of its refused rows."""

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
            schema, batches = _write_frame(good.drop(t.SOURCE_FILE), lake.bucket_count, folder, f"{name}.arrow")
            frames.append(StagedFrame(FrameFile(f"{name}.arrow", chunk.origin, schema), batches))
    return ChunkOutcome(rows_read, tuple(frames), tuple(refused))


def _write_frame(good: pl.DataFrame, bucket_count: int, folder: Folder, name: str) -> tuple[pa.Schema, Batches]:
    """Write rows ordered by bucket, without all-null columns; return the schema and where each bucket is."""
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
    return rows.schema, _write_batches(rows, np.bincount(bucket), folder, name)


def _write_batches(rows: pa.RecordBatch, counts: NDArray[np.int64], folder: Folder, name: str) -> Batches:
    """Write rows ordered by bucket, `counts` of each, as one record batch per bucket."""
    buckets, ends = np.flatnonzero(counts), [0]
    with folder.writing(name) as file, pa.ipc.new_stream(file, rows.schema) as writer:
        writer.write_batch(rows.slice(0, 0))  # this also writes the schema
        ends[0] = file.tell()
        first = 0
        for count in counts[buckets].tolist():
            writer.write_batch(rows.slice(first, count))
            ends.append(file.tell())
            first += count
    return Batches(buckets, np.array(ends[:-1]), np.diff(ends))


def _with_short_offsets(schema: pa.Schema) -> pa.Schema:
    """Text with offsets of 32 bits instead of 64."""
    short = {pa.large_string(): pa.string()}
    return pa.schema([field.with_type(short.get(field.type, field.type)) for field in schema])


def write_index(frames: Sequence[StagedFrame], folder: Folder) -> list[tuple[int, Extent]]:
    """Write an index: for each bucket, which frames hold its rows and where, in the order of the delivery.

    Returns:
        The buckets, ascending, and where in the index each of them is.
    """
    if not frames:
        return []
    files = [(name, origin, schema.serialize().to_pybytes()) for (name, origin, schema), _ in frames]
    folder.write_frame(_FRAMES, pl.DataFrame(files, schema=FrameFile._fields, orient="row"))
    bucket, start, size = (np.concatenate(parts) for parts in zip(*(one.batches for one in frames), strict=True))
    frame = np.repeat(np.arange(len(frames)), [len(one.batches.bucket) for one in frames])
    order = np.argsort(bucket, kind="stable")
    rows = pa.record_batch([column[order] for column in (frame, start, size)], schema=_PLACES)
    found = _write_batches(rows, np.bincount(bucket), folder, _INDEX)
    places = map(Extent, found.start.tolist(), found.size.tolist())
    return list(zip(found.bucket.tolist(), places, strict=True))


def read_bucket(place: Extent, folder: Folder) -> pa.Table:
    """All staged rows of a bucket as one chunk, in the order of the delivery; an all-null column is absent.

    Args:
        place: of the bucket in the index.
        folder: the staging's.
    """
    files = _read_files(folder)
    index = _read_batch(_INDEX, place, _PLACES, folder)
    frame, start, size = (column.to_pylist() for column in index)
    own = [files[number] for number in frame]
    extents = map(Extent, start, size)
    pieces = [_read_batch(one.name, extent, one.schema, folder) for one, extent in zip(own, extents, strict=True)]
    tables = [pa.Table.from_batches(alike) for _, alike in groupby(pieces, key=lambda piece: piece.schema)]
    if len({table.schema.field(t.EVENT_ID).type for table in tables}) > 1:  # some of the files have ids of their own
        tables = [with_text_ids(table) for table in tables]
    table = pa.concat_tables(tables, promote_options="permissive").combine_chunks()  # taking rows from many is slow
    kinds = pa.DictionaryArray.from_arrays(one_chunk(table[t.EVENT_TYPE]), t.EVENT_TYPES)
    coded = table.set_column(table.column_names.index(t.EVENT_TYPE), t.EVENT_TYPE, kinds)
    return coded.append_column(t.SOURCE_FILE, _origins([one.origin for one in own], pieces))


def with_text_ids(events: pa.Table) -> pa.Table:
    """Rows whose ids are text, as they are stored."""
    place = events.column_names.index(t.EVENT_ID)
    return events.set_column(place, t.EVENT_ID, as_text(one_chunk(events[t.EVENT_ID])))


@lru_cache(maxsize=1)
def _read_files(folder: Folder) -> list[FrameFile]:
    """All files of a delivery; cached, as a worker needs them for each of its buckets. Equal schemas are one object."""
    told = folder.read_frame(_FRAMES)
    schemas = {one: pa.ipc.read_schema(pa.py_buffer(one)) for one in told["schema"].unique()}
    return [FrameFile(name, origin, schemas[schema]) for name, origin, schema in told.iter_rows()]


def _read_batch(name: str, place: Extent, schema: pa.Schema, folder: Folder) -> pa.RecordBatch:
    """Rows of one bucket, without reading those of others in the same file."""
    with folder.reading(name) as file:
        file.seek(place.start)
        return pa.ipc.read_record_batch(file.read_buffer(place.size), schema)


def _origins(names: Sequence[str], pieces: Sequence[pa.RecordBatch]) -> pa.Array:
    """`SOURCE_FILE` of the rows of each piece."""
    known = sorted(set(names))
    codes = np.repeat([known.index(name) for name in names], [len(piece) for piece in pieces])
    return pa.DictionaryArray.from_arrays(codes.astype(np.int32), known)
