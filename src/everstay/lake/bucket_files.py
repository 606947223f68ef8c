"""Per-bucket work on a delivery: drop stored rows, refuse, sort and write the lake's files, all still invisible.

A file holds one bucket's new events, sorted by user id, then by time. Readers rely on it: an aggregate per user is one
pass over adjacent rows.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from everstay import tables as t
from everstay.event_ids import DIGEST
from everstay.lake.order import one_chunk, sort_events
from everstay.lake.refusal import to_quarantine
from everstay.lake.staging import Extent, read_bucket, with_text_ids
from everstay.lake.store import Lake
from everstay.lake.table_version import TableVersion
from everstay.storage import Folder

REFUSED_BEFORE = "refused-before.arrow"
"""In a staging's folder: `SOURCE_FILE` and `SOURCE_ROW` of rows that were refused when its files were read before."""

WHAT_IT_IS = (t.USER_ID, t.ITEM_ID, t.EVENT_TYPE, t.OCCURRED_AT, t.QUANTITY, t.AMOUNT)
"""What tells an event from another of its id; other columns may be filled in later."""

_ROW_GROUP = 1 << 20
_DICTIONARY_BYTES = 16 << 20  # holds a bucket's whole catalogue, so readers get codes instead of text
_DICTIONARIES = [t.USER_ID, t.ITEM_ID, t.EVENT_TYPE, t.ORDER_ID, t.SESSION_ID, t.PLATFORM, t.CAMPAIGN_ID,
                 t.QUANTITY, t.AMOUNT, t.DISCOUNT, t.RATING]  # fmt: skip
_TIMES = (t.OCCURRED_AT, t.RECORDED_AT)
_ENCODINGS = dict.fromkeys(_TIMES, "DELTA_BINARY_PACKED")
_REPEATING = (t.ORDER_ID, t.SESSION_ID, t.TEXT, t.PLATFORM, t.CAMPAIGN_ID)  # the others hardly compress
_COMPRESSION = {name: "zstd" if name in _REPEATING else "none" for name in t.EVENTS.columns}
_SCHEMA = pa.schema(
    field.with_nullable(field.name not in t.EVENTS.required)  # required columns need no null mask
    for field in t.EVENTS.empty().to_arrow(compat_level=pl.CompatLevel.oldest()).schema
)


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
    """What became of a bucket.

    Attributes:
        file: of its new events.
        rows_duplicate: known already.
        refused: names of files of refused rows.
        rows_again: new rows from files stored before that were not refused then.
    """

    file: StagedFile | None
    rows_duplicate: int
    refused: tuple[str, ...]
    rows_again: int


def resolve_bucket(
    numbered: tuple[int, Extent],
    *,
    lake: Lake,
    folder: Folder,
    token: str,
    stored: TableVersion | None,
    read_before: Sequence[str],
) -> BucketOutcome:
    """Drop rows stored already, refuse ids used for two different events, sort, write into the table's folder."""
    bucket, place = numbered
    delivered = read_bucket(place, folder)
    fresh, conflicts = delivered, pl.DataFrame()
    if stored is not None:
        fresh, conflicts = _drop_stored(delivered, lake, bucket, stored)
    events = _in_order(fresh)
    if _may_repeat(events):
        distinct, more = _distinct(fresh)
        events, conflicts = _in_order(distinct), pl.concat([conflicts, more], how="diagonal")
    refused: tuple[str, ...] = ()
    if len(conflicts):
        refused = (f"refused/conflicts-{bucket}.arrow",)
        folder.write_frame(refused[0], to_quarantine(conflicts))
    rows_duplicate = len(delivered) - len(events) - len(conflicts)
    file = write_bucket(lake, f"{token}.parquet", bucket, events) if len(events) else None
    rows_again = _count_again(fresh, read_before, folder) if read_before else 0
    return BucketOutcome(file, rows_duplicate, refused, rows_again)


