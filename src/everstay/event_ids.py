"""Ids for events that come without one: made from the row's content, stable across processes and years."""

import base64

import numpy as np
import polars as pl
import polars_hash
import pyarrow as pa
from numpy.typing import NDArray

from everstay import tables as t

_HASH_BYTES = 16
_DIGEST_BYTES = 12  # any two of 100 billion events collide with a probability of 6e-8
_LETTERS = 16  # of 12 bytes in base64, without padding
_NULL = np.uint64(0x9E3779B97F4A7C15)  # part of the stored ids: never change it

DIGEST = pa.binary(_DIGEST_BYTES)
"""Arrow type of a made id before it becomes text."""


def content_digests(events: pl.DataFrame) -> pa.Array:
    """96 bits of XXH3 of each row's content, of type `DIGEST`.

    Rows that agree in every column of `EVENTS` are one event; a null column counts as absent.

    Args:
        events: columns of `EVENTS`; `EVENT_ID` is ignored.
    """
    names = [name for name in t.EVENTS.columns if name != t.EVENT_ID]
    words = np.full((len(names), events.height), _NULL)
    for place, name in enumerate(names):
        if name in events.columns and events[name].null_count() < events.height:
            words[place] = _words(events[name])
    rows = pl.DataFrame({t.EVENT_ID: pl.from_arrow(_as_rows(np.ascontiguousarray(words.T), pa.large_binary()))})
    digest = polars_hash.col(t.EVENT_ID).nchash.xxh3_128(return_binary=True, byte_order="big")
    whole = rows.select(digest).to_series().to_arrow(compat_level=pl.CompatLevel.oldest())
    heads = np.frombuffer(whole.buffers()[-1], np.uint8).reshape(-1, _HASH_BYTES)[:, :_DIGEST_BYTES]
    return pa.Array.from_buffers(DIGEST, len(whole), [None, pa.py_buffer(np.ascontiguousarray(heads))])


def content_ids(events: pl.DataFrame) -> pl.Series:
    """The ids of rows as they are stored: `MADE_ID` and the digest in base64.

    >>> rows = pl.DataFrame({t.USER_ID: ["a", "a", "b"], t.QUANTITY: [1, 1, 1]})
    >>> ids = content_ids(rows)
    >>> ids[0] == ids[1], ids[0] == ids[2], len(ids[0])
    (True, False, 17)
    """
    return pl.Series(t.EVENT_ID, pl.from_arrow(as_text(content_digests(events))), dtype=pl.String)


def with_ids(events: pl.DataFrame) -> pl.DataFrame:
    """Rows with `EVENT_ID`; ids are made when the column is absent."""
    return events if t.EVENT_ID in events.columns else events.with_columns(content_ids(events))


def as_text(ids: pa.Array) -> pa.Array:
    """Ids (n,) as they are stored: digests become text, a shop's own are text already; no digest is null."""
    if ids.type != DIGEST:
        return ids
    digests = np.frombuffer(ids.buffers()[1], np.uint8)[_DIGEST_BYTES * ids.offset :][: _DIGEST_BYTES * len(ids)]
    letters = np.frombuffer(base64.b64encode(digests.data), np.uint8).reshape(len(ids), _LETTERS)
    marks = np.full((len(ids), 1), ord(t.MADE_ID), np.uint8)
    return _as_rows(np.hstack([marks, letters]), pa.large_string())


def _words(column: pl.Series) -> NDArray[np.uint64]:
    """Each value as 64 bits (n,): XXH3 of text, the bits of a number or time, `_NULL` where there is none."""
    if column.dtype == pl.String:
        hashed = polars_hash.col(column.name).nchash.xxh3_64()
        bits = column.to_frame().select(hashed.fill_null(0)).to_series().to_numpy()
    else:
        numbers = column.to_physical().cast(pl.Float64 if column.dtype.is_float() else pl.Int64)
        bits = numbers.fill_null(0).to_numpy().view(np.uint64)
    return np.where(column.is_null().to_numpy(), _NULL, bits) if column.null_count() else bits


def _as_rows(values: NDArray[np.generic], kind: pa.DataType) -> pa.Array:
    """Rows of an array (n, k) as n Arrow values of equal byte length, numbers little-endian."""
    width = values.shape[1] * values.itemsize
    ends = np.arange(0, len(values) * width + 1, max(width, 1), dtype=np.int64)
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(values.astype(values.dtype.newbyteorder("<"), copy=False))]
    return pa.Array.from_buffers(kind, len(values), buffers)
