"""Who left: the churn label of every user in the population of an as-of, once it can be known."""

from datetime import datetime, timedelta

import polars as pl

from everstay import tables as t
from everstay.errors import NotReady
from everstay.features.orders import net_purchases
from everstay.features.slices import known_before, label_delay
from everstay.settings import Churn


def churn_labels(events: pl.DataFrame, as_of: datetime, churn: Churn, known_at: datetime) -> pl.DataFrame:
    """Label the users of one bucket as they stood at `as_of`, from what is known at `known_at`.

    The population is every user with a net purchase in the look-back `[as_of - look_back, as_of)`, by what was known
    before the as-of: a return recorded later changes no population. A user churned when there is no net purchase in
    `[as_of + gap, as_of + gap + horizon)`; here returns recorded before `known_at` count. `return_days` are the whole
    days from the start of this window to the first such purchase (null for churned users), `order_days` the distinct
    UTC days with one.

    Returns:
        `tables.CHURN_LABELS`, sorted by user.

    Raises:
        NotReady: the label window and the allowed lateness have not passed at `known_at`.
    """
    matured_at = as_of + label_delay(churn)
    if matured_at > known_at:
        raise NotReady(
            f"churn labels of {as_of:%Y-%m-%d} are known at {matured_at}, but the log ends at {known_at}: "
            "set an earlier as_of, or shorten horizon_days in [churn]"
        )
    start = as_of + timedelta(days=churn.gap_days)
    look_back = as_of - timedelta(days=churn.look_back_days)
    population = _purchases(events.filter(known_before(as_of)), look_back, as_of).select(t.USER_ID).unique()
    window = _purchases(events.filter(known_before(known_at)), start, start + timedelta(days=churn.horizon_days))
    moment = pl.col(t.OCCURRED_AT)
    stayed = window.group_by(t.USER_ID).agg(
        (moment.min() - start).dt.total_days().cast(pl.Int32).alias(t.RETURN_DAYS),
        moment.dt.date().n_unique().cast(pl.Int32).alias(t.ORDER_DAYS),
    )
    labels = population.join(stayed, on=t.USER_ID, how="left")
    return t.CHURN_LABELS.conform(
        labels.sort(t.USER_ID).with_columns(
            pl.col(t.RETURN_DAYS).is_null().alias(t.CHURNED),
            pl.col(t.ORDER_DAYS).fill_null(0),
            pl.lit(as_of, t.TIME).alias(t.AS_OF),
            pl.lit(churn.horizon_days).alias(t.HORIZON_DAYS),
            pl.lit(matured_at, t.TIME).alias(t.MATURED_AT),
        )
    )


def _purchases(known: pl.DataFrame, start: datetime, end: datetime) -> pl.DataFrame:
    """Net purchases in `[start, end)`."""
    return net_purchases(known).filter(pl.col(t.OCCURRED_AT).is_between(start, end, closed="left"))
