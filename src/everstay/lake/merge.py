"""Merging sorted events into sorted events: a night's file into the bucket's history, without re-sorting the latter.

Shapes: A rows of the larger table, B of the smaller one.
"""

from collections.abc import Sequence
from functools import reduce

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from numba import njit
from numpy.typing import NDArray

from everstay import tables as t
from everstay.lake.order import one_chunk


class SameMoment(Exception):
    """Two tables hold events of one user at one time, whose order their ids decide."""


def merge_coded(tables: Sequence[pa.Table]) -> pa.Table:
    """Merge tables of the same columns, each sorted as events, with ids as dictionaries and ascending user codes.

    Raises:
        SameMoment: the order of two events depends on their ids.
    """
    return reduce(_merge_two, sorted(tables, key=len))


def _merge_two(small: pa.Table, large: pa.Table) -> pa.Table:
    if not len(small):
        return large
    large, small = _with_common_users(large, small)
    at = _places(large, small)
    columns = [_insert(one_chunk(large[name]), one_chunk(small[name]), at) for name in large.column_names]
    return pa.table(columns, names=large.column_names)


def _with_common_users(large: pa.Table, small: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Give both tables one dictionary of users, sorted by id; usually it is the larger table's."""
    coded = [one_chunk(table[t.USER_ID]) for table in (large, small)]
    users, newer = (pl.Series(pl.from_arrow(column.dictionary), dtype=pl.String) for column in coded)
    new = newer.filter(~newer.is_in(users.implode())).unique().sort()
    before = users.search_sorted(new, side="left").to_numpy()  # known users that come before each new one
    moved = np.arange(len(users)) + np.searchsorted(before, np.arange(len(users)), side="right")
    every = pl.concat([users, new]).sort() if len(new) else users
    of_newer = every.search_sorted(newer).to_numpy()
    dictionary = every.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(coded[0].type.value_type)
    return (
        _with_user_codes(large, coded[0].indices.to_numpy() if not len(new) else moved[coded[0].indices], dictionary),
        _with_user_codes(small, of_newer[coded[1].indices], dictionary),
    )


def _with_user_codes(table: pa.Table, codes: NDArray[np.integer], dictionary: pa.Array) -> pa.Table:
    users = pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32, copy=False)), dictionary)
    return table.set_column(table.column_names.index(t.USER_ID), t.USER_ID, users)


def _places(large: pa.Table, small: pa.Table) -> NDArray[np.int64]:
    """(B,) number of rows of the larger table that come before each of the smaller one."""
    user, moment = zip(*map(_keys, (large, small)), strict=True)
    low, high = (np.searchsorted(user[0], user[1], side) for side in ("left", "right"))
    at, is_same = _search(moment[0], moment[1], low, high)
    if is_same:
        raise SameMoment
    return at


def _keys(table: pa.Table) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    user, moment = one_chunk(table[t.USER_ID]), one_chunk(table[t.OCCURRED_AT])
    return user.indices.to_numpy(), moment.cast(pa.timestamp("us", "UTC")).view(pa.int64()).to_numpy()


@njit(cache=True, nogil=True)
def _search(
    moments: NDArray[np.int64], wanted: NDArray[np.int64], low: NDArray[np.int64], high: NDArray[np.int64]
) -> tuple[NDArray[np.int64], bool]:
    """Where each wanted moment (B,) belongs in its range of `moments` (A,), and whether any is there already."""
    at, is_same = np.empty(len(wanted), np.int64), False
    for row in range(len(wanted)):
        place = low[row] + np.searchsorted(moments[low[row] : high[row]], wanted[row])
        at[row] = place
        is_same |= place < high[row] and moments[place] == wanted[row]
    return at, is_same


def _insert(large: pa.Array, small: pa.Array, at: NDArray[np.int64]) -> pa.Array:
    if isinstance(large, pa.DictionaryArray):
        known, codes = _common_codes(large, small)
        return pa.DictionaryArray.from_arrays(_insert(large.indices, codes, at), known, safe=False)
    if not (pa.types.is_primitive(large.type) and large.type.bit_width >= 8):
        rows = _insert_rows(np.arange(len(large)), len(large) + np.arange(len(small)), at)
        return pa.concat_arrays([large, small]).take(pa.array(rows))
    values = _insert_rows(_numbers(large), _numbers(small), at)
    mask = _insert_rows(_is_null(large), _is_null(small), at) if large.null_count or small.null_count else None
    return pa.array(values, mask=mask).view(large.type)


def _common_codes(large: pa.DictionaryArray, small: pa.DictionaryArray) -> tuple[pa.Array, pa.Array]:
    """The dictionary of both, and the smaller one's codes in it."""
    if large.dictionary.equals(small.dictionary):
        return large.dictionary, small.indices
    place = pc.index_in(large.dictionary, value_set=small.dictionary).fill_null(-1).to_numpy()
    code = np.full(len(small.dictionary), -1, np.int32)
    code[place[place >= 0]] = np.flatnonzero(place >= 0)
    is_new = code < 0
    code[is_new] = len(large.dictionary) + np.arange(is_new.sum(), dtype=np.int32)
    new = small.dictionary.filter(pa.array(is_new))
    return pa.concat_arrays([large.dictionary, new]), pa.array(code).take(small.indices)


def _numbers(column: pa.Array) -> NDArray[np.generic]:
    """The values as integers of the same width; arbitrary where null."""
    kind = {1: pa.int8(), 2: pa.int16(), 4: pa.int32(), 8: pa.int64()}[column.type.bit_width // 8]
    whole = column.view(kind)
    return (whole.fill_null(0) if whole.null_count else whole).to_numpy()


def _is_null(column: pa.Array) -> NDArray[np.bool_]:
    return np.asarray(column.is_null().to_numpy(zero_copy_only=False))


@njit(cache=True, nogil=True)
def _insert_rows(large: NDArray, small: NDArray, at: NDArray[np.int64]) -> NDArray:
    """Insert each of `small` (B,) before row `at` (B,), ascending, of `large` (A,); returns (A + B,) values."""
    result = np.empty(len(large) + len(small), large.dtype)
    done = 0
    for row in range(len(small)):
        result[done + row : at[row] + row] = large[done : at[row]]
        result[at[row] + row] = small[row]
        done = at[row]
    result[done + len(small) :] = large[done:]
    return result
