"""Polars frames as the pandas batches that Great Expectations evaluates without falling back to a Python loop."""

from typing import Any

import polars as pl
import polars.selectors as cs


def to_batch(frame: pl.DataFrame) -> Any:
    """Convert to a pandas frame whose row index is the row number.

    Great Expectations' range checks are vectorised for 64-bit numbers and zoned times only, so numbers become 64-bit:
    integers with nulls become floats (exact up to 2**53), and both null and NaN become missing. A list becomes its
    elements as one text; times keep their zone.
    """
    with_gaps = [name for name in frame.select(cs.integer()).columns if frame[name].null_count()]
    lists = [name for name, dtype in frame.schema.items() if isinstance(dtype, pl.List)]
    return frame.with_columns(
        cs.integer().exclude(with_gaps).cast(pl.Int64),
        pl.col(with_gaps).cast(pl.Float64),
        cs.float().cast(pl.Float64),
        (cs.categorical() | cs.enum()).cast(pl.String),
        as_text(*lists),
    ).to_pandas()


def as_text(*lists: str) -> pl.Expr:
    """The elements of a list as one text."""
    return pl.col(lists).cast(pl.List(pl.String)).list.join("; ", ignore_nulls=True)
