"""What the shop knows besides events: items, users and treatments, staged with a delivery and replaced as a whole."""

import hashlib
import io
from dataclasses import dataclass
from typing import Protocol

import polars as pl

from everstay import tables as t
from everstay.lake.store import Lake
from everstay.storage import Folder

ENTITY_TABLES = (t.ITEMS, t.USERS, t.TREATMENTS)


class EntitySource(Protocol):
    """The part of a source that is not events; implemented in `everstay.sources`."""

    def items(self) -> pl.DataFrame:
        """The catalogue."""

    def users(self) -> pl.DataFrame:
        """The user table."""

    def treatments(self) -> pl.DataFrame:
        """Who was in which arm of which campaign."""


@dataclass(frozen=True)
class StagedEntities:
    """Entity tables of a delivery that wait for validation; one Arrow file each."""

    lake: Lake
    folder: Folder

    def read(self, table: t.Table) -> pl.DataFrame:
        """One of them."""
        return self.folder.read_frame(f"{table.name}.arrow")

    def is_new(self, table: t.Table) -> bool:
        """Whether its content differs from what the lake holds."""
        return not self.lake.holds(table, content_key(self.read(table)))

    def reader(self, table: t.Table) -> "EntityReader":
        """A picklable function that reads it, for validation in a worker."""
        return EntityReader(self.folder, f"{table.name}.arrow")


@dataclass(frozen=True)
class EntityReader:
    """Reads one staged table; it has a single part, so the part's number is ignored."""

    folder: Folder
    name: str

    def __call__(self, part: int) -> pl.DataFrame:  # noqa: ARG002 - the parts of other tables are buckets
        """The whole table."""
        return self.folder.read_frame(self.name)


def stage_entities(lake: Lake, source: EntitySource, folder: Folder) -> StagedEntities:
    """Write the source's entity tables to `folder`; the lake is unchanged."""
    for table, frame in zip(ENTITY_TABLES, (source.items(), source.users(), source.treatments()), strict=True):
        folder.write_frame(f"{table.name}.arrow", table.conform(frame))
    return StagedEntities(lake, folder)


def commit_entities(staged: StagedEntities) -> tuple[str, ...]:
    """Replace each table whose content changed.

    Returns:
        Names of the tables that got a new version.
    """
    changed = []
    for table in ENTITY_TABLES:
        frame = staged.read(table)
        if staged.lake.replace(table, frame, key=content_key(frame)):
            changed.append(table.name)
    staged.folder.clear()
    return tuple(changed)


def content_key(frame: pl.DataFrame) -> str:
    """A digest of a frame's rows and columns, in order."""
    buffer = io.BytesIO()
    frame.rechunk().write_ipc(buffer)
    return hashlib.sha256(buffer.getbuffer()).hexdigest()
