"""What each user wants next: one ranked list for every user with any event, cold users too."""

from functools import partial
from typing import Protocol

import polars as pl

from everstay import tables as t
from everstay.partitions import Parts, compute_parts
from everstay.scoring.rows import history_rows
from everstay.scoring.work import Work
from everstay.storage import Folder


class RecommenderModel(Protocol):
    """What is asked of a recommender champion."""

    def recommend(self, rows: pl.DataFrame, k: int) -> pl.DataFrame:
        """`USER_ID`, `RANK` from 1, `ITEM_ID`, `SCORE` and `REASON`: k items for every row."""


def recommendations(model: RecommenderModel, rows: pl.DataFrame, k: int, stamp: list[pl.Expr]) -> pl.DataFrame:
    """`tables.RECOMMENDATIONS` of some users, sorted by user and rank.

    Args:
        model: the champion.
        rows: one per user, as `history_rows` gives them.
        k: length of each list.
        stamp: model and data version, from `Work.stamp`.
    """
    lists = model.recommend(rows, k).join(rows.select(t.USER_ID, t.AS_OF), on=t.USER_ID, how="left")
    return t.RECOMMENDATIONS.conform(lists.with_columns(stamp)).sort(t.USER_ID, t.RANK)


def recommend_bucket(bucket: int, *, work: Work, k: int) -> pl.DataFrame:
    """`tables.RECOMMENDATIONS` of one bucket's users."""
    rows = history_rows(work.reader.read_events(bucket, work.as_of), work.as_of)
    if rows.is_empty():
        return t.RECOMMENDATIONS.empty()
    return recommendations(work.load_model(), rows, k, work.stamp())


def compute_recommendations(work: Work, k: int, folder: Folder, scheduler: str) -> Parts:
    """`tables.RECOMMENDATIONS` of all buckets, written to `folder`; not yet published.

    Args:
        work: what is scored with what.
        k: length of each list.
        folder: gets one file per bucket.
        scheduler: address from `partitions.open_cluster`.
    """
    return compute_parts(partial(recommend_bucket, work=work, k=k), work.reader.buckets, folder, scheduler)