def _count_again(fresh: pa.Table, read_before: Sequence[str], folder: Folder) -> int:
    """How many rows come from these files and are not among those that were refused before."""
    rows = pl.DataFrame(pl.from_arrow(fresh.select([t.SOURCE_FILE, t.SOURCE_ROW])))
    rows = rows.with_columns(pl.col(t.SOURCE_FILE).cast(pl.String)).filter(pl.col(t.SOURCE_FILE).is_in(read_before))
    return len(rows.join(folder.read_frame(REFUSED_BEFORE), on=rows.columns, how="anti"))


def _drop_stored(delivered: pa.Table, lake: Lake, bucket: int, stored: TableVersion) -> tuple[pa.Table, pl.DataFrame]:
    """Rows whose id is not in the lake, and rows whose id belongs to a different event there.

    An id made from content implies the event's time: if all are, only files that overlap the delivery's times are read.
    """
    known = pl.DataFrame(pl.from_arrow(with_text_ids(delivered.select([t.EVENT_ID, t.OCCURRED_AT]))))
    are_made = bool(known[t.EVENT_ID].str.starts_with(t.MADE_ID).all())
    span = known.select(first=pl.col(t.OCCURRED_AT).min(), last=pl.col(t.OCCURRED_AT).max()).row(0)
    times: tuple[datetime, datetime] | None = span if are_made else None
    files = stored.files_of_bucket(bucket, times)
    if not files:
        return delivered, pl.DataFrame()
    lake_folder = Folder(lake.uri)
    others = pl.concat(lake_folder.read_parquet(file, (t.EVENT_ID, t.OCCURRED_AT)) for file in files)
    if times is not None:
        others = others.filter(pl.col(t.OCCURRED_AT).is_between(*times))
    fresh = known.with_row_index("row").join(others, on=t.EVENT_ID, how="anti", maintain_order="left")
    if len(fresh) == len(known):
        return delivered, pl.DataFrame()
    conflicts = pl.DataFrame() if are_made else _unlike_stored(delivered, lake_folder, files)
    return delivered.take(fresh["row"].to_arrow()), conflicts


def _unlike_stored(delivered: pa.Table, folder: Folder, files: Sequence[str]) -> pl.DataFrame:
    """Rows that reuse the id of a different stored event, with the problem in words."""
    rows = _plain(pl.DataFrame(pl.from_arrow(with_text_ids(delivered))))
    ids = rows.select(t.EVENT_ID)
    stored = pl.concat(
        _plain(folder.read_parquet(file, (t.EVENT_ID, *WHAT_IT_IS))).join(ids, on=t.EVENT_ID, how="semi")
        for file in files
    )
    both = rows.join(stored.unique(t.EVENT_ID), on=t.EVENT_ID, suffix="_stored", maintain_order="left")
    is_other = pl.any_horizontal(pl.col(name).ne_missing(pl.col(f"{name}_stored")) for name in WHAT_IT_IS)
    words = "event_id: {} is already stored with different content, which was kept (an event does not change: a "
    words += "correction is a separate event)"
    told = both.filter(is_other).with_columns(pl.format(words, t.EVENT_ID).alias(t.PROBLEM))
    return told.select(*rows.columns, t.PROBLEM)


def _plain(rows: pl.DataFrame) -> pl.DataFrame:
    """Decode categories to text, and add compared columns that are absent, as null."""
    absent = [pl.lit(None, t.EVENTS.columns[name]).alias(name) for name in WHAT_IT_IS if name not in rows.columns]
    return rows.with_columns(pl.col(pl.Categorical, pl.Enum).cast(pl.String), *absent)


def _in_order(rows: pa.Table) -> pa.Table:
    return sort_events(rows.select([name for name in t.EVENTS.columns if name in rows.column_names]))


def _may_repeat(events: pa.Table) -> bool:
    """Whether sorted events may repeat an id; ids made from content only can where user and time are equal."""
    if events.schema.field(t.EVENT_ID).type != DIGEST:
        ids = pl.Series(pl.from_arrow(one_chunk(events[t.EVENT_ID])), dtype=pl.String)
        if not ids.str.starts_with(t.MADE_ID).all():
            return ids.hash().n_unique() < len(ids)
    user = one_chunk(events[t.USER_ID]).indices.to_numpy()
    moment = one_chunk(events[t.OCCURRED_AT]).view(pa.int64()).to_numpy()
    return bool(((user[1:] == user[:-1]) & (moment[1:] == moment[:-1])).any())


