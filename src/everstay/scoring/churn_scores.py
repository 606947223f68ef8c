"""Who is about to leave: probability, tier and reasons of every active user."""

from functools import partial
from typing import Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from everstay import tables as t
from everstay.partitions import Parts, compute_parts
from everstay.scoring.rows import active_users, churn_rows
from everstay.scoring.tiers import TierBounds, assign_tiers, tier_bounds
from everstay.scoring.work import Work
from everstay.settings import Churn
from everstay.storage import Folder

_UNTIERED = [name for name in t.CHURN_SCORES.columns if name != t.RISK_TIER]


class ChurnModel(Protocol):
    """What is asked of a churn champion."""

    def predict_probability(self, rows: pl.DataFrame) -> NDArray[np.float64]:
        """Churn probability of each row, (n,)."""

    def explain(self, rows: pl.DataFrame) -> list[list[str]]:
        """Up to three short reasons per row."""


def churn_scores(model: ChurnModel, rows: pl.DataFrame, stamp: list[pl.Expr]) -> pl.DataFrame:
    """Score rows: the columns of `tables.CHURN_SCORES` but the tier, which needs all users.

    Args:
        model: the champion.
        rows: one per user, as `churn_rows` gives them.
        stamp: model and data version, from `Work.stamp`.
    """
    probability = pl.Series(t.CHURN_PROBABILITY, model.predict_probability(rows), pl.Float64)
    reasons = pl.Series(t.REASONS, model.explain(rows), pl.List(pl.String))
    return rows.select(t.USER_ID, t.AS_OF).with_columns(probability, reasons).with_columns(stamp).select(_UNTIERED)


def score_churn_bucket(bucket: int, *, work: Work, look_back_days: int) -> pl.DataFrame:
    """Score the active users of one bucket; sorted by user, without tier."""
    events = work.reader.read_events(bucket, work.as_of)
    population = active_users(events, work.as_of, look_back_days)
    known = events.join(population, on=t.USER_ID, how="semi")
    rows = churn_rows(known, work.reader.read(t.ITEMS), work.as_of)
    if rows.is_empty():
        return t.CHURN_SCORES.empty().select(_UNTIERED)
    return churn_scores(work.load_model(), rows, work.stamp())


def compute_churn_scores(work: Work, churn: Churn, folder: Folder, scheduler: str) -> Parts:
    """`tables.CHURN_SCORES` of all buckets, written to `folder`; not yet published.

    Args:
        work: what is scored with what.
        churn: look-back of the population and shares of the tiers.
        folder: gets one file per bucket.
        scheduler: address from `partitions.open_cluster`.
    """
    score = partial(score_churn_bucket, work=work, look_back_days=churn.look_back_days)
    untiered = compute_parts(score, work.reader.buckets, Folder(f"{folder.uri}-untiered"), scheduler)
    risks = [untiered.read(number).select(t.USER_ID, t.CHURN_PROBABILITY) for number in untiered.numbers]
    bounds = tier_bounds(pl.concat(risks), churn)
    tiered = compute_parts(partial(_tiered, untiered=untiered, bounds=bounds), untiered.numbers, folder, scheduler)
    untiered.remove()
    return tiered


def _tiered(bucket: int, *, untiered: Parts, bounds: TierBounds) -> pl.DataFrame:
    return t.CHURN_SCORES.conform(assign_tiers(untiered.read(bucket), bounds))
