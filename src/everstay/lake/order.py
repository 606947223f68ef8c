"""The order of events inside a bucket: users by id, each user's events by time, then by event id."""

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from everstay import tables as t
from everstay.event_ids import as_text

_RADIX_BITS = 16


def sort_events(events: pa.Table) -> pa.Table:
    """Sort a table with `USER_ID`, `OCCURRED_AT` and `EVENT_ID`; its user ids become a sorted dictionary.

    Ids may be a dictionary already, in any order.
    """
    events = events.unify_dictionaries().combine_chunks()
    user = one_chunk(events[t.USER_ID])
    coded = user if pa.types.is_dictionary(user.type) else user.dictionary_encode()
    order = pl.Series(pl.from_arrow(coded.dictionary), dtype=pl.String).arg_sort().to_numpy()
    rank = np.empty(len(order), np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    codes = rank[coded.indices.to_numpy()]
    ranked = pa.DictionaryArray.from_arrays(pa.array(codes), coded.dictionary.take(pa.array(order)))
    moments = one_chunk(events[t.OCCURRED_AT]).cast(pa.timestamp("us", "UTC")).view(pa.int64()).to_numpy()
    ranked_events = events.set_column(events.column_names.index(t.USER_ID), t.USER_ID, ranked)
    return ranked_events.take(pa.array(event_order(codes, moments, one_chunk(events[t.EVENT_ID]))))


def is_in_order(events: pa.Table) -> bool:
    """Whether users, a dictionary, ascend and each user's times never decrease, as in files that the lake wrote."""
    users = one_chunk(events[t.USER_ID])
    code, moment = users.indices.to_numpy(), one_chunk(events[t.OCCURRED_AT]).view(pa.int64()).to_numpy()
    is_next = (code[1:] > code[:-1]) | ((code[1:] == code[:-1]) & (moment[1:] >= moment[:-1]))
    return bool(is_next.all()) and pl.Series(pl.from_arrow(users.dictionary), dtype=pl.String).is_sorted()


def event_order(user: NDArray[np.integer], moment: NDArray[np.int64], ids: pa.Array) -> NDArray[np.int64]:
    """Row numbers in the order of user, time and id; ids are compared only where user and time are equal.

    Args:
        user: (n,) rank of the user's id.
        moment: (n,) microseconds.
        ids: (n,) event ids, text or digests.
    """
    if not len(user):
        return np.empty(0, np.int64)
    is_log = _descents(moment) < _descents(user)
    order = _by_radix(user, moment) if is_log else _by_merging(user, moment)
    is_same = (np.diff(user[order]) == 0) & (np.diff(moment[order]) == 0)
    place = np.flatnonzero(np.append(is_same, False) | np.insert(is_same, 0, False))
    if len(place):
        row = order[place]
        texts = pl.from_arrow(as_text(ids.take(pa.array(row))))
        rows = pl.DataFrame({"row": row, "user": user[row], "moment": moment[row], "id": texts})
        order[place] = rows.sort("user", "moment", "id")["row"].to_numpy()
    return order


def _descents(values: NDArray[np.integer]) -> int:
    """How often a value is less than the one before."""
    return int(np.count_nonzero(values[1:] < values[:-1]))


def _by_radix(user: NDArray[np.integer], moment: NDArray[np.int64]) -> NDArray[np.int64]:
    """For a log, nearly in order of time: merge sort by time, then stable radix sort by user, 16 bits at a time."""
    order = np.argsort(moment, kind="stable")
    for shift in range(0, int(user.max()).bit_length(), _RADIX_BITS):
        order = order[np.argsort((user[order] >> shift).astype(np.uint16), kind="stable")]
    return order


def _by_merging(user: NDArray[np.integer], moment: NDArray[np.int64]) -> NDArray[np.int64]:
    """For concatenated lake files: user and time are packed into one integer; merge sort exploits the sorted runs."""
    since = (moment - moment.min()).astype(np.uint64)
    width = int(since.max()).bit_length()
    if width + int(user.max()).bit_length() > 64:
        return _by_radix(user, moment)
    return np.argsort((user.astype(np.uint64) << np.uint64(width)) | since, kind="stable")


def one_chunk(column: pa.ChunkedArray) -> pa.Array:
    """A column as one chunk; most already are."""
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
