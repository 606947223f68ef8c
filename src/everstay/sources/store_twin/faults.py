"""Data faults of the store twin: on request, spoiled copies stand beside the good events.

The good events stay exactly as they are without faults, so what is stored must be the clean shop.
"""

from datetime import timedelta

import numpy as np
import polars as pl

from everstay import tables as t
from everstay.settings import StoreTwinSource
from everstay.sources.store_twin.random import IntArray, Stream, generator

MISSING_USER = "missing_user"
UNPARSABLE_TIME = "unparsable_time"
NEGATIVE_QUANTITY = "negative_quantity"
UNKNOWN_EVENT_TYPE = "unknown_event_type"
RECORDED_BEFORE_OCCURRED = "recorded_before_occurred"
DUPLICATE_ID = "duplicate_id"
"""The same event delivered twice: the copy is equal in every column, also in its id."""

FAULTS = (
    MISSING_USER, UNPARSABLE_TIME, NEGATIVE_QUANTITY, UNKNOWN_EVENT_TYPE, RECORDED_BEFORE_OCCURRED, DUPLICATE_ID,
)  # fmt: skip
FAULT = "fault"
"""Column with the kind of fault, null for a good row."""

NO_FAULT = -1
_BAD_TIME = "2023-13-45 07:00:00"
_BAD_TYPE = "teleport"


def draw_faults(settings: StoreTwinSource, block: int, count: int) -> IntArray:
    """(count,) index into `FAULTS` of the spoiled copy to add beside each event, or `NO_FAULT`.

    The number of spoiled rows is `fault_share` of the good ones, in expectation.
    """
    rng = generator(settings, Stream.FAULTS, block)
    kind = rng.integers(len(FAULTS), size=count)
    return np.where(rng.random(count) < settings.fault_share, kind, NO_FAULT)


def add_faults(events: pl.DataFrame, faults: IntArray) -> pl.DataFrame:
    """Put a spoiled copy after each event that `faults` names.

    Returns:
        The columns of `events`, then `PROBLEM` and `CONTENT` as staged events have them, then `FAULT`.
    """
    spoiled = np.flatnonzero(faults != NO_FAULT)
    origin = np.hstack([np.arange(events.height), spoiled])
    order = np.argsort(origin, kind="stable")
    kinds = pl.Series(FAULTS).gather(faults[spoiled])
    fault = pl.concat([pl.Series([None], dtype=pl.String).new_from_index(0, events.height), kinds])
    rows = events[origin[order]].with_columns(fault.gather(order).alias(FAULT))
    return _explain(_spoil(rows)).select(*events.columns, t.PROBLEM, t.CONTENT, FAULT)


def _spoil(rows: pl.DataFrame) -> pl.DataFrame:
    """Change the value that each row's fault is about; every spoiled row but a duplicate has an id of its own."""
    fault = pl.col(FAULT)

    def when(kind: str, column: str, value: pl.Expr) -> pl.Expr:
        return pl.when(fault == kind).then(value).otherwise(column).alias(column)

    return rows.with_columns(
        when(MISSING_USER, t.USER_ID, pl.lit(None)),
        when(UNPARSABLE_TIME, t.OCCURRED_AT, pl.lit(None)),
        when(NEGATIVE_QUANTITY, t.QUANTITY, pl.lit(-1)),
        when(UNKNOWN_EVENT_TYPE, t.EVENT_TYPE, pl.lit(_BAD_TYPE)),
        when(RECORDED_BEFORE_OCCURRED, t.RECORDED_AT, pl.col(t.OCCURRED_AT) - timedelta(hours=1)),
        pl.when(fault != DUPLICATE_ID).then(pl.col(t.EVENT_ID) + "-x").otherwise(t.EVENT_ID).alias(t.EVENT_ID),
    )


def _explain(rows: pl.DataFrame) -> pl.DataFrame:
    """Say what could not be parsed, and show the row as it came: what a source does that reads text."""
    is_unparsable = pl.col(FAULT) == UNPARSABLE_TIME
    raw = [pl.lit(_BAD_TIME).alias(name) if name == t.OCCURRED_AT else pl.col(name) for name in t.EVENTS.columns]
    content = rows.filter(is_unparsable).select(
        t.EVENT_ID,
        pl.lit(f"{t.OCCURRED_AT}: '{_BAD_TIME}' is not a time").alias(t.PROBLEM),
        pl.struct(raw).struct.json_encode().alias(t.CONTENT),
    )
    return rows.join(content, on=t.EVENT_ID, how="left", maintain_order="left")
