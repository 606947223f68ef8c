"""A shop's own PostgreSQL, MySQL or MariaDB database, with columns mapped in the settings."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property

import polars as pl

from everstay import tables as t
from everstay.errors import SourceError
from everstay.settings import DatabaseSource
from everstay.sources.blocks import UNREAD, Block, Header
from everstay.sources.columns import check_mapping, match_columns, nearest, required_event_columns
from everstay.sources.contract import Chunk
from everstay.sources.entities import entity_table
from everstay.sources.key_ranges import Plan, key_ranges, newer_than
from everstay.sources.rows import staged_rows, typed_rows
from everstay.sources.sql import Database, read_rows, select

_SHOWN_CHARACTERS = 60


class DatabaseTables:
    """Events, and optionally items, users and treatments, from tables or queries.

    Args:
        settings: which, and what their rows mean.
        newest_recorded_at: when the newest stored event was recorded; None when none is stored.

    Raises:
        SourceError: the settings name a column, event type or time zone that does not exist, or no events.
    """

    def __init__(self, settings: DatabaseSource, newest_recorded_at: datetime | None = None) -> None:
        check_mapping(settings)
        self._settings = settings
        self._newest_recorded_at = newest_recorded_at

    def event_chunks(self) -> Sequence[Chunk]:
        """Split the events that can be new into ranges of the key, of `chunk_rows` rows each.

        Raises:
            SourceError: no database answers, a table or column is absent, there are no rows, or the key is not a valid
                one.
        """
        settings, database = self._settings, self._database
        relation, header, origin = self._opened(settings.events, "events")
        columns = match_columns(t.EVENTS, header, settings, required_event_columns(settings), origin)
        if settings.key not in header.names:
            raise SourceError(
                f"{origin}: no column '{settings.key}' for source.database.key; it has {', '.join(header.names)}"
                f"{nearest(settings.key, header.names)}"
            )
        plan = Plan(relation, database.quoted(settings.key), self._condition(relation, columns), origin)
        ranges = list(key_ranges(database, plan, settings.chunk_rows))
        if not ranges and self._newest_recorded_at is None:
            raise SourceError(f"{origin} has no rows: correct source.database.events in the settings")
        wanted = [database.quoted(name) for name in dict.fromkeys([*columns.values(), settings.key])]
        head = f"{select(wanted, relation)} WHERE {plan.condition} AND "
        return [TableChunk(head + bounds, origin, columns, settings) for bounds in ranges]

    def deliveries(self) -> Mapping[str, str]:
        """None: whether the data changed is only known by reading it."""
        return {}

    def items(self) -> pl.DataFrame:
        """Read the catalogue."""
        return self._read_table(t.ITEMS, self._settings.items)

    def users(self) -> pl.DataFrame:
        """Read the user table."""
        return self._read_table(t.USERS, self._settings.users)

    def treatments(self) -> pl.DataFrame:
        """Read who was sent what."""
        return self._read_table(t.TREATMENTS, self._settings.treatments)

    @cached_property
    def _database(self) -> Database:
        return Database()

    def _opened(self, named: str, table: str) -> tuple[str, Header, str]:
        """The FROM expression, its columns, and its name for messages."""
        relation = self._database.relation(named, f"source.database.{table}")
        shown = " ".join(named.split())
        origin = shown if len(shown) <= _SHOWN_CHARACTERS else shown[:_SHOWN_CHARACTERS] + "..."
        return relation, Header(self._database.columns(relation), has_rows=True), origin

    def _condition(self, relation: str, columns: dict[str, str]) -> str:
        """SQL condition of the rows that can be new; of all when the lake is empty or no column dates them."""
        if self._newest_recorded_at is None or not self._settings.incremental or t.RECORDED_AT not in columns:
            return "1 = 1"
        overlap = timedelta(hours=self._settings.overlap_hours)
        since = (
            min(self._newest_recorded_at, datetime.now(UTC)) - overlap
        )  # a date in the future must not exclude all rows
        watermark = self._database.quoted(columns[t.RECORDED_AT])
        return newer_than(self._database, relation, watermark, since, self._settings.time_zone)

    def _read_table(self, table: t.Table, named: str) -> pl.DataFrame:
        if not named:
            return table.empty()
        relation, header, origin = self._opened(named, table.name)
        columns = match_columns(table, header, self._settings, table.required, origin)
        names = [self._database.quoted(name) for name in dict.fromkeys(columns.values())]
        order = ", ".join(self._database.quoted(columns[name]) for name in table.key)
        raw = read_rows(f"{select(names, relation)} ORDER BY {order}", origin)
        rows = typed_rows(_block(raw, pl.int_range(1, raw.height + 1, eager=True)), columns, self._settings)
        return entity_table([rows.with_columns(pl.lit(origin).alias(t.SOURCE_FILE))], table)


@dataclass(frozen=True)
class TableChunk:
    """A range of keys of the events; a row is identified by its key.

    Attributes:
        query: reads the range; contains no secret.
        origin: the table.
        columns: ours to theirs.
        settings: what rows mean.
    """

    query: str
    origin: str
    columns: dict[str, str]
    settings: DatabaseSource

    def read(self) -> Iterator[pl.DataFrame]:
        """Yield the staged events of the range as one frame.

        Raises:
            SourceError: the database does not answer, or two rows have one key.
        """
        raw = read_rows(self.query, self.origin).sort(self.settings.key)
        keys = raw[self.settings.key].cast(pl.Int64, strict=False)
        is_wrong = keys.is_null() | (keys != raw[self.settings.key])
        if is_wrong.any():
            raise SourceError(
                f"{self.origin}: column {self.settings.key} of source.database.key holds "
                f"{raw[self.settings.key].filter(is_wrong)[0]}, which is not a whole number below 2**63"
            )
        if (again := keys.filter(keys.is_duplicated())).len():
            raise SourceError(
                f"{self.origin}: column {self.settings.key} of source.database.key holds {again[0]} twice: name a "
                "unique whole-number column, such as the primary key"
            )
        yield staged_rows(_block(raw, keys), self.columns, self.settings, self.origin)


def _block(raw: pl.DataFrame, rows: pl.Series) -> Block:
    return Block(rows, raw, pl.DataFrame(schema=dict(UNREAD)))
