"""Keeps few files per bucket and only the wanted old versions, however many nights have appended a file each.

Files are merged in tiers: a bucket's smallest ones, up to the first that is larger than all of them together. So an
event is rewritten about as often as its bucket has doubled, and the cost of a night depends only on that night's data.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

import polars as pl
import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Schema
from deltalake.transaction import AddAction, RemoveAction

from everstay import tables as t
from everstay.lake.bucket_files import StagedFile, write_bucket
from everstay.lake.ingest import STAGING, STARTED, TOKEN
from everstay.lake.order import sort_events
from everstay.lake.snapshot import read_file
from everstay.lake.store import Lake
from everstay.partitions import map_parts
from everstay.storage import Folder

MOST_FILES = 8
"""A bucket with more files than this is compacted."""


@dataclass(frozen=True)
class Merge:
    """Files of one bucket that become one.

    Attributes:
        bucket: number of the user bucket.
        paths: relative to the events table.
        sizes: bytes of each.
    """

    bucket: int
    paths: tuple[str, ...]
    sizes: tuple[int, ...]


def compact_events(lake: Lake, scheduler: str) -> int:
    """Merge the small files of every bucket that has more than `MOST_FILES`, in one commit that changes no event.

    Files left by a crash before the commit are removed by an ingestion after a day.

    Returns:
        Number of buckets compacted.
    """
    events = lake.open(t.EVENTS)
    if events is None:
        return 0
    merges = _choose(events)
    if not merges:
        return 0
    token = f"compacted-{events.version()}"
    folder = Folder(lake.uri) / STAGING / token
    with folder.writing(STARTED):
        pass
    files = map_parts(partial(_merge, lake=lake, name=f"{token}.parquet"), merges, scheduler)
    added = [
        AddAction(file.path, file.size_bytes, {t.USER_BUCKET: str(file.bucket)}, 0, False, file.statistics)
        for file in files
    ]
    now = round(1_000 * datetime.now(UTC).timestamp())
    removed = [
        RemoveAction(path, False, now, size, {t.USER_BUCKET: str(merge.bucket)})
        for merge in merges
        for path, size in zip(merge.paths, merge.sizes, strict=True)
    ]
    events.create_write_transaction(
        [*added, *removed],
        "append",
        Schema.from_arrow(pl.DataFrame(schema={**t.EVENTS.columns, t.USER_BUCKET: pl.Int32}).to_arrow().schema),
        [t.USER_BUCKET],
        commit_properties=CommitProperties(custom_metadata={"everstay.compacted": str(len(merges)), TOKEN: token}),
    )
    folder.clear()
    return len(merges)


def vacuum(lake: Lake, keep_days: int) -> int:
    """Delete files referenced only by versions older than `keep_days` days, and equally old orphans of a kill.

    Returns:
        How many were deleted.
    """
    deleted = 0
    for table in t.TABLES:
        current = lake.open(table)
        if current is not None:
            hours = 24 * keep_days
            deleted += len(current.vacuum(hours, dry_run=False, enforce_retention_duration=False, full=True))
    return deleted


def choose_smallest(rows: list[int]) -> int:
    """How many files, given their ascending `rows`, to merge: up to the first larger than all before it together.

    >>> choose_smallest([1, 1, 2, 3, 900])
    4
    >>> choose_smallest([10, 500, 900])
    2
    """
    total = 0
    for count, size in enumerate(rows):
        if count >= 2 and size > total:
            return count
        total += size
    return len(rows)


def _choose(events: DeltaTable) -> list[Merge]:
    adds = pl.DataFrame(events.get_add_actions(flatten=True)).sort("num_records", "path")
    merges = []
    for (bucket,), files in adds.partition_by(f"partition.{t.USER_BUCKET}", as_dict=True).items():
        if len(files) > MOST_FILES:
            chosen = files.head(choose_smallest(files["num_records"].to_list()))
            merges.append(Merge(int(bucket), tuple(chosen["path"]), tuple(chosen["size_bytes"])))
    return sorted(merges, key=lambda merge: merge.bucket)


def _merge(merge: Merge, *, lake: Lake, name: str) -> StagedFile:
    table = Folder(lake.table_uri(t.EVENTS))
    events = pa.concat_tables(read_file(table, path, list(t.EVENTS.columns)) for path in merge.paths)
    return write_bucket(lake, name, merge.bucket, sort_events(events))
