"""What each user wants next: one ranked list for every user with any event, cold users too."""

from functools import partial
from typing import Protocol

import polars as pl

from everstay import tables as t
from everstay.features import latest_ratings
from everstay.features.sequences import history_columns
from everstay.partitions import Parts, compute_parts
from everstay.recommender import ListRules, with_attribute
from everstay.scoring.rows import history_rows
from everstay.scoring.work import Work
from everstay.settings import Recommender, UserAttribute
from everstay.storage import Folder


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
    lists = model.recommend(rows, rules.settings.list_length, rules).join(
        rows.select(t.USER_ID, t.AS_OF), on=t.USER_ID, how="left"
    )
    return t.RECOMMENDATIONS.conform(lists.with_columns(stamp)).sort(t.USER_ID, t.RANK)


def recommend_bucket(bucket: int, *, work: Work, recommender: Recommender) -> pl.DataFrame:
    """`tables.RECOMMENDATIONS` of one bucket's users."""
    rows = list_rows(bucket, work)
    if rows.is_empty():
        return t.RECOMMENDATIONS.empty()
    return recommendations(work.load_model(), rows, list_rules(work, recommender), work.stamp())


def list_rows(bucket: int, work: Work) -> pl.DataFrame:
    """`history_rows` of one bucket's users, with their ratings and declared attribute where the champion reads them."""
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
