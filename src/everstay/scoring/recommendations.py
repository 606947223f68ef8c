"""What each user wants next: one ranked list for every user, with or without a purchase, or any event at all."""

from collections.abc import Callable
from functools import partial
from typing import Protocol

import polars as pl

from everstay import tables as t
from everstay.features import latest_ratings
from everstay.features.sequences import history_columns
from everstay.lake import assign_bucket
from everstay.partitions import Parts, compute_parts
from everstay.recommender import ListRules, is_impersonal, with_attribute
from everstay.scoring.rows import history_rows, registered_users
from everstay.scoring.work import Work
from everstay.settings import Recommender, UserAttribute
from everstay.storage import Folder

_KIND = "kind"


class RecommenderModel(Protocol):
    """The interface of a recommender champion."""

    @property
    def segment_by(self) -> UserAttribute | None:
        """The declared attribute that rows should have; None: no attribute is read."""

    @property
    def reads_ratings(self) -> bool:
        """Whether rows should have ratings."""

    def recommend(self, rows: pl.DataFrame, k: int, rules: ListRules | None = None) -> pl.DataFrame:
        """`USER_ID`, `RANK` from 1, `ITEM_ID`, `SCORE` and `REASON`: at most k items for every row."""


def recommendations(
    model: RecommenderModel, rows: pl.DataFrame, rules: ListRules, stamp: list[pl.Expr]
) -> pl.DataFrame:
    """`tables.RECOMMENDATIONS` of some users, sorted by user and rank.

    Args:
        model: the champion.
        rows: one per user, as `list_rows` gives them.
        rules: the shop's, with the length of each list.
        stamp: model and data version, from `Work.stamp`.
    """
    if rows.is_empty():
        return t.RECOMMENDATIONS.empty()
    lists = model.recommend(rows, rules.settings.list_length, rules).join(
        rows.select(t.USER_ID, t.AS_OF), on=t.USER_ID, how="left"
    )
    return t.RECOMMENDATIONS.conform(lists.with_columns(stamp)).sort(t.USER_ID, t.RANK)


def recommend_bucket(bucket: int, *, work: Work, recommender: Recommender) -> pl.DataFrame:
    """`tables.RECOMMENDATIONS` of one bucket's users: those with an event, and those who have only registered."""
    model = work.load_model()
    make = partial(recommendations, model, rules=list_rules(work, recommender), stamp=work.stamp())
    rows = list_rows(bucket, work)
    registered = registered_rows(bucket, work, rows)
    return pl.concat([make(rows), _copied(registered, model.segment_by or t.AS_OF, make)]).sort(t.USER_ID, t.RANK)


def _copied(rows: pl.DataFrame, key: str, make: Callable[[pl.DataFrame], pl.DataFrame]) -> pl.DataFrame:
    """Lists of users who differ in nothing but `key`: made for one user of each kind, and copied to the others."""
    kinds = rows.unique(key, keep="first", maintain_order=True)
    own = rows.select(key, t.USER_ID).join(kinds.select(key, pl.col(t.USER_ID).alias(_KIND)), on=key, nulls_equal=True)
    lists = own.select(t.USER_ID, _KIND).join(make(kinds).rename({t.USER_ID: _KIND}), on=_KIND)
    return lists.select(*t.RECOMMENDATIONS.columns)


def registered_rows(bucket: int, work: Work, rows: pl.DataFrame) -> pl.DataFrame:
    """Rows with empty histories of one bucket's `registered_users`; `rows` are its `list_rows`."""
    users = assign_bucket(work.reader.read(t.USERS), len(work.reader.buckets)).filter(pl.col(t.USER_BUCKET) == bucket)
    segment_by = work.load_model().segment_by
    known = [t.USER_ID, segment_by] if segment_by else [t.USER_ID]
    registered = registered_users(users, rows, work.as_of).select(known)
    return pl.concat([rows.clear(), registered.with_columns(pl.lit(work.as_of, t.TIME).alias(t.AS_OF))], how="diagonal")


def list_rows(bucket: int, work: Work) -> pl.DataFrame:
    """`history_rows` of one bucket's users, with their ratings and declared attribute where the champion reads them.

    Of every user with an event before the as-of.
    """
    model = work.load_model()
    events = work.reader.read_events(bucket, work.as_of, history_columns(with_ratings=model.reads_ratings))
    rows = history_rows(events, work.as_of)
    if model.reads_ratings:
        ratings = latest_ratings(events, work.as_of)
        rows = rows.join(ratings, on=[t.USER_ID, t.AS_OF], how="left", maintain_order="left")
    return with_attribute(rows, work.reader.read(t.USERS), model.segment_by) if model.segment_by else rows


def list_rules(work: Work, recommender: Recommender) -> ListRules:
    """The shop's rules as of the scoring, from its catalogue and settings.

    Raises:
        SettingsError: a category that has a rule is not in the catalogue.
    """
    return ListRules.read(work.reader.read(t.ITEMS), work.as_of, recommender)


def compute_recommendations(work: Work, recommender: Recommender, folder: Folder, scheduler: str) -> Parts:
    """`tables.RECOMMENDATIONS` of all buckets, written to `folder`; not yet published.

    Args:
        work: what to score, with which champion.
        recommender: length of the lists, and the shop's rules for them.
        folder: gets one file per bucket.
        scheduler: address from `partitions.open_cluster`.

    Raises:
        SettingsError: a category that has a rule is not in the catalogue.
    """
    list_rules(work, recommender)  # reports mistakes before any worker starts
    bucket = partial(recommend_bucket, work=work, recommender=recommender)
    return compute_parts(bucket, work.reader.buckets, folder, scheduler)


def served_by_popularity(lists: pl.DataFrame) -> int:
    """Number of users in `tables.RECOMMENDATIONS` of whose reasons none is more than that an item is popular."""
    impersonal = lists.group_by(t.USER_ID).agg(is_impersonal(pl.col(t.REASON)).all())
    return int(impersonal[t.REASON].sum())
