"""Who is about to leave: probability, tier, reasons and value of every active user."""

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
from everstay.settings import Churn, Value
from everstay.storage import Folder
from everstay.value import EVENT_COLUMNS, ValueModel, fit_value, purchase_summary, with_value

_SCORED = [t.USER_ID, t.AS_OF, t.CHURN_PROBABILITY, t.REASONS, t.MODEL_VERSION, t.DATA_VERSION]
"""What a bucket says of its users by itself; tiers and values need all users."""


class ChurnModel(Protocol):
    """What is asked of a churn champion."""

    def predict_probability(self, rows: pl.DataFrame) -> NDArray[np.float64]:
        """Churn probability of each row, (n,)."""

    def explain(self, rows: pl.DataFrame) -> list[list[str]]:
        """Up to three short reasons per row."""


def churn_scores(model: ChurnModel, rows: pl.DataFrame, stamp: list[pl.Expr]) -> pl.DataFrame:
    """Score rows: the columns of `tables.CHURN_SCORES` but tier and value, which need all users.

    Args:
        model: the champion.
        rows: one per user, as `churn_rows` gives them.
        stamp: model and data version, from `Work.stamp`.
    """
    probability = pl.Series(t.CHURN_PROBABILITY, model.predict_probability(rows), pl.Float64)
    reasons = pl.Series(t.REASONS, model.explain(rows), pl.List(pl.String))
    return rows.select(t.USER_ID, t.AS_OF).with_columns(probability, reasons).with_columns(stamp).select(_SCORED)


def score_churn_bucket(bucket: int, *, work: Work, look_back_days: int) -> pl.DataFrame:
    """Score the active users of one bucket; sorted by user, without tier, with the summary that values are made of."""
    events = work.reader.read_events(bucket, work.as_of)
    population = active_users(events, work.as_of, look_back_days)
    known = events.join(population, on=t.USER_ID, how="semi")
    rows = churn_rows(known, work.reader.read(t.ITEMS), work.as_of)
    scores = t.CHURN_SCORES.empty().select(_SCORED)
    if not rows.is_empty():
        scores = churn_scores(work.load_model(), rows, work.stamp())
    return scores.join(purchase_summary(known, work.as_of), on=t.USER_ID, how="left", maintain_order="left")


def summarise_bucket(bucket: int, *, work: Work) -> pl.DataFrame:
    """`value.purchase_summary` of all users of one bucket, those too who have been away for long."""
    return purchase_summary(work.reader.read_events(bucket, work.as_of, EVENT_COLUMNS), work.as_of)


def compute_churn_scores(work: Work, churn: Churn, value: Value, folder: Folder, scheduler: str) -> Parts:
    """`tables.CHURN_SCORES` of all buckets, written to `folder`; not yet published.

    Args:
        work: what is scored with what.
        churn: look-back of the population and shares of the tiers.
        value: horizon of the customer value.
        folder: gets one file per bucket.
        scheduler: address from `partitions.open_cluster`.
    """
    score = partial(score_churn_bucket, work=work, look_back_days=churn.look_back_days)
    untiered = compute_parts(score, work.reader.buckets, Folder(f"{folder.uri}-untiered"), scheduler)
    risks = [untiered.read(number).select(t.USER_ID, t.CHURN_PROBABILITY) for number in untiered.numbers]
    bounds = tier_bounds(pl.concat(risks), churn)
    model = _fit_value(work, value, Folder(f"{folder.uri}-summaries"), scheduler)
    finish = partial(_finished, untiered=untiered, bounds=bounds, model=model)
    finished = compute_parts(finish, untiered.numbers, folder, scheduler)
    untiered.remove()
    return finished


def _fit_value(work: Work, value: Value, folder: Folder, scheduler: str) -> ValueModel | None:
    """Learn from all users of all buckets: who left says as much of the others' rates as who stayed."""
    summaries = compute_parts(partial(summarise_bucket, work=work), work.reader.buckets, folder, scheduler)
    model = fit_value(summaries.read_all().sort(t.USER_ID), value)
    summaries.remove()
    return model


def _finished(bucket: int, *, untiered: Parts, bounds: TierBounds, model: ValueModel | None) -> pl.DataFrame:
    return t.CHURN_SCORES.conform(assign_tiers(with_value(untiered.read(bucket), model), bounds))
