"""Who is about to leave: probability, tier, reasons, value and dates of every active user."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from everstay import tables as t
from everstay.features import net_purchases
from everstay.features.sequences import TOKEN_COLUMNS
from everstay.partitions import Parts, compute_parts
from everstay.scoring.even_tiers import assign_group_tiers, group_bounds
from everstay.scoring.next_order import RHYTHM_COLUMNS, GapModel, fit_gaps, order_rhythm, with_dates
from everstay.scoring.previous import with_change
from everstay.scoring.rows import CODED_COLUMNS, active_users, churn_rows
from everstay.scoring.tiers import TierBounds
from everstay.scoring.work import Work
from everstay.settings import Churn, Settings, Value
from everstay.storage import Folder
from everstay.value import EVENT_COLUMNS, SUMMARY_COLUMNS, ValueModel, fit_value, purchase_summary, with_value

_READ = tuple(dict.fromkeys((*TOKEN_COLUMNS, *EVENT_COLUMNS)))
_SCORED = [t.USER_ID, t.AS_OF, t.CHURN_PROBABILITY, t.REASONS, t.MODEL_VERSION, t.DATA_VERSION]
"""Columns that a bucket computes on its own; tiers and values need all users."""


_SMALL = [t.USER_ID, t.CHURN_PROBABILITY, *SUMMARY_COLUMNS, *RHYTHM_COLUMNS]


@dataclass(frozen=True)
class Everybody:
    """What is learned from all users at once and passed to every bucket.

    Attributes:
        as_of: the moment.
        churn: its gap and horizon are the champion's definition of leaving.
        groups: attribute of `users` in whose groups tiers have the same shares; None: one order for all users.
        bounds: of the tiers, per group.
        value: None: no value is known.
        gaps: None: no dates are known.
        previous: probabilities of the as-of before; None: there is none.
    """

    as_of: datetime
    churn: Churn
    groups: str | None
    bounds: Mapping[str, TierBounds]
    value: ValueModel | None
    gaps: GapModel | None
    previous: Folder | None


class ChurnModel(Protocol):
    """The interface of a churn champion."""

    def predict_probability(self, rows: pl.DataFrame) -> NDArray[np.float64]:
        """Churn probability of each row, (n,)."""

    def explain(self, rows: pl.DataFrame) -> list[list[str]]:
        """Up to three short reasons per row."""


def churn_scores(model: ChurnModel, rows: pl.DataFrame, stamp: list[pl.Expr]) -> pl.DataFrame:
    """Score rows: the columns of `tables.CHURN_SCORES` except tier and value, which need all users.

    Args:
        model: the champion.
        rows: one per user, as `churn_rows` gives them.
        stamp: model and data version, from `Work.stamp`.
    """
    probability = pl.Series(t.CHURN_PROBABILITY, model.predict_probability(rows), pl.Float64)
    reasons = pl.Series(t.REASONS, model.explain(rows), pl.List(pl.String))
    return rows.select(t.USER_ID, t.AS_OF).with_columns(probability, reasons).with_columns(stamp).select(_SCORED)


def score_churn_bucket(bucket: int, *, work: Work, look_back_days: int) -> pl.DataFrame:
    """Score the active users of one bucket; sorted by user, without tier, with the summary that values need."""
    events = work.reader.read_events(bucket, work.as_of, _READ)
    population = active_users(events, work.as_of, look_back_days)
    known = events.join(population, on=t.USER_ID, how="semi", maintain_order="left")
    coded = work.reader.read_coded(bucket, work.as_of, CODED_COLUMNS)
    rows = churn_rows(known, work.reader.read(t.ITEMS), work.as_of, coded)
    scores = t.CHURN_SCORES.empty().select(_SCORED)
    if not rows.is_empty():
        scores = churn_scores(work.load_model(), rows, work.stamp())
    for summary in (purchase_summary(known, work.as_of), order_rhythm(net_purchases(known))):
        scores = scores.join(summary, on=t.USER_ID, how="left", maintain_order="left")
    return scores


def summarise_bucket(bucket: int, *, work: Work) -> pl.DataFrame:
    """`value.purchase_summary` of all users of one bucket, including long inactive ones."""
    return purchase_summary(work.reader.read_events(bucket, work.as_of, EVENT_COLUMNS), work.as_of)


def compute_churn_scores(
    work: Work, settings: Settings, folder: Folder, scheduler: str, previous: Folder | None = None
) -> Parts:
    """`tables.CHURN_SCORES` of all buckets, written to `folder`; not yet published.

    Args:
        work: what to score, with which champion.
        settings: population, order of the list and shares of the tiers; gap and horizon that the champion learned;
            horizon of the value, costs and budget; whether tiers are evened out.
        folder: gets one file per bucket.
        scheduler: address from `partitions.open_cluster`.
        previous: from `keep_previous`.
    """
    score = partial(score_churn_bucket, work=work, look_back_days=settings.churn.look_back_days)
    untiered = compute_parts(score, work.reader.buckets, Folder(f"{folder.uri}-untiered"), scheduler)
    small = pl.concat([untiered.read(number, _SMALL) for number in untiered.numbers]).sort(t.USER_ID)
    model = _fit_value(work, settings.value, Folder(f"{folder.uri}-summaries"), scheduler)
    groups = settings.fairness.mitigate
    bounds = group_bounds(with_value(small, model), _users(work, groups), groups, settings)
    everybody = Everybody(work.as_of, settings.churn, groups, bounds, model, fit_gaps(small), previous)
    finish = partial(_finished, work=work, untiered=untiered, everybody=everybody)
    finished = compute_parts(finish, untiered.numbers, folder, scheduler)
    untiered.remove()
    return finished


def _fit_value(work: Work, value: Value, folder: Folder, scheduler: str) -> ValueModel | None:
    """Learn from all users of all buckets: those who left say as much about the rates as those who stayed."""
    summaries = compute_parts(partial(summarise_bucket, work=work), work.reader.buckets, folder, scheduler)
    model = fit_value(summaries.read_all().sort(t.USER_ID), value)
    summaries.remove()
    return model


def _users(work: Work, groups: str | None) -> pl.DataFrame:
    """`tables.USERS`, read only when there are groups."""
    return work.reader.read(t.USERS) if groups else t.USERS.empty()


def _finished(bucket: int, *, work: Work, untiered: Parts, everybody: Everybody) -> pl.DataFrame:
    valued = with_value(untiered.read(bucket), everybody.value)
    dated = with_dates(valued, everybody.gaps, everybody.as_of)
    tiered = assign_group_tiers(dated, _users(work, everybody.groups), everybody.groups, everybody.bounds)
    told = tiered.with_columns(
        pl.lit(everybody.churn.gap_days).alias(t.GAP_DAYS), pl.lit(everybody.churn.horizon_days).alias(t.HORIZON_DAYS)
    )
    return t.CHURN_SCORES.conform(with_change(told, everybody.previous))
