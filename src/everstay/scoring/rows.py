"""The rows that models score: who is scored at an as-of, and what is known of them."""

from datetime import datetime, timedelta

import polars as pl
import pyarrow as pa

from everstay import tables as t
from everstay.churn.encoding import FEATURE_COLUMNS
from everstay.churn.rows import join_rows
from everstay.features import FEATURES, activity_slices, day_tokens, net_purchases, purchase_history
from everstay.features.activity import needed_columns
from everstay.features.slices import known_before

MAX_TOKENS = 512
"""Most day tokens that a churn model gets; each model uses as many of the latest as it needs."""


_READ = [feature for feature in FEATURES if feature.name in FEATURE_COLUMNS]
CODED_COLUMNS = needed_columns(_READ)


def active_users(events: pl.DataFrame, as_of: datetime, look_back_days: int) -> pl.DataFrame:
    """The churn population: users with a net purchase in the look-back before `as_of`; `USER_ID`, sorted.

    The same users that `features.churn_labels` would label, without waiting for labels.
    """
    bought_since = pl.col(t.OCCURRED_AT) >= as_of - timedelta(days=look_back_days)
    purchases = net_purchases(events.filter(known_before(as_of)))
    return purchases.filter(bought_since).select(t.USER_ID).unique().sort(t.USER_ID)


def churn_rows(
    events: pl.DataFrame, items: pl.DataFrame, as_of: datetime, coded: pa.Table | None = None
) -> pl.DataFrame:
    """What churn models read of every user with an event before `as_of`, one row each, sorted by user.

    Args:
        events: of some users, all columns, or those of `TOKEN_COLUMNS` where `coded` is given.
        items: `tables.ITEMS`.
        as_of: a midnight UTC.
        coded: the same events, of these users and perhaps others, as `Snapshot.read_coded` gives `CODED_COLUMNS`:
            features are computed from it several times as fast.
    """
    features = activity_slices(events if coded is None else coded, items, [as_of], _READ)
    if coded is not None:
        features = features.join(events.select(t.USER_ID).unique(), on=t.USER_ID, how="semi", maintain_order="left")
    return join_rows(features, day_tokens(events, as_of, MAX_TOKENS))


def history_rows(events: pl.DataFrame, as_of: datetime) -> pl.DataFrame:
    """Purchase history of every user with an event before `as_of`, sorted by user; null lists without a purchase."""
    users = events.filter(known_before(as_of)).select(t.USER_ID).unique()
    return (
        users.with_columns(pl.lit(as_of, t.TIME).alias(t.AS_OF))
        .join(purchase_history(events, as_of), on=[t.USER_ID, t.AS_OF], how="left")
        .sort(t.USER_ID)
    )


def registered_users(users: pl.DataFrame, rows: pl.DataFrame, as_of: datetime) -> pl.DataFrame:
    """Users who had joined before `as_of`, or nobody knows when, and have no row: all that is known is that they are.

    Args:
        users: `tables.USERS`, of the same bucket as the rows.
        rows: of every user with an event before `as_of`.
        as_of: a midnight UTC.
    """
    has_joined = pl.col(t.JOINED_AT).is_null() | (pl.col(t.JOINED_AT) < as_of)
    return users.filter(has_joined).join(rows, on=t.USER_ID, how="anti", maintain_order="left")
