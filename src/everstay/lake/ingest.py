"""Events into the lake: stage in parallel, refuse, de-duplicate, then make everything visible in one commit.

Until `commit_staged` the lake's readers see nothing; a process that dies before it leaves only files that no
version names, which a later staging removes. Running the same delivery again stores nothing twice.
"""

import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

import polars as pl
from deltalake import CommitProperties, DeltaTable, Schema, Transaction
from deltalake.exceptions import DeltaError
from deltalake.transaction import AddAction, create_table_with_add_actions

from everstay import tables as t
from everstay.errors import DataRejected, EverstayError
from everstay.lake.bucket_files import REFUSED_BEFORE, StagedFile, bucket_path, resolve_bucket
from everstay.lake.refusal import NOT_YET
from everstay.lake.snapshot import read_file
from everstay.lake.staging import Chunk, stage_chunk, write_index
from everstay.lake.store import Lake, check_bucket_count, check_shop, describe_buckets
from everstay.lake.table_version import TableVersion
from everstay.partitions import map_parts
from everstay.storage import Folder

STAGING = "_staging"
_TRANSACTION = "everstay-ingest"  # Delta's application transaction: two ingestions at once cannot both commit
TOKEN = "everstay.staged"  # commit metadata: the staging that wrote the commit's files
STARTED = "started"  # an empty file whose timestamp tells how old a staging is
_EXAMPLES = 3
_LEFTOVER_AGE = timedelta(days=1)


@dataclass(frozen=True)
class Staged:
    """A delivery that waits for validation.

    Attributes:
        lake: where it will be committed.
        token: names this staging's folder.
        base_version: version of `events` that duplicates were looked up in; -1 for a new lake.
        files: the new events by bucket.
        rows_read: rows of the delivery.
        rows_duplicate: rows that are stored already or repeated in the delivery.
        quarantine_files: Arrow files of refused rows, in the staging's folder.
        rows_quarantined: number of refused rows.
        example: the first of them in words; empty where there is none.
        unsettled: names of the delivery's files with rows that may be stored later: their time still lies ahead.
    """

    lake: Lake
    token: str
    base_version: int
    files: tuple[StagedFile, ...]
    rows_read: int
    rows_duplicate: int
    quarantine_files: tuple[str, ...]
    rows_quarantined: int
    example: str
    unsettled: frozenset[str]

    @property
    def rows_new(self) -> int:
        """Events that the commit will add."""
        return sum(file.rows for file in self.files)

    @property
    def buckets(self) -> tuple[int, ...]:
        """The buckets that get new events."""
        return tuple(file.bucket for file in self.files)

    @property
    def read(self) -> Callable[..., pl.DataFrame]:
        """Reads the new events of one bucket, as they would be stored; small, as it is sent with every task."""
        return partial(_read_staged, lake=self.lake, token=self.token)


def _read_staged(bucket: int, columns: Sequence[str] | None = None, *, lake: Lake, token: str) -> pl.DataFrame:
    """New events of one bucket, ids as categories; all columns when None."""
    events, wanted = Folder(lake.table_uri(t.EVENTS)), list(columns or t.EVENTS.columns)
    return pl.DataFrame(read_file(events, bucket_path(bucket, f"{token}.parquet"), wanted))


@dataclass(frozen=True)
class IngestResult:
    """What an ingestion did."""

    rows_read: int
    rows_added: int
    rows_duplicate: int
    rows_quarantined: int


