"""What users think of items: the latest rating of each, for recommenders that learn from ratings."""

from datetime import datetime

import polars as pl

from everstay import tables as t
from everstay.features.slices import known_before

RATING_COLUMNS = (t.EVENT_ID, t.USER_ID, t.ITEM_ID, t.OCCURRED_AT, t.RECORDED_AT, t.RATING)
"""The columns of `tables.EVENTS` that `latest_ratings` reads."""

RATED_ITEM = "rated_item"
RATED_VALUE = "rated_value"


def latest_ratings(events: pl.DataFrame, as_of: datetime) -> pl.DataFrame:
    """List each user's latest rating of each item before `as_of`; a review with stars is a rating too.

    Args:
        events: `tables.EVENTS` of one bucket, in any row order.
        as_of: only what is known before it counts.

    Returns:
        One row for every user with a rating of an item, sorted by user: `USER_ID`, `AS_OF`, and by item `rated_item`
        (list of String, distinct items) and `rated_value` (list of Float32, 1 to 5).
    """
    is_rating = pl.col(t.RATING).is_not_null() & pl.col(t.ITEM_ID).is_not_null()
    return (
        events.lazy()
        .filter(known_before(as_of) & is_rating)
        .sort(t.USER_ID, t.ITEM_ID, t.OCCURRED_AT, t.EVENT_ID)
        .group_by(t.USER_ID, t.ITEM_ID, maintain_order=True)
        .agg(pl.last(t.RATING))
        .group_by(t.USER_ID, maintain_order=True)
        .agg(pl.col(t.ITEM_ID).alias(RATED_ITEM), pl.col(t.RATING).alias(RATED_VALUE))
        .select(t.USER_ID, pl.lit(as_of, t.TIME).alias(t.AS_OF), RATED_ITEM, RATED_VALUE)
        .collect()
    )
