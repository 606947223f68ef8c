"""A shop's own Parquet, CSV or JSON-lines files, on disk or in object storage, with columns mapped in the settings."""

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256

import polars as pl

from everstay import tables as t
from everstay.code_version import code_version
from everstay.settings import FilesSource
from everstay.sources.blocks import Header, Part
from everstay.sources.columns import (
    check_mapping,
    match_columns,
    required_event_columns,
    warn_of_gaps,
    warn_of_namesakes,
    with_late_keys,
)
from everstay.sources.contract import Chunk
from everstay.sources.entities import entity_table
from everstay.sources.rows import staged_rows, typed_rows
from everstay.sources.tabular import find_files, read_header, read_part, split

log = logging.getLogger(__name__)

_NO_READING = {"events", "items", "users", "treatments", "chunk_rows"}
"""Settings that do not decide what a file's rows mean."""


class Files:
    """Events, and optionally items, users and treatments, from files.

    Args:
        settings: where they lie, and what their rows mean.
        delivered: `DELIVERY` of event files that were stored before, which are not read again.

    Raises:
        SourceError: the settings name a column, event type or time zone that does not exist, or no event files.
    """

    def __init__(self, settings: FilesSource, delivered: Collection[str] = ()) -> None:
        check_mapping(settings)
        self._settings = settings
        self._delivered = delivered

    def event_chunks(self) -> Sequence[Chunk]:
        """Split the event files; each file's columns are checked here, before any row is read."""
        required = required_event_columns(self._settings)
        columns: dict[str, dict[str, str]] = {}
        headers = {file: read_header(file, self._settings) for file in self._new.values()}
        for file, header in headers.items():
            columns[file] = match_columns(t.EVENTS, header, self._settings, required, file)
            if not header.is_open:
                warn_of_namesakes(t.EVENTS, header, columns[file], file)
        warn_of_gaps(columns)
        chunks: list[Chunk] = []
        for file, matched in columns.items():
            parts = self._parts(file, t.EVENTS, headers[file], matched)
            chunks.extend(FileChunk(part, matched, self._settings) for part in parts)
        if known := len(self._files) - len(self._new):
            log.info("%d of %d event files were stored before and are not read again", known, len(self._files))
        return chunks

    def deliveries(self) -> Mapping[str, str]:
        """The files that `event_chunks` reads, as they were when found."""
        return self._new

    @cached_property
    def _files(self) -> dict[str, str]:
        """Delivery of every event file to its name."""
        files = find_files(self._settings.events, "source.files.events")
        reading = self._settings.model_dump_json(exclude=_NO_READING) + code_version("sources")
        return {_digits(f"{file.name} {file.stamp}") + _digits(reading): file.name for file in files}

    @property
    def _new(self) -> dict[str, str]:
        return {delivery: name for delivery, name in self._files.items() if delivery not in self._delivered}

    def items(self) -> pl.DataFrame:
        """Read the catalogue."""
        return self._read_table(t.ITEMS, self._settings.items, "source.files.items")

    def users(self) -> pl.DataFrame:
        """Read the user table."""
        return self._read_table(t.USERS, self._settings.users, "source.files.users")

    def treatments(self) -> pl.DataFrame:
        """Read who was sent what."""
        return self._read_table(t.TREATMENTS, self._settings.treatments, "source.files.treatments")

    def _read_table(self, table: t.Table, pattern: str, key: str) -> pl.DataFrame:
        if not pattern:
            return table.empty()
        files = find_files(pattern, key)
        return entity_table([frame for file in files for frame in self._typed(file.name, table)], table)

    def _parts(self, file: str, table: t.Table, header: Header, columns: Mapping[str, str]) -> list[Part]:
        parts = split(file, self._settings.chunk_rows)
        return [with_late_keys(part, table, header, columns, self._settings) for part in parts]

    def _typed(self, file: str, table: t.Table) -> Iterator[pl.DataFrame]:
        header = read_header(file, self._settings)
        columns = match_columns(table, header, self._settings, table.required, file)
        for part in self._parts(file, table, header, columns):
            for block in read_part(part, _different(columns), self._settings):
                rows = typed_rows(block, columns, self._settings)
                yield rows.with_columns(pl.lit(file).alias(t.SOURCE_FILE))


@dataclass(frozen=True)
class FileChunk:
    """Part of an event file.

    Attributes:
        part: which rows.
        columns: ours to theirs.
        settings: what rows mean, how text is written, rows read at a time.
    """

    part: Part
    columns: dict[str, str]
    settings: FilesSource

    @property
    def origin(self) -> str:
        """The file's path or URI."""
        return self.part.name

    def read(self) -> Iterator[pl.DataFrame]:
        """Yield staged events, at most `chunk_rows` at once.

        Raises:
            SourceError: the file is cut off or is not what it should be.
        """
        for block in read_part(self.part, _different(self.columns), self.settings):
            yield staged_rows(block, self.columns, self.settings, self.origin)


def _digits(text: str) -> str:
    return sha256(text.encode()).hexdigest()[: t.FILE_DIGITS]


def _different(columns: dict[str, str]) -> list[str]:
    """Their columns, each once: two of ours may come from one of theirs."""
    return list(dict.fromkeys(columns.values()))
