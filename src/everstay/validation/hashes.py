"""Hashes of rows, equal for equal rows: duplicates are found without comparing texts."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl
import polars.selectors as cs

Hashes = npt.NDArray[np.uint64]


def hash_rows(frame: pl.DataFrame, columns: Sequence[str]) -> pl.Series:
    """One hash of `columns` per row, the same in every process and part."""
    texts = frame.select(columns).with_columns(cs.categorical().cast(pl.String))  # codes differ between processes
    what = pl.col(columns[0]) if len(columns) == 1 else pl.struct(columns)
    return texts.select(what.hash(seed=0)).to_series()


def find_doubles(hashes: pl.Series) -> pl.Series:
    """The hashes that occur more than once."""
    ordered = hashes.sort().to_numpy()
    return pl.Series(np.unique(ordered[1:][ordered[1:] == ordered[:-1]]), dtype=pl.UInt64)


def smallest(hashes: pl.Series, count: int) -> Hashes:
    """The `count` smallest distinct hashes, or all when there are fewer, ascending.

    Hashes are uniform, so the number below a bound is about proportional to it; the bound doubles until they suffice.
    """
    bound = 2 * count * 2**64 // max(1, len(hashes))
    while bound < 2**64:
        found = _distinct(hashes.filter(hashes < bound))
        if len(found) >= count:
            return found[:count]
        bound *= 2
    return _distinct(hashes)[:count]


def _distinct(hashes: pl.Series) -> Hashes:
    ordered: Hashes = hashes.sort().to_numpy()
    is_first = np.concatenate(([True], ordered[1:] != ordered[:-1])) if len(ordered) else np.empty(0, bool)
    return ordered[is_first]
