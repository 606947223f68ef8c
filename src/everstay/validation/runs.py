"""Counts and days of long columns, fast because their values come in runs or from a small range; exact in any case."""

import numpy as np
import polars as pl

_MICROSECONDS_PER_DAY = 86_400 * 1_000_000
_MOST_DAYS = 1_000_000  # flags for 2,700 years


def count_by_run(values: pl.Series) -> pl.Series:
    """How often each distinct value occurs, in any order; fast when equal values are adjacent.

    >>> count_by_run(pl.Series(["b", "b", "a", "b"])).sort().to_list()
    [1, 3]
    """
    hashes = values.hash(seed=0).to_numpy()
    starts = np.flatnonzero(np.concatenate((hashes[:1] == hashes[:1], hashes[1:] != hashes[:-1])))
    runs = pl.DataFrame({"value": values[starts], "rows": np.diff(starts, append=len(values))})
    return runs.group_by("value").agg(pl.col("rows").sum())["rows"]


def distinct_days(times: pl.Series) -> pl.Series:
    """The distinct UTC days of `times` (microseconds).

    >>> from datetime import datetime
    >>> distinct_days(pl.Series([datetime(2024, 1, 3, 23), None, datetime(2024, 1, 1), datetime(2024, 1, 3)])).to_list()
    [datetime.date(2024, 1, 1), datetime.date(2024, 1, 3)]
    """
    days = times.drop_nulls().to_physical().to_numpy() // _MICROSECONDS_PER_DAY
    if not len(days):
        return pl.Series(dtype=pl.Date)
    first = days.min()
    distinct = np.unique(days) if days.max() - first > _MOST_DAYS else first + np.flatnonzero(np.bincount(days - first))
    return pl.Series(distinct.astype(np.int32)).cast(pl.Date)
