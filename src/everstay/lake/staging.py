"""What workers do with a delivery's chunks: read, refuse, and lay the rows of every bucket side by side. Invisible.

A frame of a chunk becomes one Arrow file of a record batch per bucket, so that a worker that resolves a bucket maps
just its own batches, and the number of files does not grow with the number of buckets.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import polars as pl
import pyarrow as pa

from everstay import tables as t
from everstay.lake.buckets import assign_bucket
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


@dataclass(frozen=True)
class StagedFrame:
    """A frame's good rows, bucket by bucket, in an Arrow file of the staging's folder.

    Attributes:
        name: of the file.
        origin: the chunk's; of each row only its number is written.
        buckets: bucket of each record batch, ascending.
    """

    name: str
    origin: str
    buckets: tuple[int, ...]


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
            folder.write_parquet(f"refused/{name}.parquet", bad)
            refused.append(f"refused/{name}.parquet")
        if len(good):
            buckets = _write_frame(good.drop(t.SOURCE_FILE), lake.bucket_count, folder, f"{name}.arrow")
            frames.append(StagedFrame(f"{name}.arrow", chunk.origin, buckets))
    return ChunkOutcome(rows_read, tuple(frames), tuple(refused))


def _write_frame(good: pl.DataFrame, bucket_count: int, folder: Folder, name: str) -> tuple[int, ...]:
    """Write rows in the order of their buckets, without the columns in which there is nothing; return the buckets."""
    bucket = assign_bucket(good.select(t.USER_ID), bucket_count)[t.USER_BUCKET].to_numpy()
    order = np.argsort(bucket.astype(np.uint16) if bucket_count <= 1 << 16 else bucket, kind="stable")
    kept = [column.name for column in good if column.null_count() < len(good)]
    table = good.select(kept).with_columns(pl.col(t.EVENT_TYPE).cast(_KIND))[order].to_arrow(compat_level=_PLAIN)
    if table.nbytes < _SHORT_BYTES:
        table = table.cast(_with_short_offsets(table.schema))
    buckets, starts = np.unique(bucket[order], return_index=True)
    with folder.writing(name) as file, pa.ipc.new_file(file, table.schema) as writer:
        for low, high in zip(starts, [*starts[1:], len(order)], strict=True):
            (batch,) = table.slice(low, high - low).combine_chunks().to_batches()
            writer.write_batch(batch)
    return tuple(int(number) for number in buckets)


def _with_short_offsets(schema: pa.Schema) -> pa.Schema:
    """Text with offsets of 32 bits instead of 64."""
    short = {pa.large_string(): pa.string()}
    return pa.schema([field.with_type(short.get(field.type, field.type)) for field in schema])


def read_bucket(bucket: int, frames: Sequence[StagedFrame], folder: Folder) -> pl.DataFrame:
    """All staged rows of a bucket, in the order of the delivery; a column in which there is nothing is absent."""
    found = [frame for frame in frames if bucket in frame.buckets]
    batches = []
    for frame in found:
        with folder.reading(frame.name) as file:
            batch = pa.ipc.open_file(file).get_batch(frame.buckets.index(bucket))
            batches.append(pa.Table.from_batches([batch]))
    rows = pa.concat_tables(batches, promote_options="permissive")
    rows = pl.DataFrame(pl.from_arrow(rows.combine_chunks()))  # in one piece, for what picks rows from many is slow
    return rows.with_columns(_origins([frame.origin for frame in found], [len(batch) for batch in batches]))


def _origins(names: Sequence[str], counts: Sequence[int]) -> pl.Series:
    """`SOURCE_FILE` of as many rows of each frame."""
    known = sorted(set(names))
    codes = np.repeat([known.index(name) for name in names], counts)
    return pl.Series(t.SOURCE_FILE, codes, pl.UInt32).cat.to(pl.Enum(known))
