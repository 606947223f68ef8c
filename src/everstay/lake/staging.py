"""What workers do for an ingestion: read and refuse a chunk; de-duplicate, sort and write a bucket. All invisible."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import polars as pl
from deltalake import DeltaTable

from everstay import tables as t
from everstay.lake.buckets import assign_bucket
from everstay.lake.refusal import split_refused, to_quarantine
from everstay.lake.store import Lake


class Chunk(Protocol):
    """A unit of reading that a worker gets; `everstay.sources` makes them."""

    @property
    def origin(self) -> str:
        """Name of the file."""

    def read(self) -> Iterator[pl.DataFrame]:
        """Yield staged events: the columns of `events`, `source_file`, `source_row`, `problem`, `content`."""


@dataclass(frozen=True)
class StagedFile:
    """One bucket's new events, sorted and written, not yet visible."""

    bucket: int
    path: str  # relative to the events table
    rows: int
    size_bytes: int
    statistics: str  # Delta's JSON


@dataclass(frozen=True)
class ChunkOutcome:
    """What became of a chunk: its rows, the buckets that got some, and the files of refused rows."""

    rows_read: int
    buckets: tuple[int, ...]
    quarantine_files: tuple[str, ...]


def stage_chunk(numbered: tuple[int, Chunk], *, lake: Lake, folder: Path) -> ChunkOutcome:
    """Read a chunk, refuse what cannot be stored and write the rest to `folder`, one file a bucket and frame."""
    number, chunk = numbered
    rows_read, buckets, refused = 0, set[int](), []
    for part, frame in enumerate(chunk.read()):
        name = f"{number:06d}-{part:06d}.parquet"
        rows_read += len(frame)
        good, bad = split_refused(frame)
        if len(bad):
            refused.append(str(_write(bad, folder / "refused" / name)))
        for (bucket,), rows in (
            assign_bucket(good, lake.bucket_count).partition_by(t.USER_BUCKET, as_dict=True, include_key=False).items()
        ):
            _write(rows, folder / f"bucket-{bucket}" / name)
            buckets.add(int(bucket))
    return ChunkOutcome(rows_read, tuple(sorted(buckets)), tuple(refused))


@dataclass(frozen=True)
class BucketOutcome:
    """What became of a bucket: its new file, the rows known already, and the files of refused rows."""

    file: StagedFile | None
    rows_duplicate: int
    quarantine_files: tuple[str, ...]


def resolve_bucket(bucket: int, *, lake: Lake, folder: Path, version: int) -> BucketOutcome:
    """Drop rows stored already, refuse ids used for two different events, sort, write into the table's folder."""
    delivered = pl.read_parquet(folder / f"bucket-{bucket}" / "*.parquet", hive_partitioning=False)
    fresh = delivered.join(_stored_ids(lake, bucket, version), on=t.EVENT_ID, how="anti", maintain_order="left")
    distinct = fresh.unique(list(t.EVENTS.columns), keep="first", maintain_order=True)
    is_first = pl.int_range(pl.len()).over(t.EVENT_ID) == 0
    conflicts = distinct.filter(~is_first).with_columns(
        pl.lit("event_id: stands twice in this delivery with different content; the first was kept").alias(t.PROBLEM)
    )
    refused: tuple[str, ...] = ()
    if len(conflicts):
        path = _write(to_quarantine(conflicts), folder / "refused" / f"conflicts-{bucket}.parquet")
        refused = (str(path),)
    events = distinct.filter(is_first).select(*t.EVENTS.columns).sort(t.USER_ID, t.OCCURRED_AT, t.EVENT_ID)
    rows_duplicate = len(delivered) - len(events) - len(conflicts)
    return BucketOutcome(
        _write_bucket(lake, folder.name, bucket, events) if len(events) else None, rows_duplicate, refused
    )


def _stored_ids(lake: Lake, bucket: int, version: int) -> pl.DataFrame:
    if version < 0:
        return pl.DataFrame(schema={t.EVENT_ID: pl.String})
    files = DeltaTable(lake.table_uri(t.EVENTS), version=version).file_uris(
        file_pruning_predicate=[(t.USER_BUCKET, "=", str(bucket))]
    )
    if not files:
        return pl.DataFrame(schema={t.EVENT_ID: pl.String})
    return pl.scan_parquet(files, hive_partitioning=False).select(t.EVENT_ID).collect()


def _write_bucket(lake: Lake, token: str, bucket: int, events: pl.DataFrame) -> StagedFile:
    relative = f"{t.USER_BUCKET}={bucket}/{token}.parquet"
    path = _write(events, Path(lake.table_uri(t.EVENTS)) / relative)
    times = (t.OCCURRED_AT, t.RECORDED_AT)
    statistics = {
        "numRecords": len(events),
        "minValues": {name: _milliseconds(events[name].min()) for name in times},
        "maxValues": {name: _milliseconds(events[name].max()) for name in times},
        "nullCount": dict.fromkeys(times, 0),
    }
    return StagedFile(bucket, relative, len(events), path.stat().st_size, json.dumps(statistics))


def _milliseconds(moment: object) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"  # type: ignore[attr-defined]


def _write(frame: pl.DataFrame, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.write_parquet(path, compression="zstd", compression_level=1)
    return path
