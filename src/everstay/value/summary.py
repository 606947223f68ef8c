"""What value models know of a user: on how many days they ordered, when first and last, and for how much a day."""

from datetime import datetime

import polars as pl

from everstay import tables as t
from everstay.features import net_purchases
from everstay.features.slices import known_before

ORDER_DAYS_SO_FAR = "order_days_so_far"
FIRST_ORDER_DAYS_AGO = "first_order_days_ago"
LAST_ORDER_DAYS_AGO = "last_order_days_ago"
SPEND_PER_ORDER_DAY = "spend_per_order_day"
SUMMARY_COLUMNS = (ORDER_DAYS_SO_FAR, FIRST_ORDER_DAYS_AGO, LAST_ORDER_DAYS_AGO, SPEND_PER_ORDER_DAY)
EVENT_COLUMNS = (t.USER_ID, t.EVENT_TYPE, t.OCCURRED_AT, t.RECORDED_AT, t.ORDER_ID, t.QUANTITY, t.AMOUNT)
"""The columns of `tables.EVENTS` that a summary reads."""

_CENTS = 100


def purchase_summary(events: pl.DataFrame, as_of: datetime) -> pl.DataFrame:
    """Sum up the net purchases of each user before `as_of`.

    Args:
        events: `tables.EVENTS` of one bucket, in any row order.
        as_of: a midnight UTC; only what is known before it counts.

    Returns:
        `USER_ID` and `SUMMARY_COLUMNS` as Float64, sorted by user: distinct UTC days with a net purchase, whole days
        from the first and the last of them to the as-of (yesterday is 1), and the mean paid on one (currency).
    """
    purchases = net_purchases(events.filter(known_before(as_of)))
    day = pl.col(t.OCCURRED_AT).dt.truncate("1d")
    ago = (pl.lit(as_of, t.TIME) - day).dt.total_days().cast(pl.Float64)
    cents = (pl.col(t.AMOUNT) * _CENTS).round().cast(pl.Int64).sum()  # integers: the order of rows does not matter
    days = day.n_unique().cast(pl.Float64)
    return (
        purchases.group_by(t.USER_ID)
        .agg(
            days.alias(ORDER_DAYS_SO_FAR),
            ago.max().alias(FIRST_ORDER_DAYS_AGO),
            ago.min().alias(LAST_ORDER_DAYS_AGO),
            (cents / (days * _CENTS)).alias(SPEND_PER_ORDER_DAY),
        )
        .sort(t.USER_ID)
    )
