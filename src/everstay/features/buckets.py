"""Derived tables, bucket by bucket: what a Dask worker computes from a snapshot, and all buckets together."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Protocol

import polars as pl
import pyarrow as pa

from everstay import tables as t
from everstay.features.activity import FEATURES, activity_slices, needed_columns, needs_population
from everstay.features.churn_labels import churn_labels
from everstay.features.feature import Feature
from everstay.features.population import POPULATION_COLUMNS, merge_population, population_slices
from everstay.features.ratings import latest_ratings
from everstay.features.sample import is_sampled, sampled_rows
from everstay.features.sequences import TOKEN_COLUMNS, day_tokens, history_columns, next_basket, purchase_history
from everstay.features.slices import label_delay
from everstay.partitions import Parts, compute_parts
from everstay.settings import Churn
from everstay.storage import Folder

_MERGED = "merged.arrow"
_MERGED_AT_ONCE = 16  # parts; few enough for memory, enough to not merge the table too often


class EventReader(Protocol):
    """Source of events and tables; `everstay.lake.Snapshot` is one."""

    @property
    def buckets(self) -> range:
        """Numbers of the user buckets."""

    def read_events(
        self, bucket: int, as_of: datetime, columns: Sequence[str] | None = None, *, with_anonymous: bool = False
    ) -> pl.DataFrame:
        """One bucket's events that occurred and were recorded before `as_of`."""

    def read_coded(
        self, bucket: int, as_of: datetime, columns: Sequence[str], *, with_anonymous: bool = False
    ) -> pa.Table:
        """The same with dictionary-encoded ids and types, users' codes ascending."""

    def read(self, table: t.Table) -> pl.DataFrame:
        """A small table."""


def bucket_features(
    bucket: int,
    *,
    reader: EventReader,
    as_ofs: Sequence[datetime],
    features: Sequence[Feature] = FEATURES,
    population: Folder | None = None,
    share: float = 1.0,
) -> pl.DataFrame:
    """`user_features` of one bucket at ascending as-ofs: of a share of the users (`is_sampled`), of all at the last.

    `population` holds the merged aggregates of all buckets, where needed.
    """
    events = reader.read_coded(bucket, max(as_ofs), needed_columns(features))
    items, table = reader.read(t.ITEMS), None if population is None else population.read_frame(_MERGED)
    if share == 1 or len(as_ofs) == 1:
        return t.USER_FEATURES.conform(activity_slices(events, items, as_ofs, features, table))
    earlier = activity_slices(sampled_rows(events, share), items, as_ofs[:-1], features, table)
    return t.USER_FEATURES.conform(pl.concat([earlier, activity_slices(events, items, as_ofs[-1:], features, table)]))


def bucket_population(bucket: int, *, reader: EventReader, as_ofs: Sequence[datetime]) -> pl.DataFrame:
    """What one bucket's users add to the population's aggregates of several as-ofs."""
    events = reader.read_coded(bucket, max(as_ofs), POPULATION_COLUMNS, with_anonymous=True)
    return population_slices(events, reader.read(t.ITEMS), as_ofs)


def bucket_labels(
    bucket: int, *, reader: EventReader, as_ofs: Sequence[datetime], churn: Churn, known_at: datetime
) -> pl.DataFrame:
    """`churn_labels` of one bucket at several as-ofs, all mature at `known_at`.

    Each uses only what was known when it matured: a return recorded later would leak what came after the test into
    training.
    """
    columns = (t.USER_ID, t.ORDER_ID, t.EVENT_TYPE, t.OCCURRED_AT, t.RECORDED_AT, t.QUANTITY, t.AMOUNT)
    events = reader.read_events(bucket, known_at, columns)
    events = events.filter(pl.col(t.EVENT_TYPE).is_in([t.PURCHASE, t.RETURN]))
    return pl.concat(
        [churn_labels(events, as_of, churn, min(as_of + label_delay(churn), known_at)) for as_of in as_ofs]
    )


