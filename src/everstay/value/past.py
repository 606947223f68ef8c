"""Rows that a value model learns from: what was known of users at earlier as-ofs, and what they paid afterwards."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import polars as pl

from everstay import tables as t
from everstay.churn.encoding import FEATURE_COLUMNS
from everstay.errors import NotReady
from everstay.features import FEATURES, activity_slices, net_purchases
from everstay.features.slices import known_before

SPEND_AHEAD = "spend_ahead"

_CENTS = 100
_FEATURES = [feature for feature in FEATURES if feature.name in FEATURE_COLUMNS]


def earlier_as_ofs(as_of: datetime, horizon_days: int, slices: int, step_days: int) -> list[datetime]:
    """As-ofs whose horizon has passed at `as_of`, oldest first.

    >>> from datetime import UTC
    >>> [f"{moment:%m-%d}" for moment in earlier_as_ofs(datetime(2024, 6, 1, tzinfo=UTC), 28, 2, 7)]
    ['04-27', '05-04']
    """
    latest = as_of - timedelta(days=horizon_days)
    return [latest - timedelta(days=step_days * back) for back in range(slices - 1, -1, -1)]


def past_rows(
    events: pl.DataFrame, items: pl.DataFrame, as_ofs: Sequence[datetime], horizon_days: int, look_back_days: int,
    known_at: datetime,
) -> pl.DataFrame:  # fmt: skip
    """Features of one bucket's active users at each as-of, and their `SPEND_AHEAD` (currency), as known at `known_at`.

    Args:
        events: `tables.EVENTS` of one bucket, in any row order.
        items: `tables.ITEMS`.
        as_ofs: midnights UTC.
        horizon_days: in which spend counts.
        look_back_days: users with a net purchase in so many days before an as-of are active.
        known_at: nothing recorded later counts.

    Raises:
        NotReady: the horizon of an as-of has not passed.
    """
    if max(as_ofs) + timedelta(days=horizon_days) > known_at:
        raise NotReady(f"what is spent in the {horizon_days} days from {max(as_ofs):%Y-%m-%d} is not known yet")
    rows = activity_slices(events, items, as_ofs, _FEATURES)
    paid = [_paid(events, as_of, horizon_days, look_back_days, known_at) for as_of in as_ofs]
    return rows.join(pl.concat(paid), on=[t.USER_ID, t.AS_OF], how="inner", maintain_order="left")


def _paid(
    events: pl.DataFrame, as_of: datetime, horizon_days: int, look_back_days: int, known_at: datetime
) -> pl.DataFrame:
    """`USER_ID`, `AS_OF` and `SPEND_AHEAD` of the users who were active at an as-of."""
    moment, start = pl.col(t.OCCURRED_AT), as_of - timedelta(days=look_back_days)
    active = net_purchases(events.filter(known_before(as_of))).filter(moment >= start).select(t.USER_ID).unique()
    ahead = moment.is_between(as_of, as_of + timedelta(days=horizon_days), closed="left")
    cents = (pl.col(t.AMOUNT) * _CENTS).round().cast(pl.Int64).sum()
    spent = net_purchases(events.filter(known_before(known_at))).filter(ahead).group_by(t.USER_ID).agg(cents)
    return active.join(spent, on=t.USER_ID, how="left").select(
        t.USER_ID,
        pl.lit(as_of, t.TIME).alias(t.AS_OF),
        (pl.col(t.AMOUNT).fill_null(0) / _CENTS).alias(SPEND_AHEAD),
    )
