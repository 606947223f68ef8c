"""A few users whose orders a test writes down."""

from datetime import UTC, datetime

import polars as pl

from everstay import tables as t

AS_OF = datetime(2024, 6, 1, tzinfo=UTC)


def events(*rows: tuple[str, int, float, str]) -> pl.DataFrame:
    """User, days before the as-of, amount, type; an order each."""
    table = pl.DataFrame(rows, schema=["user", "ago", "amount", "kind"], orient="row").with_row_index("number")
    at = pl.lit(AS_OF, t.TIME) - pl.duration(days="ago") + pl.duration(hours=5)
    return t.EVENTS.conform(
        table.select(
            pl.format("e{}", "number").alias(t.EVENT_ID),
            pl.col("user").alias(t.USER_ID),
            pl.col("kind").alias(t.EVENT_TYPE),
            at.alias(t.OCCURRED_AT),
            at.alias(t.RECORDED_AT),
            pl.format("o{}", "ago").alias(t.ORDER_ID),
            pl.lit(1).alias(t.QUANTITY),
            pl.col("amount").alias(t.AMOUNT),
            pl.lit(0.0).alias(t.DISCOUNT),
        )
    )