def stage_events(
    lake: Lake,
    chunks: Sequence[Chunk],
    scheduler: str,
    *,
    max_quarantined_share: float,
    read_before: Collection[str] = (),
) -> Staged:
    """Read all chunks in parallel, refuse bad rows, drop what is stored already and write the rest, still invisible.

    Args:
        lake: that the events will be committed to.
        chunks: of the delivery.
        scheduler: address from `partitions.open_cluster`.
        max_quarantined_share: largest share of rows that may be refused.
        read_before: origins stored before, but read with other settings or code: only rows refused then may be new.

    Raises:
        DataRejected: more than `max_quarantined_share` of the rows cannot be stored, or stored rows would be stored
            again because they are read differently now; nothing is kept.
        SourceError: a file cannot be read as a whole.
    """
    stored = _stored(lake)
    _remove_leftovers(lake)
    token = uuid.uuid4().hex
    folder = _staging(lake) / token
    with folder.writing(STARTED):
        pass
    try:
        outcomes = map_parts(partial(stage_chunk, lake=lake, folder=folder), list(enumerate(chunks)), scheduler)
        rows_read = sum(outcome.rows_read for outcome in outcomes)
        refused = tuple(name for outcome in outcomes for name in outcome.refused)
        _check_share(folder, refused, rows_read, max_quarantined_share)
        frames = [frame for outcome in outcomes for frame in outcome.frames]
        again = sorted(read_before)
        if again:
            folder.write_frame(REFUSED_BEFORE, _refused_before(lake, again))
        resolve = partial(resolve_bucket, lake=lake, folder=folder, token=token, stored=stored, read_before=again)
        resolved = map_parts(resolve, write_index(frames, folder), scheduler)
        refused += tuple(name for bucket in resolved for name in bucket.refused)  # ids used for two different events
        _check_share(folder, refused, rows_read, max_quarantined_share)
        _check_readings(again, sum(bucket.rows_again for bucket in resolved))
    except BaseException:
        _remove(lake, token)
        raise
    for frame in frames:
        folder.remove(frame.file.name)
    quarantined = pl.concat([t.QUARANTINE.empty(), *(folder.read_frame(name) for name in refused)])
    return Staged(
        lake=lake,
        token=token,
        base_version=-1 if stored is None else stored.number,
        files=tuple(bucket.file for bucket in resolved if bucket.file is not None),
        rows_read=rows_read,
        rows_duplicate=sum(bucket.rows_duplicate for bucket in resolved),
        quarantine_files=refused,
        rows_quarantined=len(quarantined),
        example=next(_in_words(quarantined), ""),
        unsettled=frozenset(quarantined.filter(pl.col(t.PROBLEM).str.contains(NOT_YET, literal=True))[t.SOURCE_FILE]),
    )


def _stored(lake: Lake) -> TableVersion | None:
    """The events that the lake holds, if any.

    Raises:
        SettingsError: the lake was created with other buckets or another shop's events.
    """
    current = lake.open(t.EVENTS)
    if current is None:
        return None
    check_bucket_count(current, lake.bucket_count)
    check_shop(current, lake.shop)
    return TableVersion.of(current, t.EVENTS, lake.table_uri(t.EVENTS))


def commit_staged(staged: Staged) -> IngestResult:
    """Keep a staged delivery's refused rows in `quarantine`, and then make its events visible in one commit.

    The refused rows come first: once the events are stored, a source that reads on from the newest of them does not
    bring the rows before again. A repeated call adds none twice.

    Raises:
        EverstayError: another ingestion was committed since the staging; none of the events was stored.
    """
    lake = staged.lake
    current = lake.open(t.EVENTS)
    if (current.version() if current is not None else -1) != staged.base_version:
        discard_staged(staged)
        raise EverstayError("another ingestion was committed meanwhile; nothing was stored: re-run this one")
    if staged.quarantine_files:
        folder = _staging(lake) / staged.token
        lake.append(t.QUARANTINE, pl.concat(folder.read_frame(name) for name in staged.quarantine_files))
    if staged.files:
        _commit(lake, current, staged)
    (_staging(lake) / staged.token).clear()
    return IngestResult(staged.rows_read, staged.rows_new, staged.rows_duplicate, staged.rows_quarantined)


def discard_staged(staged: Staged) -> None:
    """Remove what `stage_events` wrote; the lake is as before."""
    _remove(staged.lake, staged.token)


