"""Fixed versions of the lake's tables, and the only reader of events: they are always read as of a moment."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from hashlib import sha256

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from everstay import tables as t
from everstay.errors import NotReady
from everstay.lake.merge import SameMoment, merge_coded
from everstay.lake.order import is_in_order, sort_events
from everstay.lake.table_version import STATISTICS_PRECISION, TableVersion
from everstay.storage import Folder

_CODED = (t.USER_ID, t.ITEM_ID, t.EVENT_TYPE, t.ORDER_ID, t.SESSION_ID, t.PLATFORM, t.CAMPAIGN_ID)
_TEXT_OF_OTHERS = (pa.string_view(), pa.large_string())  # in files that Delta rewrote after a deletion, or a person
_DIGITS = 6  # of the hash that tells one lake's versions from another's


@dataclass(frozen=True)
class Snapshot:
    """Versions of the lake's tables. Small and picklable: Dask workers get one and read for themselves.

    Attributes:
        uri: the lake's.
        bucket_count: the lake's.
        versions: of the tables that exist.
    """

    uri: str
    bucket_count: int
    versions: tuple[TableVersion, ...]

    @property
    def data_version(self) -> str:
        """All versions as one string, for runs, models and published rows.

        Its suffix tells them from the same version numbers of a recreated lake.
        """
        times = ",".join(str(version.committed_at) for version in self.versions)
        numbers = (f"{version.name}-{version.number}" for version in self.versions)
        return ".".join((*numbers, sha256(times.encode()).hexdigest()[:_DIGITS]))

    @property
    def buckets(self) -> range:
        """The numbers of the user buckets."""
        return range(self.bucket_count)

    @property
    def newest_recorded_at(self) -> datetime:
        """When the newest event was recorded, rounded down to a millisecond: where a reader of newer ones begins."""
        newest: datetime = max(self._times("max.recorded_at"))
        return newest

    @property
    def recorded_until(self) -> datetime:
        """When the newest event was recorded, rounded up to a millisecond: all events were known then."""
        return self.newest_recorded_at + STATISTICS_PRECISION

    @property
    def first_event_at(self) -> datetime:
        """When the oldest event occurred, rounded down to a millisecond."""
        oldest: datetime = min(self._times("min.occurred_at"))
        return oldest

    @property
    def event_count(self) -> int:
        """Number of stored events."""
        return int(self._version(t.EVENTS).statistics()["num_records"].sum())

    def read_events(
        self, bucket: int, as_of: datetime, columns: Sequence[str] | None = None, *, with_anonymous: bool = False
    ) -> pl.DataFrame:
        """What was known of one bucket's users at a moment.

        Args:
            bucket: number of the user bucket.
            as_of: only events that occurred and were recorded before are read.
            columns: the ones wanted; all when None.
            with_anonymous: whether to include anonymous events, for counts of items rather than users.

        Returns:
            Events sorted by user, time and event id.
        """
        wanted = list(columns or t.EVENTS.columns)
        files = self._version(t.EVENTS).files_of_bucket(bucket)
        if not files:
            return t.EVENTS.empty().select(wanted)
        known = (pl.col(t.OCCURRED_AT) < as_of) & (pl.col(t.RECORDED_AT) < as_of)
        if not with_anonymous:
            known &= ~t.is_anonymous()

        def read(*columns: str) -> pl.DataFrame:
            needed = list(dict.fromkeys((*columns, t.USER_ID, t.OCCURRED_AT, t.RECORDED_AT)))
            return pl.concat(self._folder.read_parquet(file, needed).filter(known) for file in files)

        if len(files) == 1 and _is_in_order(events := read(*wanted)):
            return events.select(wanted)
        return _in_order_of_events(read(*wanted, t.EVENT_ID)).select(wanted)

    def read_coded(
        self, bucket: int, as_of: datetime, columns: Sequence[str], *, with_anonymous: bool = False
    ) -> pa.Table:
        """Like `read_events`, with ids and other repeated text dictionary-encoded.

        Several times as fast, as no text is decoded. Users' codes ascend from row to row.
        """
        wanted = list(dict.fromkeys((*columns, t.USER_ID, t.OCCURRED_AT, t.RECORDED_AT)))
        files = self._version(t.EVENTS).files_of_bucket(bucket)
        if not files:
            return _coded(t.EVENTS.empty().select(wanted).to_arrow())

        def read(*columns: str) -> list[pa.Table]:
            tables = [_known(read_file(self._folder, file, [*columns]), as_of) for file in files]
            return [_one_dictionary(table if with_anonymous else _of_users(table)) for table in tables]

        try:
            tables = read(*wanted)
            if all(map(is_in_order, tables)):
                return merge_coded(tables)
            raise SameMoment  # a file rewritten by another program that deleted rows
        except SameMoment:
            return sort_events(pa.concat_tables(read(*wanted, t.EVENT_ID))).select(wanted)

    def read(self, table: t.Table) -> pl.DataFrame:
        """A small table (items, users, treatments) as it was; no rows when it was never written."""
        if all(version.name != table.name for version in self.versions):
            return table.empty()
        return read_table(self._folder, table, self._version(table).files())

    def _times(self, statistic: str) -> pl.Series:
        """One time of each file of events.

        Raises:
            NotReady: all events were deleted.
        """
        times = self._version(t.EVENTS).statistics()[statistic]
        if times.is_empty():
            raise NotReady(f"the lake at {self.uri} holds no events any more: run `make ingest`")
        return times

    def _version(self, table: t.Table) -> TableVersion:
        return next(version for version in self.versions if version.name == table.name)

    @property
    def _folder(self) -> Folder:
        return Folder(self.uri)


def read_file(lake: Folder, file: str, columns: list[str]) -> pa.Table:
    """Rows of a file of events in Arrow, ids and other repeated text as dictionaries."""
    with lake.reading(file) as source:
        coded = [column for column in _CODED if column in columns]
        # `pq.read_table` would cut the rows into pieces of 131,072, each with its dictionary
        events = pq.ParquetFile(source, read_dictionary=coded).read(columns, use_threads=False)
    for place, field in enumerate(events.schema):
        if field.type in _TEXT_OF_OTHERS:
            events = events.set_column(place, field.name, events[field.name].cast(pa.string()))
    fields = [field.with_nullable(True) for field in events.schema]  # as those files have it, unlike ours
    return pa.table(events.columns, pa.schema(fields))


def read_table(lake: Folder, table: t.Table, files: tuple[str, ...], where: pl.Expr | None = None) -> pl.DataFrame:
    """All rows in a table's files, or those that `where` keeps; then only one file at a time is in memory."""
    if not files:
        return table.empty()
    if where is None:
        return in_declared_order(_read_rows(lake, files), table)
    kept = pl.concat((lake.read_parquet(file).filter(where) for file in files), how="diagonal")
    return in_declared_order(kept, table)


