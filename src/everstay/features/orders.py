"""What an order is, and which purchases remain after returns."""

import polars as pl

from everstay import tables as t
from everstay.features.ledger import MONEY

ORDER_DAY = "order_day"
ORDER_KEY = (t.USER_ID, t.ORDER_ID, ORDER_DAY)
"""Columns that identify an order, once `order_day()` is added; one of the last two is null."""

_HALF_A_CENT = MONEY // 200


def order_day() -> pl.Expr:
    """Stand-in for a missing order id: without one, a user's purchases of one UTC day are one order."""
    return pl.when(pl.col(t.ORDER_ID).is_null()).then(pl.col(t.OCCURRED_AT).dt.date()).alias(ORDER_DAY)


def net_purchases(events: pl.DataFrame) -> pl.DataFrame:
    """Keep purchases whose order was not fully returned within the given events; all columns, order of rows kept.

    An order is fully returned when what came back under its order id reaches the pieces bought, or the money paid to
    within half a cent: a shop may log a refund as one row, whatever the pieces. A return without order id cancels
    nothing, because what came back is unknown.

    Args:
        events: with at least `USER_ID`, `ORDER_ID`, `EVENT_TYPE`, `QUANTITY` and `AMOUNT`.
    """
    order = [t.USER_ID, t.ORDER_ID]
    pieces = pl.col(t.QUANTITY).cast(pl.Int64).sum()
    money = (pl.col(t.AMOUNT) * MONEY).round().cast(pl.Int64).sum()
    purchases = events.lazy().filter(pl.col(t.EVENT_TYPE) == t.PURCHASE)
    returns = events.lazy().filter(pl.col(t.EVENT_TYPE) == t.RETURN, pl.col(t.ORDER_ID).is_not_null())
    returned = returns.group_by(order).agg(pieces.alias("returned"), money.alias("refunded"))
    bought = (
        purchases.join(returned, on=order, how="semi").group_by(order).agg(pieces.alias("bought"), money.alias("paid"))
    )
    is_refunded = (pl.col("refunded") > 0) & (pl.col("refunded") + _HALF_A_CENT >= pl.col("paid"))
    cancelled = returned.join(bought, on=order).filter((pl.col("returned") >= pl.col("bought")) | is_refunded)
    return purchases.join(cancelled, on=order, how="anti", maintain_order="left").collect()
