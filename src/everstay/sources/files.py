"""A shop's own Parquet or CSV files, with columns mapped in the settings."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import polars as pl

from everstay import tables as t
from everstay.errors import SourceError
from everstay.settings import FilesSource
from everstay.sources.columns import check_mapping, match_columns
from everstay.sources.contract import Chunk, stage
from everstay.sources.tabular import Block, Part, columns_of, find_files, read_part, split
from everstay.sources.values import read_column

# What a quantity is when a shop does not say: these take, or put back, one piece; a view or a message moves nothing.
_ONE_PIECE = (t.CART, t.PURCHASE, t.RETURN)
_NEEDS_VALUE = (t.PURCHASE, t.RETURN)


class Files:
    """Events, and where there are any items, users and treatments, from files.

    Raises:
        SourceError: the settings name a column, event type or time zone that does not exist, or no event files.
    """

    def __init__(self, settings: FilesSource) -> None:
        if not settings.events:
            raise SourceError("source.files.events in everstay.toml is empty: name the event files, as path or glob")
        check_mapping(settings)
        try:
            ZoneInfo(settings.time_zone)
        except (KeyError, ValueError, OSError):  # unknown, no name at all, a folder of zones
            raise SourceError(
                f"source.files.time_zone '{settings.time_zone}' is no time zone: write one like Europe/Berlin"
            ) from None
        self._settings = settings

    def event_chunks(self) -> Sequence[Chunk]:
        """Split the event files; each file's columns are checked here, before any row is read."""
        required = {t.USER_ID, t.OCCURRED_AT} | (set() if self._settings.default_event_type else {t.EVENT_TYPE})
        chunks: list[Chunk] = []
        for file in find_files(self._settings.events, "source.files.events"):
            columns = match_columns(t.EVENTS, columns_of(file), self._settings, required, file)
            parts = split(file, self._settings.chunk_rows)
            chunks.extend(FileChunk(part, columns, self._settings) for part in parts)
        return chunks

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
        """Read a table that fits in memory; rows that agree in everything are one.

        Raises:
            SourceError: a value does not fit, an id is missing, or two rows of one id differ: names file and row.
        """
        if not pattern:
            return table.empty()
        frames = []
        for file in find_files(pattern, key):
            columns = match_columns(table, columns_of(file), self._settings, table.required, file)
            for part in split(file, self._settings.chunk_rows):
                for block in read_part(part, list(columns.values()), self._settings.chunk_rows):
                    typed = _typed(block, columns, self._settings.time_zone)
                    frames.append(typed.with_columns(pl.lit(str(file)).alias(t.SOURCE_FILE)))
        rows = pl.concat(frames, how="diagonal")
        _refuse_bad_rows(rows, table)
        return table.conform(_unique(rows, table))


@dataclass(frozen=True)
class FileChunk:
    """Part of an event file.

    Attributes:
        part: which rows.
        columns: ours to theirs.
        settings: time zone, event types, rows read at once.
    """

    part: Part
    columns: dict[str, str]
    settings: FilesSource

    @property
    def origin(self) -> str:
        """The file's path."""
        return str(self.part.path)

    def read(self) -> Iterator[pl.DataFrame]:
        """Yield staged events, at most `chunk_rows` at once.

        Raises:
            SourceError: the file is cut off or is not what it should be.
        """
        for block in read_part(self.part, list(self.columns.values()), self.settings.chunk_rows):
            events = _typed(block, self.columns, self.settings.time_zone)
            yield stage(_completed(events, self.settings), self.origin)


