"""What workers do with a delivery's buckets: drop what is stored, refuse, sort, and write the lake's files. Invisible.

A file holds one bucket's new events, users in the order of their ids, each user's events in the order of time. Readers
count on it: whatever is summed up per user is one pass over neighbouring rows.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from everstay import tables as t
from everstay.lake.order import sort_events
from everstay.lake.refusal import to_quarantine
from everstay.lake.staging import StagedFrame, read_bucket
from everstay.lake.store import Lake
from everstay.storage import Folder

_ROW_GROUP = 1 << 20
_DICTIONARY_BYTES = 16 << 20  # a bucket's whole catalogue: readers get codes instead of text
_DICTIONARIES = [t.USER_ID, t.ITEM_ID, t.EVENT_TYPE, t.ORDER_ID, t.SESSION_ID, t.PLATFORM, t.CAMPAIGN_ID,
                 t.QUANTITY, t.AMOUNT, t.DISCOUNT, t.RATING]  # fmt: skip
_TIMES = (t.OCCURRED_AT, t.RECORDED_AT)
_ENCODINGS = dict.fromkeys(_TIMES, "DELTA_BINARY_PACKED")
_DENSE = (t.EVENT_ID, *_TIMES)  # random ids and packed differences: nothing is left to compress
_COMPRESSION = {name: "none" if name in _DENSE else "zstd" for name in t.EVENTS.columns}


@dataclass(frozen=True)
class StagedFile:
    """One bucket's new events, sorted and written, not yet visible."""

    bucket: int
    path: str  # relative to the events table
    rows: int
    size_bytes: int
    statistics: str  # Delta's JSON


@dataclass(frozen=True)
class BucketOutcome:
    """What became of a bucket: its new file, the rows known already, and the file of refused rows."""

    file: StagedFile | None
    rows_duplicate: int
    refused: tuple[str, ...]


def resolve_bucket(
    bucket: int, *, lake: Lake, frames: Sequence[StagedFrame], folder: Folder, token: str, version: int
) -> BucketOutcome:
    """Drop rows stored already, refuse ids used for two different events, sort, write into the table's folder."""
    delivered = read_bucket(bucket, frames, folder)
    fresh = _drop_stored(delivered, lake, bucket, version)
    events, conflicts = _distinct(fresh)
    refused: tuple[str, ...] = ()
    if len(conflicts):
        refused = (f"refused/conflicts-{bucket}.parquet",)
        folder.write_parquet(refused[0], to_quarantine(conflicts))
    rows_duplicate = len(delivered) - len(events) - len(conflicts)
    file = write_bucket(lake, f"{token}.parquet", bucket, events) if len(events) else None
    return BucketOutcome(file, rows_duplicate, refused)


def _drop_stored(delivered: pl.DataFrame, lake: Lake, bucket: int, version: int) -> pl.DataFrame:
    """Rows whose id is not in the lake's `version`.

    An id made from content can only be stored at the same time, so files of other times are not read for it.
    """
    if version < 0:
        return delivered
    are_made = bool(delivered[t.EVENT_ID].str.starts_with(t.MADE_ID).all())
    span = delivered.select(first=pl.col(t.OCCURRED_AT).min(), last=pl.col(t.OCCURRED_AT).max()).row(0)
    times: tuple[datetime, datetime] | None = span if are_made else None
    files = lake.event_files(bucket, version, times)
    if not files:
        return delivered
    lake_folder = Folder(lake.uri)
    stored = pl.concat(lake_folder.read_parquet(file, (t.EVENT_ID, t.OCCURRED_AT)) for file in files)
    if times is not None:
        stored = stored.filter(pl.col(t.OCCURRED_AT).is_between(*times))
    return delivered.join(stored, on=t.EVENT_ID, how="anti", maintain_order="left")


def _distinct(fresh: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The first row of each id, and those that use its id for something else; repetitions are in neither."""
    hashes = np.sort(fresh[t.EVENT_ID].hash().to_numpy())
    if not (hashes[1:] == hashes[:-1]).any():
        return fresh, fresh.clear()
    columns = [name for name in t.EVENTS.columns if name in fresh.columns]
    distinct = fresh.unique(columns, keep="first", maintain_order=True)
    is_first = distinct[t.EVENT_ID].is_first_distinct()
    words = (
        "event_id: {} stands twice in this delivery with different content; the first was kept (what the rows of an "
    )
    words += "order share is an order_id)"
    conflicts = distinct.filter(~is_first).with_columns(pl.format(words, t.EVENT_ID).alias(t.PROBLEM))
    return distinct.filter(is_first), conflicts


def write_bucket(lake: Lake, name: str, bucket: int, events: pl.DataFrame) -> StagedFile:
    """Sort events and write them as one file of the events table that no version names yet.

    Args:
        lake: the folder.
        name: of the file.
        bucket: whose folder it goes to.
        events: columns of `EVENTS`; one that is absent is null everywhere.
    """
    relative = f"{t.USER_BUCKET}={bucket}/{name}"
    table = Folder(lake.table_uri(t.EVENTS))
    rows = sort_events(events.select(name for name in t.EVENTS.columns if name in events.columns))
    coded = {t.USER_ID: rows.schema[t.USER_ID], t.EVENT_TYPE: rows.schema[t.EVENT_TYPE]}
    arrow = rows.select(
        (pl.col(name) if name in rows.columns else pl.lit(None)).cast(coded.get(name, dtype)).alias(name)
        for name, dtype in t.EVENTS.columns.items()
    ).to_arrow(compat_level=pl.CompatLevel.oldest())
    with table.writing(relative) as file:
        pq.write_table(
            arrow,
            file,
            row_group_size=_ROW_GROUP,
            compression=_COMPRESSION,
            use_dictionary=_DICTIONARIES,
            dictionary_pagesize_limit=_DICTIONARY_BYTES,
            column_encoding=_ENCODINGS,
            write_statistics=list(_TIMES),  # nobody looks for a range of anything else
            store_schema=False,  # to other readers text is text, however we hand it over
        )
    return StagedFile(bucket, relative, len(rows), table.size(relative), _statistics(rows))


def _statistics(events: pl.DataFrame) -> str:
    return json.dumps(
        {
            "numRecords": len(events),
            "minValues": {name: _milliseconds(events[name].min()) for name in _TIMES},
            "maxValues": {name: _milliseconds(events[name].max()) for name in _TIMES},
            "nullCount": dict.fromkeys(_TIMES, 0),
        }
    )


def _milliseconds(moment: object) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"  # type: ignore[attr-defined]
