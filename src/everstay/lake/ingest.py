"""Events into the lake: stage in parallel, refuse, de-duplicate, then make everything visible in one commit.

Until `commit_staged` the lake's readers see nothing; a process that dies before it leaves only files that no
version names, which a later staging removes. Running the same delivery again stores nothing twice.
"""

import shutil
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import polars as pl
from deltalake import CommitProperties, DeltaTable, Schema, Transaction
from deltalake.exceptions import DeltaError
from deltalake.transaction import AddAction, create_table_with_add_actions

from everstay import tables as t
from everstay.errors import DataRejected, EverstayError
from everstay.lake.staging import Chunk, StagedFile, resolve_bucket, stage_chunk
from everstay.lake.store import Lake, check_bucket_count, describe_buckets
from everstay.partitions import map_parts

_STAGING = "_staging"
_TRANSACTION = "everstay-ingest"  # Delta's application transaction: two ingestions at once cannot both commit
_EXAMPLES = 3
_LEFTOVER_AGE_SECONDS = 24 * 3600


@dataclass(frozen=True)
class Staged:
    """A delivery that waits for validation.

    Attributes:
        lake: where it will be committed.
        token: names this staging's folder.
        base_version: version of `events` that duplicates were looked up in; -1 for a new lake.
        files: the new events by bucket.
        rows_read: rows of the delivery.
        rows_duplicate: rows that are stored already or stand twice in the delivery.
        quarantine_files: Parquet files of refused rows.
        rows_quarantined: number of refused rows.
    """

    lake: Lake
    token: str
    base_version: int
    files: tuple[StagedFile, ...]
    rows_read: int
    rows_duplicate: int
    quarantine_files: tuple[str, ...]
    rows_quarantined: int

    @property
    def rows_new(self) -> int:
        """Events that the commit will add."""
        return sum(file.rows for file in self.files)

    @property
    def buckets(self) -> tuple[int, ...]:
        """The buckets that get new events."""
        return tuple(file.bucket for file in self.files)

    def read(self, bucket: int) -> pl.DataFrame:
        """The new events of one bucket, as they would be stored."""
        paths = [self.lake.table_uri(t.EVENTS) + "/" + file.path for file in self.files if file.bucket == bucket]
        return pl.read_parquet(paths, hive_partitioning=False) if paths else t.EVENTS.empty()


@dataclass(frozen=True)
class IngestResult:
    """What an ingestion did."""

    rows_read: int
    rows_added: int
    rows_duplicate: int
    rows_quarantined: int


def stage_events(lake: Lake, chunks: Sequence[Chunk], scheduler: str, *, max_quarantined_share: float) -> Staged:
    """Read all chunks in parallel, refuse bad rows, drop what is stored already and write the rest, still invisible.

    Raises:
        DataRejected: more than `max_quarantined_share` of the rows cannot be stored; nothing is kept.
        SourceError: a file cannot be read as a whole.
    """
    current = lake.open(t.EVENTS)
    if current is not None:
        check_bucket_count(current, lake.bucket_count)
    _remove_leftovers(lake)
    token = uuid.uuid4().hex
    folder = _staging_folder(lake) / token
    try:
        outcomes = map_parts(partial(stage_chunk, lake=lake, folder=folder), list(enumerate(chunks)), scheduler)
        rows_read = sum(outcome.rows_read for outcome in outcomes)
        refused = tuple(path for outcome in outcomes for path in outcome.quarantine_files)
        _check_share(refused, rows_read, max_quarantined_share)
        base_version = current.version() if current is not None else -1
        buckets = sorted({bucket for outcome in outcomes for bucket in outcome.buckets})
        resolved = map_parts(
            partial(resolve_bucket, lake=lake, folder=folder, version=base_version), buckets, scheduler
        )
    except BaseException:
        for path in _bucket_files(lake, token):
            path.unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        raise
    conflicts = tuple(path for bucket in resolved for path in bucket.quarantine_files)
    return Staged(
        lake=lake,
        token=token,
        base_version=base_version,
        files=tuple(bucket.file for bucket in resolved if bucket.file is not None),
        rows_read=rows_read,
        rows_duplicate=sum(bucket.rows_duplicate for bucket in resolved),
        quarantine_files=refused + conflicts,
        rows_quarantined=_count_rows(refused + conflicts),
    )