@lru_cache(maxsize=16)
def _read_rows(lake: Folder, files: tuple[str, ...]) -> pl.DataFrame:
    """Rows of lake files; cached, as files never change and a worker needs the same ones for each of its buckets."""
    return pl.concat((lake.read_parquet(file) for file in files), how="diagonal")


def _is_in_order(events: pl.DataFrame) -> bool:
    """Whether users ascend and each user's times never decrease, as in every file that the lake wrote."""
    user, moment = events[t.USER_ID], events[t.OCCURRED_AT]
    falls = (moment < moment.shift(1)).arg_true().cast(pl.Int64)
    return user.is_sorted() and bool((user[falls] != user[falls - 1]).all())


def _in_order_of_events(events: pl.DataFrame) -> pl.DataFrame:
    ordered = sort_events(events.to_arrow(compat_level=pl.CompatLevel.oldest()))
    return pl.DataFrame(pl.from_arrow(ordered)).cast({t.USER_ID: pl.String})


def in_declared_order(rows: pl.DataFrame, table: t.Table) -> pl.DataFrame:
    """The declared columns first, in their order; those missing from files of an older release are null."""
    absent = [pl.lit(None, dtype).alias(name) for name, dtype in table.columns.items() if name not in rows.columns]
    return rows.with_columns(absent).select(*table.columns, pl.exclude(*table.columns))


def _known(events: pa.Table, as_of: datetime) -> pa.Table:
    """Rows that occurred and were recorded before `as_of`; usually all, and then nothing is copied."""
    latest = max(pc.max(events[t.OCCURRED_AT]).as_py(), pc.max(events[t.RECORDED_AT]).as_py())
    if latest < as_of:
        return events
    return events.filter((pc.field(t.OCCURRED_AT) < as_of) & (pc.field(t.RECORDED_AT) < as_of))


def _of_users(events: pa.Table) -> pa.Table:
    """Rows that belong to a user; usually all, and then nothing is copied. Only the dictionary's text is looked at."""
    users = events[t.USER_ID]
    if not any(pc.any(pc.starts_with(chunk.dictionary, t.ANONYMOUS)).as_py() for chunk in users.chunks):
        return events
    return events.filter(pc.invert(pc.starts_with(users.cast(pa.large_string()), t.ANONYMOUS)))


def _one_dictionary(events: pa.Table) -> pa.Table:
    """Give every column a single dictionary; a file with one row group already has that."""
    return events.unify_dictionaries() if any(column.num_chunks > 1 for column in events.columns) else events


def _coded(events: pa.Table) -> pa.Table:
    for place, name in enumerate(events.column_names):
        if name in _CODED:
            events = events.set_column(place, name, pc.dictionary_encode(events[name]))
    return events
