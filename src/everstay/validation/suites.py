"""Expectation suites: JSON files in Great Expectations' own format, checked against the table they are about.

Beyond that format, every expectation says in its `description` what it expects in plain words, its `severity` is
`critical` (a failure rejects the table) or `warning` (a failure is reported), and `"meta": {"level": "table"}` marks
one that is about an aggregate of the whole table instead of about a column of its rows. `"advice"` in `meta` says what
a person can do about a failure.
"""

import difflib
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from everstay import tables as t
from everstay.errors import SettingsError
from everstay.validation.aggregates import aggregate_names

CRITICAL = "critical"
WARNING = "warning"
SEVERITIES = (CRITICAL, WARNING)


@dataclass(frozen=True)
class Expectation:
    """One entry of a suite.

    Attributes:
        words: what is expected, in plain words.
        severity: `critical` or `warning`.
        is_about_table: whether its columns are aggregates of the whole table.
        columns: the ones it looks at, without those of its row condition.
        condition_columns: the ones its row condition looks at.
        mostly: the share of rows that must be as expected.
        advice: what to do when it fails; may be empty.
        config: type, arguments, meta and severity as Great Expectations takes them.
    """

    words: str
    severity: str
    is_about_table: bool
    columns: tuple[str, ...]
    condition_columns: tuple[str, ...]
    mostly: float
    advice: str
    config: Mapping[str, Any]


@dataclass(frozen=True)
class Suite:
    """All expectations of one table.

    Attributes:
        table: what it is about.
        file: where it was read, for messages.
        expectations: in the order of the file.
    """

    table: t.Table
    file: str
    expectations: tuple[Expectation, ...]

    @property
    def of_rows(self) -> tuple[Expectation, ...]:
        """Those evaluated on every part."""
        return tuple(one for one in self.expectations if not one.is_about_table)

    @property
    def of_table(self) -> tuple[Expectation, ...]:
        """Those evaluated once, on the merged aggregates."""
        return tuple(one for one in self.expectations if one.is_about_table)


def load_suite(table: t.Table, folder: Path) -> Suite:
    """Read `<folder>/<table>.json`.

    Raises:
        SettingsError: the file is missing or no suite, an expectation lacks something, or names an unknown column.
    """
    file = folder / f"{table.name}.json"
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SettingsError(f"table {table.name} has no expectation suite: {file} does not exist") from None
    except ValueError as error:
        raise SettingsError(f"{file} is not JSON: {error}") from None
    if not isinstance(content, dict) or not isinstance(content.get("expectations"), list):
        raise SettingsError(f"{file} is not a suite: it must be an object with a list named 'expectations'")
    if content.get("name") != table.name:
        raise SettingsError(f"{file}: the suite's name is {content.get('name')!r}, but must be '{table.name}'")
    entries = enumerate(content["expectations"], start=1)
    return Suite(
        table,
        str(file),
        tuple(_read_expectation(table, entry, f"{file}, expectation {number}") for number, entry in entries),
    )


def _read_expectation(table: t.Table, entry: Any, place: str) -> Expectation:
    if not isinstance(entry, dict) or not isinstance(entry.get("kwargs"), dict) or not entry.get("type"):
        raise SettingsError(f"{place}: must be an object with 'type' and 'kwargs'")
    place = f"{place} ({entry['type']})"
    if not entry.get("description"):
        raise SettingsError(f"{place}: 'description' must say in plain words what is expected")
    if entry.get("severity") not in SEVERITIES:
        raise SettingsError(f"{place}: 'severity' is {entry.get('severity')!r}, but must be 'critical' or 'warning'")
    meta, mostly = entry.get("meta") or {}, entry["kwargs"].get("mostly", 1.0)
    _check(isinstance(meta, dict), "meta", meta, 'an object, for example {"level": "table"}', place)
    is_share = isinstance(mostly, int | float) and 0 <= mostly <= 1
    _check(is_share, "mostly", mostly, "a share from 0 to 1, for example 0.99", place)
    is_about_table = meta.get("level") == "table"
    columns = tuple(_named_columns(entry["kwargs"], place))
    condition_columns = tuple(_condition_columns(entry["kwargs"].get("row_condition"), place))
    if is_about_table or not table.is_open:  # the columns of an open table are only known with its rows
        known = aggregate_names(table) if is_about_table else tuple(table.columns)
        _refuse_unknown((*columns, *condition_columns), known, table, place)
    config = {key: entry[key] for key in ("type", "kwargs", "meta", "severity") if key in entry}
    return Expectation(
        entry["description"],
        entry["severity"],
        is_about_table,
        columns,
        condition_columns,
        float(mostly),
        meta.get("advice", ""),
        config,
    )


def _check(is_right: bool, name: str, value: object, words: str, place: str) -> None:
    if not is_right:
        raise SettingsError(f"{place}: '{name}' is {json.dumps(value)}, but must be {words}")


def _named_columns(arguments: Mapping[str, Any], place: str) -> Iterator[str]:
    for argument in ("column", "column_A", "column_B"):
        if argument in arguments:
            name = arguments[argument]
            _check(isinstance(name, str), argument, name, 'the name of a column, for example "amount"', place)
            yield name
    names = arguments.get("column_list", [])
    is_list = isinstance(names, list) and all(isinstance(name, str) for name in names)
    _check(is_list, "column_list", names, 'a list of names of columns, for example ["user_id", "as_of"]', place)
    yield from names


def _condition_columns(condition: Any, place: str) -> Iterator[str]:
    """Columns named anywhere in a row condition, which may nest others."""
    if isinstance(condition, dict):
        column = condition.get("column")
        if isinstance(column, dict):
            is_named = isinstance(column.get("name"), str)
            _check(is_named, "column", column, 'named in the row condition, for example {"name": "event_type"}', place)
            yield column["name"]
        for inner in condition.values():
            yield from _condition_columns(inner, place)
    elif isinstance(condition, list):
        for inner in condition:
            yield from _condition_columns(inner, place)


def _refuse_unknown(columns: Collection[str], known: Collection[str], table: t.Table, place: str) -> None:
    for column in columns:
        if column not in known:
            match = difflib.get_close_matches(column, known, n=1, cutoff=0.5)
            hint = f"did you mean '{match[0]}'?" if match else f"choose one of {', '.join(known)}"
            raise SettingsError(f"{place}: table {table.name} has no column or aggregate '{column}'; {hint}")
