"""Orders of users whose behaviour is known: each buys in a period with a chance of their own until they leave."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from everstay import tables as t

MONDAY = datetime(2023, 1, 2, tzinfo=UTC)


def weekly_orders(users: int, weeks: int, seed: int) -> pl.DataFrame:
    """Net purchases: `USER_ID`, `OCCURRED_AT`. Users come in any of the weeks, many in the first."""
    random = np.random.default_rng(seed)
    chance, leaves = random.beta(2.0, 1.5, users), random.beta(0.8, 12.0, users)
    came = np.minimum(random.geometric(0.12, users) - 1, weeks - 1)
    left = came + random.geometric(leaves)
    week = np.arange(weeks)
    bought = (random.random((users, weeks)) < chance[:, None]) & (week > came[:, None]) & (week <= left[:, None])
    bought[np.arange(users), came] = True
    user, at = np.nonzero(bought)
    return pl.DataFrame(
        {
            t.USER_ID: [f"u{number}" for number in user],
            t.OCCURRED_AT: [MONDAY + timedelta(weeks=int(number), hours=9) for number in at],
        },
        schema={t.USER_ID: pl.String, t.OCCURRED_AT: t.TIME},
    )
