"""Orders of users whose behaviour is known: each buys in a period with a chance of their own until they leave."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from everstay import tables as t

MONDAY = datetime(2023, 1, 2, tzinfo=UTC)


def weekly_orders(users: int, weeks: int, seed: int) -> pl.DataFrame:
    """Purchases. Users come in any of the weeks, many in the first."""
    random = np.random.default_rng(seed)
    chance, leaves = random.beta(2.0, 1.5, users), random.beta(0.8, 12.0, users)
    came = np.minimum(random.geometric(0.12, users) - 1, weeks - 1)
    left = came + random.geometric(leaves)
    week = np.arange(weeks)
    bought = (random.random((users, weeks)) < chance[:, None]) & (week > came[:, None]) & (week <= left[:, None])
    bought[np.arange(users), came] = True
    user, at = np.nonzero(bought)
    moments = [MONDAY + timedelta(weeks=int(week), hours=9) for week in at]
    return purchases(zip((f"u{number}" for number in user), moments, strict=True))


def purchases(bought: Iterable[tuple[str, datetime]]) -> pl.DataFrame:
    """Events of users at moments, recorded at once, each of an order of its own."""
    frame = pl.DataFrame(list(bought), schema={t.USER_ID: pl.String, t.OCCURRED_AT: t.TIME}, orient="row")
    return frame.with_columns(
        pl.col(t.OCCURRED_AT).alias(t.RECORDED_AT),
        pl.lit(t.PURCHASE).alias(t.EVENT_TYPE),
        pl.format("o{}", pl.int_range(pl.len())).alias(t.ORDER_ID),
        pl.lit(1).alias(t.QUANTITY),
        pl.lit(1.0).alias(t.AMOUNT),
    )