def _typed(block: Block, columns: dict[str, str], time_zone: str) -> pl.DataFrame:
    """Our columns in our dtypes with `SOURCE_ROW`, `PROBLEM` and `CONTENT`; unreadable rows come last, all null."""
    read = [read_column(block.raw[theirs], ours, time_zone) for ours, theirs in columns.items()]
    words = pl.DataFrame([problem.alias(value.name) for value, problem in read])
    is_bad = pl.any_horizontal(pl.all().is_not_null())
    typed = pl.DataFrame([block.rows.alias(t.SOURCE_ROW), *(value for value, _ in read)])
    if not words.select(is_bad.any()).item():
        return pl.concat([typed, block.unread], how="diagonal")
    problem = words.select(pl.when(is_bad).then(pl.concat_str(pl.all(), separator="; ", ignore_nulls=True))).to_series()
    bad = problem.is_not_null().arg_true()
    writable = block.raw[bad].with_columns(pl.col(pl.Binary).bin.encode("base64"))  # JSON has no bytes
    rows_as_json = writable.select(pl.struct(pl.all()).struct.json_encode()).to_series()
    content = pl.Series([None], dtype=pl.String).new_from_index(0, len(problem)).scatter(bad, rows_as_json)
    typed = typed.with_columns(problem.alias(t.PROBLEM), content.alias(t.CONTENT))
    return pl.concat([typed, block.unread], how="diagonal")


def _completed(events: pl.DataFrame, settings: FilesSource) -> pl.DataFrame:
    """Fill in what the shop leaves unsaid; a value that did not fit stays null.

    No discount is none given. A quantity or amount that the file has no column for, or that an event does not need,
    is one piece or zero; a purchase or return whose own cell is empty stays null, for the lake to refuse.
    """
    if t.EVENT_TYPE in events.columns:
        event_type = pl.col(t.EVENT_TYPE).replace(settings.event_types)
    else:
        event_type = pl.lit(settings.default_event_type)
    events = events.with_columns(event_type.alias(t.EVENT_TYPE))
    needs_value = pl.col(t.EVENT_TYPE).is_in(_NEEDS_VALUE)
    pieces = pl.when(pl.col(t.EVENT_TYPE).is_in(_ONE_PIECE)).then(1).otherwise(0)
    unsaid = {t.QUANTITY: pieces, t.AMOUNT: pl.lit(0.0), t.DISCOUNT: pl.lit(0.0), t.RECORDED_AT: pl.col(t.OCCURRED_AT)}
    filled = []
    for name, value in unsaid.items():
        if name not in events.columns:
            filled.append(value.alias(name))
            continue
        is_unsaid = pl.col(name).is_null() & pl.col(t.PROBLEM).is_null()
        if name in (t.QUANTITY, t.AMOUNT):
            is_unsaid &= ~needs_value
        filled.append(pl.when(is_unsaid).then(value).otherwise(name).alias(name))
    return events.with_columns(filled)


def _refuse_bad_rows(rows: pl.DataFrame, table: t.Table) -> None:
    """Raise for the first row of a catalogue, user or treatment file that cannot be stored as it is."""
    missing = [
        pl.when(pl.col(name).is_null()).then(pl.lit(f"{name} is missing"))
        for name in table.columns
        if name in table.required
    ]
    bad = rows.with_columns(pl.coalesce(t.PROBLEM, *missing).alias(t.PROBLEM)).filter(pl.col(t.PROBLEM).is_not_null())
    if bad.height:
        first = bad.row(0, named=True)
        others = f" (and {bad.height - 1} more rows like it)" if bad.height > 1 else ""
        raise SourceError(
            f"{first[t.SOURCE_FILE]} row {first[t.SOURCE_ROW]}: {first[t.PROBLEM]}{others}: correct the file"
        )


def _unique(rows: pl.DataFrame, table: t.Table) -> pl.DataFrame:
    """Rows without repetitions, in the order of the files.

    Raises:
        SourceError: two rows have the same key and differ elsewhere.
    """
    columns = [name for name in table.columns if name in rows.columns]
    unique = rows.unique(columns, keep="first", maintain_order=True)
    again = unique.filter(~pl.struct(table.key).is_first_distinct())
    if again.height:
        row = again.row(0, named=True)
        key = ", ".join(f"{name} '{row[name]}'" for name in table.key)
        raise SourceError(
            f"{row[t.SOURCE_FILE]} row {row[t.SOURCE_ROW]}: {key} stands twice with different values: keep one row"
        )
    return unique.select(columns)
