"""JSON lines: one object per row, read block by block; a row is identified by its line number."""

import json
import logging
from collections.abc import Iterator, Sequence

import orjson
import polars as pl
import pyarrow as pa

from everstay import tables as t
from everstay.errors import SourceError
from everstay.sources.blocks import BLOCK_BYTES, HEADER_LINES, Block, Header, Part, unread_rows
from everstay.sources.columns import nearest
from everstay.sources.storage import EXPORT_AGAIN, open_stream

log = logging.getLogger(__name__)

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_SHOWN_CHARACTERS = 80
_REFUSED_WITHOUT = {
    t.EVENT_ID: ", and such a row refused",
    t.EVENT_TYPE: ", and such a row refused",
    t.QUANTITY: ", and such a purchase or return refused",
    t.AMOUNT: ", and such a purchase or return refused",
}
_BEYOND = 2.0**63  # orjson reads longer whole numbers as floats


def read_header(name: str) -> Header:
    """The keys of the first objects; a later one may have more."""
    with open_stream(name) as stream:
        lines = next(_lines(stream, name, HEADER_LINES), [])
    rows = [row for row in map(_parsed, lines) if row is not None]
    if not rows and any(line.strip() for line in lines):
        raise SourceError(f"{name}: no line is a JSON object in UTF-8: write one object per line (JSON lines)")
    return Header(list(dict.fromkeys(key for row in rows for key in row)), bool(lines), is_open=True)


def read(part: Part, columns: Sequence[str], chunk_rows: int) -> Iterator[Block]:
    """Yield the objects, at most `chunk_rows` lines at once, with the named keys as text; an absent key is null.

    Raises:
        SourceError: the last line is cut off, a line is too long, the file is one array, or a key of `part.absent`
            occurs somewhere. A key of `part.expected` that occurs nowhere is told in the log.
    """
    first, keys = 1, set[str]()
    with open_stream(part.name) as stream:
        for lines in _lines(stream, part.name, chunk_rows):
            block, found = _block(lines, first, columns)
            keys |= found
            if late := [key for key in part.absent if key in keys]:
                raise SourceError(
                    f"{part.name}: some objects have the key '{late[0]}', but none of the first {HEADER_LINES:,} has: "
                    f'name it in [columns] of the source in the settings ({late[0]} = "{late[0]}"); it is then empty '
                    f"where it is missing{_REFUSED_WITHOUT[late[0]]}"
                )
            yield block
            first += len(lines)
    for missing in (key for key in part.expected if key not in keys):
        words = "%s: no object has the key '%s', which [columns] of the source names; they have %s%s"
        log.warning(words, part.name, missing, ", ".join(sorted(keys)), nearest(missing, sorted(keys)))


def _lines(stream: pa.NativeFile, name: str, count: int) -> Iterator[list[bytes]]:
    """Yield lists of at most `count` lines; a last line without its end must be a whole object."""
    waiting: list[bytes] = []
    rest, read = b"", 0
    while block := stream.read(BLOCK_BYTES):
        if not read and (rest + block).lstrip().startswith(b"["):
            raise SourceError(f"{name} is one JSON array: write one object per line (JSON lines)")
        *lines, rest = (rest + block).split(b"\n")
        read += len(lines)
        if len(rest) > BLOCK_BYTES:
            raise SourceError(f"{name} row {read + 1}: a line longer than {BLOCK_BYTES >> 20} MiB: correct the export")
        waiting += lines
        while len(waiting) >= count:
            yield waiting[:count]
            waiting = waiting[count:]
    if rest.strip():
        if _parsed(rest) is None:
            raise SourceError(f"{name} row {read + 1} is cut off, the file ends in the middle of it: {EXPORT_AGAIN}")
        waiting.append(rest)
    if waiting:
        yield waiting


def _block(lines: Sequence[bytes], first: int, columns: Sequence[str]) -> tuple[Block, set[str]]:
    """The objects of some lines, and all their keys."""
    rows, numbers, texts, unread = [], [], [], []
    for number, line in enumerate(lines, first):
        if (row := _parsed(line)) is not None:
            rows.append(row)
            numbers.append(number)
            texts.append(line)
        elif line.strip():
            unread.append((number, "the line is not a JSON object", line.decode(errors="replace")))
    keys = set[str]().union(*rows)
    values = {name: _with_all_digits(name, [row.get(name) for row in rows], texts) for name in columns if name in keys}
    if told := _nested(values):
        unread += [(numbers[at], problem, orjson.dumps(rows[at]).decode()) for at, problem in told.items()]
        kept = [at for at in range(len(rows)) if at not in told]
        numbers = [numbers[at] for at in kept]
        values = {name: [column[at] for at in kept] for name, column in values.items()}
    nothing = pl.Series([None], dtype=pl.String).new_from_index(0, len(numbers))
    raw = pl.DataFrame([_texts(name, values[name]) if name in values else nothing.alias(name) for name in columns])
    return Block(pl.Series(t.SOURCE_ROW, numbers, pl.Int64), raw, unread_rows(sorted(unread))), keys


def _parsed(line: bytes) -> dict[str, object] | None:
    """The object of a line, or None when it is not one."""
    try:
        row = orjson.loads(line.removeprefix(_BYTE_ORDER_MARK))
    except orjson.JSONDecodeError:
        return None
    return row if isinstance(row, dict) else None


def _with_all_digits(name: str, column: list[object], lines: Sequence[bytes]) -> list[object]:
    """Values of a key (n,) with all digits of integers beyond 64 bits, so that different ids stay different."""
    if float not in set(map(type, column)):
        return column
    return [
        json.loads(line.removeprefix(_BYTE_ORDER_MARK)).get(name)
        if type(value) is float and abs(value) >= _BEYOND
        else value
        for value, line in zip(column, lines, strict=True)
    ]


def _nested(values: dict[str, list[object]]) -> dict[int, str]:
    """Words for the rows that have a list or an object where a value should be, by their position."""
    told: dict[int, str] = {}
    for name, column in values.items():
        if {list, dict}.intersection(map(type, column)):
            for index, value in enumerate(column):
                if isinstance(value, list | dict):
                    shown = orjson.dumps(value).decode()[:_SHOWN_CHARACTERS]
                    told[index] = f"{told[index]}; " if index in told else ""
                    told[index] += f"{name}: '{shown}' is not a plain value"
    return told


def _texts(name: str, column: list[object]) -> pl.Series:
    """Plain values as text, as JSON writes them."""
    if set(map(type, column)) - {str, type(None)}:
        column = [value if value is None or type(value) is str else _text(value) for value in column]
    return pl.Series(name, column, pl.String)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
