"""What made a table-level expectation fail: the figures and rows behind an aggregate."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import polars as pl

from everstay import tables as t
from everstay.partitions import map_parts
from everstay.validation.aggregates import KEYS_IN_SEVERAL_PARTS
from everstay.validation.evaluation import MAX_EXAMPLES, describe_rows
from everstay.validation.hashes import Hashes, hash_rows

_FIGURES: Mapping[str, tuple[str, ...]] = {
    "purchase_rows": tuple(f"{kind}_rows" for kind in t.EVENT_TYPES),
    "largest_silence_days": ("silence_begins_on", "silence_ends_on"),
    "days_in_future": ("last_recorded_at",),
}
"""Aggregate to others that explain it; those that are zero explain nothing."""

_SHOWN = (t.USER_ID, t.ITEM_ID, t.OCCURRED_AT, t.RECORDED_AT)


def find_causes(
    table: t.Table,
    column: str,
    aggregates: pl.DataFrame,
    shared: Hashes,
    read: Callable[[int], pl.DataFrame],
    parts: Sequence[int],
    scheduler: str,
) -> tuple[str, ...]:
    """Describe the other figures and a few of the rows behind an unexpected value of `column`.

    Args:
        table: what was validated.
        column: name of the aggregate.
        aggregates: the one merged row.
        shared: hashes of keys that several parts hold.
        read: gives one part's rows, in a worker.
        parts: numbers of all parts; they are read again if rows are needed.
        scheduler: address from `partitions.open_cluster`.
    """
    row = aggregates.row(0, named=True)
    figures = [f"{name} = {row[name]}" for name in _FIGURES.get(column, ()) if row[name]]
    wanted = {
        KEYS_IN_SEVERAL_PARTS: shared[:MAX_EXAMPLES].tolist(),
        "days_in_future": row.get("last_recorded_at"),
        "largest_user_share": row.get("largest_user_rows"),
    }
    if wanted.get(column) is None:
        return tuple(figures)
    pick = partial(_rows_behind, table=table, column=column, wanted=wanted[column], read=read)
    rows = pl.concat(map_parts(pick, parts, scheduler)).sort(table.key)
    shown = [t.USER_ID] if column == "largest_user_share" else rows.columns
    return (*figures, *describe_rows(rows.head(2 * MAX_EXAMPLES), shown, ()))


def _rows_behind(
    part: int, *, table: t.Table, column: str, wanted: Any, read: Callable[[int], pl.DataFrame]
) -> pl.DataFrame:
    """A few rows of one part."""
    rows = read(part)
    if column == KEYS_IN_SEVERAL_PARTS:
        found = rows.filter(hash_rows(rows, table.key).is_in(wanted)).unique(table.key, keep="first")
    elif column == "days_in_future":
        found = rows.filter(pl.col(t.RECORDED_AT) == wanted)
    else:
        found = rows.filter(pl.len().over(t.USER_ID) == wanted).unique(t.USER_ID, keep="first")
    known = [name for name in dict.fromkeys((*table.key, *_SHOWN)) if name in rows.columns]
    return found.select(pl.col(known)).with_columns(pl.col(pl.Categorical, pl.Enum).cast(pl.String)).head(MAX_EXAMPLES)
