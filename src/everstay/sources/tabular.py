"""A shop's files of every kind: their columns, their parts and their rows, and plain words when one is broken."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from everstay.errors import SourceError
from everstay.settings import FilesSource
from everstay.sources import csv_text, json_lines, parquet, storage
from everstay.sources.blocks import Block, Header, Part
from everstay.sources.storage import EXPORT_AGAIN, FoundFile, explained, format_of

_PARQUET = ".parquet"
_CSV = (".csv", ".tsv")
_JSON_LINES = (".jsonl", ".ndjson", ".json")


def find_files(pattern: str, key: str) -> list[FoundFile]:
    """Find the files that a path or glob names, sorted by name.

    Args:
        pattern: for example `exports/events-*.csv.gz` or `s3://bucket/events/*.parquet`.
        key: where the pattern was set, for the message.

    Raises:
        SourceError: nothing matches, or a match is of a kind that cannot be read.
    """
    files = storage.find_files(pattern, key)
    for file in files:
        kind = format_of(file.name)
        if kind not in (_PARQUET, *_CSV, *_JSON_LINES) or (
            kind == _PARQUET and not file.name.lower().endswith(_PARQUET)
        ):
            raise SourceError(
                f"{file.name} is not .parquet, .csv, .tsv or .jsonl (the last three also .gz or .zst): narrow {key} in "
                "the settings or convert the file"
            )
    return files


def read_header(name: str, settings: FilesSource) -> Header:
    """Read the names of the columns, and make sure that there are rows.

    Raises:
        SourceError: the file is empty, has no rows, two columns of one name, or is visibly cut off already.
    """
    with explained(name):
        header = Header([], has_rows=False) if storage.is_empty(name) else _header(name, settings)
    if not header.names and not header.has_rows:
        raise SourceError(f"{name} is empty: {EXPORT_AGAIN}, or take it out of the delivery")
    if twice := sorted({column for column in header.names if header.names.count(column) > 1}):
        raise SourceError(f"{name}: more than one column is called '{twice[0]}': rename one in the export")
    if not header.has_rows:
        raise SourceError(f"{name} has a header but no rows: {EXPORT_AGAIN}, or take it out of the delivery")
    return header


def _header(name: str, settings: FilesSource) -> Header:
    kind = format_of(name)
    if kind in _CSV:
        return csv_text.read_header(name, settings.encoding)
    return parquet.read_header(name) if kind == _PARQUET else json_lines.read_header(name)


def split(name: str, chunk_rows: int) -> list[Part]:
    """Cut a Parquet file between row groups into parts of about `chunk_rows` rows; a file of text is one part."""
    if format_of(name) != _PARQUET:
        return [Part(name)]
    with explained(name):
        return parquet.split(name, chunk_rows)


def read_part(part: Part, columns: Sequence[str], settings: FilesSource) -> Iterator[Block]:
    """Yield the rows of a part, at most `chunk_rows` of the settings at once, with only the named columns.

    Raises:
        SourceError: the file turns out to be cut off or not what it should be; the row is named where it is known.
    """
    kind, chunk_rows = format_of(part.name), settings.chunk_rows
    with explained(part.name):
        if kind in _CSV:
            for block in csv_text.read(part, columns, chunk_rows, settings.encoding):
                yield replace(block, decimal=settings.decimal)
        else:
            yield from (parquet if kind == _PARQUET else json_lines).read(part, columns, chunk_rows)