def _commit(lake: Lake, current: DeltaTable | None, staged: Staged) -> None:
    schema = {**t.EVENTS.columns, t.USER_BUCKET: pl.Int32}
    arrow = Schema.from_arrow(pl.DataFrame(schema=schema).to_arrow().schema)
    adds = [
        AddAction(file.path, file.size_bytes, {t.USER_BUCKET: str(file.bucket)}, 0, True, file.statistics)
        for file in staged.files
    ]
    properties = CommitProperties(
        custom_metadata={TOKEN: staged.token},
        app_transactions=[Transaction(_TRANSACTION, staged.base_version + 1)],
    )
    try:
        if current is None:
            create_table_with_add_actions(
                lake.table_uri(t.EVENTS),
                arrow,
                adds,
                partition_by=[t.USER_BUCKET],
                name=lake.shop,
                description=describe_buckets(lake.bucket_count),
                commit_properties=properties,
            )
        else:
            current.create_write_transaction([*adds], "append", arrow, [t.USER_BUCKET], commit_properties=properties)
    except DeltaError as error:
        discard_staged(staged)
        raise EverstayError(
            f"another ingestion was committed meanwhile; none of the events was stored: re-run this one ({error})"
        ) from None


def _check_share(folder: Folder, refused: Sequence[str], rows_read: int, max_share: float) -> None:
    if not refused:
        return
    rows = pl.concat(folder.read_frame(name) for name in refused)
    if len(rows) <= max_share * rows_read:
        return
    examples = "\n".join(f"  {words}" for words in _in_words(rows.head(_EXAMPLES)))
    raise DataRejected(
        f"{len(rows):,} of {rows_read:,} rows cannot be stored, more than source.max_quarantined_share allows "
        f"({max_share:.1%}); nothing was stored. Examples:\n{examples}"
    )


def _in_words(refused: pl.DataFrame) -> Iterator[str]:
    rows = refused.select(t.SOURCE_FILE, t.SOURCE_ROW, t.PROBLEM).iter_rows()
    return (f"{file}, row {row}: {problem}" for file, row, problem in rows)


def _refused_before(lake: Lake, origins: Sequence[str]) -> pl.DataFrame:
    quarantined = lake.read(t.QUARANTINE)
    rows = t.QUARANTINE.empty() if quarantined is None else quarantined
    return rows.filter(pl.col(t.SOURCE_FILE).is_in(origins)).select(t.SOURCE_FILE, t.SOURCE_ROW).unique()


def _check_readings(read_before: Sequence[str], rows_again: int) -> None:
    if rows_again:
        raise DataRejected(
            f"{read_before[0]}{' and others' if len(read_before) > 1 else ''}: already stored, but the settings of the "
            f"source, or a new release, now read it differently: {rows_again:,} rows would be stored a "
            "second time; nothing was stored. Restore the settings, or start again in another data.folder"
        )


def _staging(lake: Lake) -> Folder:
    return Folder(lake.uri) / STAGING


def _remove(lake: Lake, token: str) -> None:
    """Remove everything that one uncommitted staging wrote."""
    events = Folder(lake.table_uri(t.EVENTS))
    for bucket in range(lake.bucket_count):
        events.remove(bucket_path(bucket, f"{token}.parquet"))
    (_staging(lake) / token).clear()


def _remove_leftovers(lake: Lake) -> None:
    """Remove stagings of processes that died long ago; a recent one may belong to a process that is still running."""
    oldest = datetime.now(UTC) - _LEFTOVER_AGE
    started = {file.name.split("/")[0]: file.modified_at for file in _staging(lake).files() if STARTED in file.name}
    current = lake.open(t.EVENTS)
    committed: set[str] = set()
    if current is not None and started:
        committed |= {uri.rsplit("/", 1)[-1].removesuffix(".parquet") for uri in current.file_uris()}
        committed |= {entry[TOKEN] for entry in current.history() if TOKEN in entry}  # compacted since, perhaps
    for token, started_at in started.items():
        if started_at < oldest and token in committed:
            (_staging(lake) / token).clear()
        elif started_at < oldest:
            _remove(lake, token)