def _distinct(fresh: pa.Table) -> tuple[pa.Table, pl.DataFrame]:
    """One row of each id, and rows that reuse its id for a different event; repetitions are in neither.

    The one recorded first stays, by its values where several were: the order in which files are read decides nothing.
    """
    fresh = with_text_ids(fresh)
    rows = pl.DataFrame(pl.from_arrow(fresh)).with_row_index("row")
    repeated = _plain(rows.filter(pl.col(t.EVENT_ID).is_duplicated()))
    columns = [name for name in t.EVENTS.columns if name in repeated.columns]
    ranked = repeated.sort(t.EVENT_ID, t.RECORDED_AT, *columns, t.SOURCE_FILE, t.SOURCE_ROW, nulls_last=True)
    is_first = ranked[t.EVENT_ID].is_first_distinct()
    distinct = ranked.unique([t.EVENT_ID, *WHAT_IT_IS], keep="first", maintain_order=True)
    words = "event_id: {} appears twice in this delivery with different content; the one that was recorded first was "
    words += "kept (an id shared by the rows of an order is an order_id)"
    told = distinct.filter(~distinct[t.EVENT_ID].is_first_distinct())
    told = told.select(*fresh.column_names, pl.format(words, t.EVENT_ID).alias(t.PROBLEM))
    is_kept = np.ones(len(fresh), bool)
    is_kept[ranked["row"].filter(~is_first)] = False
    return fresh.filter(pa.array(is_kept)), told


def bucket_path(bucket: int, name: str) -> str:
    """Where a bucket's file lies in the events table."""
    return f"{t.USER_BUCKET}={bucket}/{name}"


def write_bucket(lake: Lake, name: str, bucket: int, events: pa.Table) -> StagedFile:
    """Write sorted events as one file of the events table that no version references yet.

    Args:
        lake: the folder.
        name: of the file.
        bucket: whose folder it goes to.
        events: from `sort_events`; columns of `EVENTS`; an absent one is all null.
    """
    relative = bucket_path(bucket, name)
    table = Folder(lake.table_uri(t.EVENTS))
    rows = _complete(events)
    with table.writing(relative) as file:
        pq.write_table(
            rows,
            file,
            row_group_size=_ROW_GROUP,
            compression=_COMPRESSION,
            use_dictionary=_DICTIONARIES,
            dictionary_pagesize_limit=_DICTIONARY_BYTES,
            column_encoding=_ENCODINGS,
            write_statistics=list(_TIMES),  # no reader filters by ranges of anything else
            store_schema=False,  # other readers get plain text, not our dictionaries
        )
    return StagedFile(bucket, relative, len(rows), table.size(relative), _statistics(rows))


def _complete(rows: pa.Table) -> pa.Table:
    """All columns of `EVENTS` in their order and type; codes stay codes."""
    columns, fields = [], []
    rows = with_text_ids(rows)
    for field in _SCHEMA:
        column = rows[field.name] if field.name in rows.column_names else pa.nulls(len(rows), field.type)
        is_coded = pa.types.is_dictionary(column.type)
        columns.append(column if is_coded else column.cast(field.type))
        fields.append(field.with_type(columns[-1].type))
    return pa.table(columns, schema=pa.schema(fields))


def _statistics(rows: pa.Table) -> str:
    times = {name: pc.min_max(rows[name]).as_py() for name in _TIMES}
    return json.dumps(
        {
            "numRecords": len(rows),
            "minValues": {name: _milliseconds(span["min"]) for name, span in times.items()},
            "maxValues": {name: _milliseconds(span["max"]) for name, span in times.items()},
            "nullCount": dict.fromkeys(_TIMES, 0),
        }
    )


def _milliseconds(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"
