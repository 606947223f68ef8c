"""Which rows of a table each worker reads: ranges of its key, and only rows that can be new."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from itertools import pairwise
from zoneinfo import ZoneInfo

from everstay.errors import SourceError
from everstay.sources.sql import Database


@dataclass(frozen=True)
class Plan:
    """What to read from a table.

    Attributes:
        relation: the FROM expression.
        key: the quoted name of a unique whole-number column.
        condition: SQL that holds for the rows wanted.
        origin: the table's name for messages.
    """

    relation: str
    key: str
    condition: str
    origin: str


def key_ranges(database: Database, plan: Plan, rows: int) -> Iterator[str]:
    """Conditions on the key that split the wanted rows into ranges of `rows` rows; no rows, no ranges.

    Raises:
        SourceError: the key is not unique, not a whole number, or missing in a row.
    """
    where = f"FROM {plan.relation} WHERE {plan.condition}"
    ((count, keys, last),) = database.fetch(f"SELECT COUNT(*), COUNT({plan.key}), MAX({plan.key}) {where}")
    if not count:
        return
    if keys != count:
        raise _bad_key(plan, f"is missing in {int(str(count)) - int(str(keys)):,} rows")
    numbered = f"SELECT {plan.key} AS k, ROW_NUMBER() OVER (ORDER BY {plan.key}) AS n {where}"
    starts = [
        start for (start,) in database.fetch(f"SELECT k FROM ({numbered}) AS r WHERE MOD(n - 1, {rows}) = 0 ORDER BY k")
    ]
    if wrong := [start for start in (*starts, last) if not _is_whole(start)]:
        raise _bad_key(plan, f"holds '{wrong[0]}', which is not a whole number")
    if len(set(starts)) < len(starts):
        raise _bad_key(plan, "is not unique")
    for start, end in pairwise(starts):
        yield f"{plan.key} >= {start} AND {plan.key} < {end}"
    yield f"{plan.key} >= {starts[-1]} AND {plan.key} <= {last}"


def newer_than(database: Database, relation: str, watermark: str, moment: datetime, time_zone: str) -> str:
    """SQL condition that a row was recorded at `moment` or later, or has no such time.

    Args:
        database: where the table is.
        relation: the FROM expression.
        watermark: the quoted name of the column of `recorded_at`.
        moment: UTC.
        time_zone: of the table's times without one.

    Raises:
        SourceError: the column holds no times.
    """
    found = database.fetch(f"SELECT {watermark} FROM {relation} WHERE {watermark} IS NOT NULL LIMIT 1")
    value = found[0][0] if found else None
    if value is not None and not isinstance(value, date):
        raise SourceError(
            f"column {watermark} for recorded_at holds '{value}', which is not a database time: newer rows cannot "
            "be selected; set source.database.incremental = false, or map a column of type timestamp"
        )
    local = moment.astimezone(ZoneInfo(time_zone))
    if isinstance(value, datetime) and value.tzinfo is not None:
        text = local.isoformat(" ")
    else:
        text = local.replace(tzinfo=None).isoformat(" ") if isinstance(value, datetime) else local.date().isoformat()
    return f"({watermark} >= '{text}' OR {watermark} IS NULL)"


def _is_whole(key: object) -> bool:
    """Whether a key is a whole number; drivers give those of the type NUMERIC as decimals."""
    return isinstance(key, int) or (isinstance(key, Decimal) and key.is_finite() and key == key.to_integral_value())


def _bad_key(plan: Plan, what: str) -> SourceError:
    return SourceError(
        f"{plan.origin}: column {plan.key} of source.database.key {what}: name a unique whole-number column, such as "
        "the primary key"
    )
