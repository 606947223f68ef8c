"""Items, users and treatments of a shop's own tables: they fit in memory, and every row must be valid."""

from collections.abc import Iterable

import polars as pl

from everstay import tables as t
from everstay.errors import SourceError


def entity_table(frames: Iterable[pl.DataFrame], table: t.Table) -> pl.DataFrame:
    """One table of typed rows with `SOURCE_FILE` and `SOURCE_ROW`; exact duplicates become one row.

    Raises:
        SourceError: a value does not fit, an id is missing, or two rows of one id differ: names file and row.
    """
    rows = pl.concat(frames, how="diagonal")
    _refuse_bad_rows(rows, table)
    return table.conform(_unique(rows, table))


def _refuse_bad_rows(rows: pl.DataFrame, table: t.Table) -> None:
    """Raise for the first row of a catalogue, user or treatment table that cannot be stored as it is."""
    missing = [
        pl.when(pl.col(name).is_null()).then(pl.lit(f"{name} is missing"))
        for name in table.columns
        if name in table.required
    ]
    bad = rows.with_columns(pl.coalesce(t.PROBLEM, *missing).alias(t.PROBLEM)).filter(pl.col(t.PROBLEM).is_not_null())
    if bad.height:
        first = bad.row(0, named=True)
        others = f" (and {bad.height - 1} more bad rows)" if bad.height > 1 else ""
        raise SourceError(f"{first[t.SOURCE_FILE]} row {first[t.SOURCE_ROW]}: {first[t.PROBLEM]}{others}: correct it")


def _unique(rows: pl.DataFrame, table: t.Table) -> pl.DataFrame:
    """Rows without repetitions, in their order.

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
            f"{row[t.SOURCE_FILE]} row {row[t.SOURCE_ROW]}: {key} appears twice with different values: keep one row"
        )
    return unique.select(columns)
