"""The lake's Delta tables: replace, publish and append in one commit each; a snapshot names their versions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, write_deltalake

from everstay import tables as t
from everstay.errors import NotReady, SettingsError
from everstay.lake.publications import Publications
from everstay.lake.snapshot import Snapshot, read_table
from everstay.lake.table_version import TableVersion, names_below
from everstay.partitions import Parts
from everstay.storage import Folder

_KEY = "everstay.key"  # commit metadata: what this commit holds, so that a repeated write is recognised
_AS_OF = "everstay.as_of"
_SAME_ROWS = ("OPTIMIZE", "VACUUM START", "VACUUM END", "SET TBLPROPERTIES")  # operations that change no row
_VERSIONED = (t.EVENTS, t.ITEMS, t.USERS, t.TREATMENTS)


@dataclass(frozen=True)
class Lake:
    """A folder or URI of Delta tables.

    Attributes:
        uri: local folder, or an object-store URI whose credentials are in the environment.
        bucket_count: user buckets of the events; fixed by the first ingestion.
        shop: name of the shop that the events are from; fixed by the first ingestion if given.
    """

    uri: str
    bucket_count: int
    shop: str | None = None

    def table_uri(self, table: t.Table) -> str:
        """Where `table` is stored."""
        return f"{self.uri.rstrip('/')}/{table.name}"

    def open(self, table: t.Table) -> DeltaTable | None:
        """The Delta table at its newest version, or None when it was never written."""
        uri = self.table_uri(table)
        return DeltaTable(uri) if DeltaTable.is_deltatable(uri) else None

    def replace(self, table: t.Table, frame: pl.DataFrame, *, key: str) -> bool:
        """Replace the whole table in one commit.

        Args:
            table: its schema is enforced.
            frame: the new content.
            key: names the content; when the last commit has the same key nothing is written.

        Returns:
            Whether a commit was made.
        """
        if self.holds(table, key):
            return False
        write_deltalake(
            self.table_uri(table),
            table.conform(frame),
            mode="overwrite",
            schema_mode="overwrite",
            commit_properties=CommitProperties(custom_metadata={_KEY: key}),
        )
        return True

    def replace_parts(self, table: t.Table, parts: Parts, *, key: str) -> bool:
        """Replace the whole table by what the workers computed, and remove their files."""
        changed = not self.holds(table, key)
        if changed:
            write_deltalake(
                self.table_uri(table),
                _stream(table, parts),
                mode="overwrite",
                schema_mode="overwrite",
                commit_properties=CommitProperties(custom_metadata={_KEY: key}),
            )
        parts.remove()
        return changed

    def holds(self, table: t.Table, key: str) -> bool:
        """Whether a replacement with this key made what the table holds now: nothing deleted or restored rows since."""
        current = self.open(table)
        if current is None:
            return False
        changes = (entry for entry in _standing(current) if entry["operation"] not in _SAME_ROWS)
        return bool(next(changes, {}).get(_KEY) == key)

    def publish_parts(self, table: t.Table, parts: Parts, *, as_of: datetime, key: str) -> bool:
        """Replace the rows of one `as_of` in one commit; readers see the old rows or the new ones, never a mixture.

        Rows are stored in any order.

        Args:
            table: a table with an `as_of` column.
            parts: all rows of that as-of, as the workers computed them; one part at a time is in memory, and they are
                removed.
            as_of: the only value in the column.
            key: names the content (model and data version); a repeated publication writes nothing.

        Returns:
            Whether a commit was made.

        Raises:
            ValueError: there are rows of another as-of.
        """
        if any((parts.read(number, (t.AS_OF,))[t.AS_OF] != as_of).any() for number in parts.numbers):
            raise ValueError(f"table {table.name}: a publication as of {as_of} must hold no other as-of")
        changed = not self.has_published(table, as_of, key)
        if changed:
            is_new = self.open(table) is None
            write_deltalake(
                self.table_uri(table),
                _stream(table, parts),
                mode="overwrite",
                schema_mode="merge",  # a table of an older release gets the columns that were added since
                predicate=None if is_new else f"{t.AS_OF} = '{as_of.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}'",
                commit_properties=CommitProperties(custom_metadata={_KEY: key, _AS_OF: as_of.isoformat()}),
            )
        parts.remove()
        return changed

    def has_published(self, table: t.Table, as_of: datetime, key: str) -> bool:
        """Whether the last publication of this as-of had this key, and any of its rows are still there."""
        current = self.open(table)
        if current is None:
            return False
        stamp = as_of.isoformat()
        last = next((entry for entry in _standing(current) if entry.get(_AS_OF) == stamp), {})
        return last.get(_KEY) == key and as_of in self.as_ofs(table)

    def append(self, table: t.Table, frame: pl.DataFrame) -> None:
        """Add rows whose key columns are not stored yet; a repeated call adds nothing."""
        frame = table.conform(frame).unique(list(table.key), maintain_order=True)
        stored = self.read(table)
        if stored is not None:
            frame = frame.join(stored, on=list(table.key), how="anti")
        if len(frame):
            write_deltalake(self.table_uri(table), frame, mode="append")

    def read(self, table: t.Table, version: int | None = None, where: pl.Expr | None = None) -> pl.DataFrame | None:
        """The whole table, or the rows that `where` keeps; None when it was never written."""
        current = self.open(table)
        if current is None:
            return None
        if version is not None:
            current.load_as_version(version)
        return read_table(Folder(self.uri), table, tuple(names_below(table.name, current.file_uris())), where)

    def as_ofs(self, table: t.Table) -> list[datetime]:
        """The as-ofs that are published, oldest first."""
        current = self.open(table)
        return [] if current is None else Publications(Folder(self.uri), table, current).as_ofs()

    def read_publication(self, table: t.Table, as_of: datetime, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """What is published as of a moment, without reading any other as-of; all columns when None."""
        ((_, rows),) = self.read_publications(table, [as_of], columns)
        return rows

    def read_publications(
        self, table: t.Table, as_ofs: Sequence[datetime], columns: Sequence[str] | None = None
    ) -> Iterator[tuple[datetime, pl.DataFrame]]:
        """Yield each of several as-ofs with its published rows, one at a time."""
        current, wanted = self.open(table), list(columns or table.columns)
        if current is None:
            yield from ((as_of, table.empty().select(wanted)) for as_of in as_ofs)
        else:
            published = Publications(Folder(self.uri), table, current)
            yield from ((as_of, published.read(as_of, wanted)) for as_of in as_ofs)

    def snapshot(self) -> Snapshot:
        """Name the versions that are stored now.

        Raises:
            NotReady: no events are stored.
            SettingsError: the lake was made with another number of buckets.
        """
        events = self.open(t.EVENTS)
        if events is None:
            raise NotReady(f"the lake at {self.uri} holds no events yet: run `make train` or `make ingest`")
        check_bucket_count(events, self.bucket_count)
        versions = []
        for table in _VERSIONED:
            current = events if table is t.EVENTS else self.open(table)
            if current is not None:
                versions.append(TableVersion.of(current, table, self.table_uri(table)))
        return Snapshot(self.uri, self.bucket_count, tuple(versions))


def _standing(table: DeltaTable) -> Iterator[dict[str, Any]]:
    """Commits that made what the table holds, newest first, without those that the restoration of a version undid."""
    entries = table.history()
    until = table.version()
    for entry in entries:
        if entry["version"] > until:
            continue
        if entry["operation"] != "RESTORE":
            yield entry
        else:
            until = _restored_version(entry, entries)


def _restored_version(entry: dict[str, Any], entries: Sequence[dict[str, Any]]) -> int:
    """The version that a commit restored, which names it, or a moment in milliseconds since 1970."""
    told = entry["operationParameters"]
    if "version" in told:
        return int(told["version"])
    before = (past for past in entries if past["version"] < entry["version"])
    return max((past["version"] for past in before if past["timestamp"] <= int(told["datetime"])), default=-1)


def _stream(table: t.Table, parts: Parts) -> pa.RecordBatchReader:
    """The rows of all parts, one part in memory at a time."""
    first = table.conform(parts.read(parts.numbers[0])).to_arrow(compat_level=pl.CompatLevel.oldest())
    frames = (table.conform(parts.read(number)) for number in parts.numbers)
    batches = (b for frame in frames for b in frame.to_arrow(compat_level=pl.CompatLevel.oldest()).to_batches())
    return pa.RecordBatchReader.from_batches(first.schema, batches)


def check_shop(events: DeltaTable, shop: str | None) -> None:
    """Refuse events of another shop: users and items of both would be taken for those of one.

    Raises:
        SettingsError: the lake was created with another shop's events.
    """
    stored = events.metadata().name
    if shop and stored and stored != shop:
        raise SettingsError(
            f"source: the lake holds events of {stored}, but these are of {shop}: "
            "use another data.folder, or delete this lake"
        )


def describe_buckets(bucket_count: int) -> str:
    """The Delta table's description, by which `check_bucket_count` knows how it was made."""
    return f"{bucket_count} user buckets"


def check_bucket_count(events: DeltaTable, bucket_count: int) -> None:
    """Refuse a lake that was made with another number of buckets.

    Raises:
        SettingsError: the numbers differ.
    """
    stored = events.metadata().description
    if stored != describe_buckets(bucket_count):
        raise SettingsError(
            f"data.buckets is {bucket_count}, but the lake was created with {stored}: "
            "set it back, or use another data.folder"
        )