def compute_features(
    reader: EventReader,
    as_ofs: Sequence[datetime],
    folder: Folder,
    scheduler: str,
    features: Sequence[Feature] = FEATURES,
    share: float = 1.0,
) -> Parts:
    """`user_features` of all buckets, written to `folder`: of a share of the users, but of all at the last as-of.

    The population's aggregates, of all users at every as-of, are kept beside it meanwhile.
    """
    function = partial(bucket_features, reader=reader, as_ofs=as_ofs, features=features, share=share)
    if not needs_population(features):
        return compute_parts(function, reader.buckets, folder, scheduler)
    population = compute_population(reader, as_ofs, Folder(f"{folder.uri}-population"), scheduler)
    table = compute_parts(partial(function, population=population), reader.buckets, folder, scheduler)
    population.clear()
    return table


def compute_population(reader: EventReader, as_ofs: Sequence[datetime], folder: Folder, scheduler: str) -> Folder:
    """Write each bucket's aggregates to `folder`, and those of all users, which are merged here."""
    parts = compute_parts(partial(bucket_population, reader=reader, as_ofs=as_ofs), reader.buckets, folder, scheduler)
    merged = merge_population([])
    for start in range(0, len(parts.numbers), _MERGED_AT_ONCE):
        numbers = parts.numbers[start : start + _MERGED_AT_ONCE]
        merged = merge_population([merged, *map(parts.read, numbers)])
    folder.write_frame(_MERGED, merged)
    return folder


def compute_labels(
    reader: EventReader, as_ofs: Sequence[datetime], churn: Churn, known_at: datetime, folder: Folder, scheduler: str
) -> Parts:
    """`churn_labels` of all buckets, written to `folder`."""
    function = partial(bucket_labels, reader=reader, as_ofs=as_ofs, churn=churn, known_at=known_at)
    return compute_parts(function, reader.buckets, folder, scheduler)


def bucket_tokens(
    bucket: int, *, reader: EventReader, as_ofs: Sequence[datetime], max_tokens: int, share: float
) -> pl.DataFrame:
    """Day tokens of one bucket at several as-ofs, of a share of its users."""
    events = reader.read_events(bucket, max(as_ofs), TOKEN_COLUMNS).filter(is_sampled(share))
    return pl.concat([day_tokens(events, as_of, max_tokens) for as_of in as_ofs])


def compute_tokens(
    reader: EventReader, as_ofs: Sequence[datetime], max_tokens: int, folder: Folder, scheduler: str, share: float
) -> Parts:
    """Day tokens of all buckets, of a share of the users (`is_sampled`), written to `folder`."""
    function = partial(bucket_tokens, reader=reader, as_ofs=as_ofs, max_tokens=max_tokens, share=share)
    return compute_parts(function, reader.buckets, folder, scheduler)


def bucket_baskets(
    bucket: int,
    *,
    reader: EventReader,
    as_of: datetime,
    horizon_days: int,
    known_at: datetime,
    with_ratings: bool = False,
) -> pl.DataFrame:
    """Purchase history before `as_of` of one bucket's users, joined with the next basket of those who have one.

    With `with_ratings`, their ratings are joined too.
    """
    events = reader.read_events(bucket, as_of, history_columns(with_ratings=with_ratings), with_anonymous=True)
    baskets = next_basket(reader.read_events(bucket, known_at, history_columns()), as_of, horizon_days, known_at)
    beside = [latest_ratings(events, as_of), baskets] if with_ratings else [baskets]
    rows = purchase_history(events, as_of)
    for table in beside:
        rows = rows.join(table, on=[t.USER_ID, t.AS_OF], how="full", coalesce=True)
    return rows.sort(t.USER_ID)


def compute_baskets(
    reader: EventReader,
    as_of: datetime,
    horizon_days: int,
    known_at: datetime,
    folder: Folder,
    scheduler: str,
    *,
    with_ratings: bool = False,
) -> Parts:
    """Histories and next baskets of all buckets, and ratings if requested, written to `folder`."""
    function = partial(
        bucket_baskets,
        reader=reader,
        as_of=as_of,
        horizon_days=horizon_days,
        known_at=known_at,
        with_ratings=with_ratings,
    )
    return compute_parts(function, reader.buckets, folder, scheduler)