def commit_staged(staged: Staged) -> IngestResult:
    """Make a staged delivery visible in one commit and keep its refused rows in `quarantine`.

    Raises:
        EverstayError: another ingestion was committed since the staging; nothing was stored.
    """
    lake = staged.lake
    current = lake.open(t.EVENTS)
    if (current.version() if current is not None else -1) != staged.base_version:
        discard_staged(staged)
        raise EverstayError("another ingestion was committed meanwhile; nothing was stored: run this one again")
    if staged.files:
        _commit(lake, current, staged)
    if staged.quarantine_files:
        lake.append(t.QUARANTINE, pl.read_parquet(list(staged.quarantine_files)))
    shutil.rmtree(_staging_folder(lake) / staged.token, ignore_errors=True)
    return IngestResult(staged.rows_read, staged.rows_new, staged.rows_duplicate, staged.rows_quarantined)


def discard_staged(staged: Staged) -> None:
    """Remove what `stage_events` wrote; the lake is as before."""
    for file in staged.files:
        (Path(staged.lake.table_uri(t.EVENTS)) / file.path).unlink(missing_ok=True)
    shutil.rmtree(_staging_folder(staged.lake) / staged.token, ignore_errors=True)


def _commit(lake: Lake, current: DeltaTable | None, staged: Staged) -> None:
    schema = {**t.EVENTS.columns, t.USER_BUCKET: pl.Int32}
    arrow = Schema.from_arrow(pl.DataFrame(schema=schema).to_arrow().schema)
    adds = [
        AddAction(file.path, file.size_bytes, {t.USER_BUCKET: str(file.bucket)}, 0, True, file.statistics)
        for file in staged.files
    ]
    properties = CommitProperties(app_transactions=[Transaction(_TRANSACTION, staged.base_version + 1)])
    try:
        if current is None:
            create_table_with_add_actions(
                lake.table_uri(t.EVENTS),
                arrow,
                adds,
                partition_by=[t.USER_BUCKET],
                description=describe_buckets(lake.bucket_count),
                commit_properties=properties,
            )
        else:
            current.create_write_transaction([*adds], "append", arrow, [t.USER_BUCKET], commit_properties=properties)
    except DeltaError as error:
        discard_staged(staged)
        raise EverstayError(
            f"another ingestion was committed meanwhile; nothing was stored: run again ({error})"
        ) from None


def _check_share(refused: Sequence[str], rows_read: int, max_share: float) -> None:
    if not refused:
        return
    rows = pl.read_parquet(list(refused))
    if len(rows) <= max_share * rows_read:
        return
    examples = "\n".join(
        f"  {file}, row {row}: {problem}"
        for file, row, problem in rows.select(t.SOURCE_FILE, t.SOURCE_ROW, t.PROBLEM).head(_EXAMPLES).iter_rows()
    )
    raise DataRejected(
        f"{len(rows):,} of {rows_read:,} rows cannot be stored, more than source.max_quarantined_share allows "
        f"({max_share:.1%}); nothing was stored. Examples:\n{examples}"
    )


def _count_rows(paths: Sequence[str]) -> int:
    return int(pl.scan_parquet(list(paths)).select(pl.len()).collect().item()) if paths else 0


def _staging_folder(lake: Lake) -> Path:
    return Path(lake.uri) / _STAGING


def _bucket_files(lake: Lake, token: str) -> Iterator[Path]:
    """What one staging wrote into the table's folder, visible or not."""
    return Path(lake.table_uri(t.EVENTS)).glob(f"*/{token}.parquet")


def _remove_leftovers(lake: Lake) -> None:
    """Remove stagings of processes that died long ago; a young one may belong to a process that still works."""
    current = lake.open(t.EVENTS)
    visible = {Path(uri).name for uri in current.file_uris()} if current is not None else set()
    oldest = time.time() - _LEFTOVER_AGE_SECONDS
    for folder in _staging_folder(lake).glob("*"):
        if folder.stat().st_mtime < oldest:
            for path in _bucket_files(lake, folder.name):
                if path.name not in visible:
                    path.unlink(missing_ok=True)
            shutil.rmtree(folder, ignore_errors=True)
