"""First and later purchases by period: counts of one user bucket that add up over buckets.

A user's cohort is the period of their first net purchase. A user is retained in a period when they bought in it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from everstay import tables as t
from everstay.retention.periods import Periods

IntArray = NDArray[np.int64]

ORIGIN, COHORT, N, X, TX, USERS = "origin", "cohort", "n", "x", "tx", "users"
_KEY = (ORIGIN, COHORT, N, X, TX)


@dataclass(frozen=True)
class CohortCounts:
    """Counts of users.

    Attributes:
        retained: of each cohort (row) the users who bought in each period (column), (P, P); the diagonal is the
            cohort's size, below it are zeros.
        histories: what every forecast starts from: one row per `ORIGIN` (number of periods passed), `COHORT` and
            history `N`, `X`, `TX` (see `bgbb`): `USERS`, and how many of them bought in the period 1, 2, ... ahead
            (`buys_1`, ...; null when it has not passed).
    """

    retained: IntArray
    histories: pl.DataFrame


def cohort_counts(purchases: pl.DataFrame, periods: Periods, ahead: int) -> CohortCounts:
    """Count the users of one bucket.

    Args:
        purchases: net purchases: `USER_ID` and `OCCURRED_AT`; those after the last whole period are left out.
        periods: whole ones.
        ahead: number of periods that the histories are followed forward.
    """
    inside = purchases.filter(pl.col(t.OCCURRED_AT) < periods.end)
    users = inside[t.USER_ID].rank("dense").to_numpy().astype(np.int64) - 1
    bought = np.zeros((int(users.max(initial=-1)) + 1, periods.count), dtype=np.bool_)
    bought[users, periods.numbers(inside[t.OCCURRED_AT])] = True
    cohort = bought.argmax(axis=1)
    retained = np.zeros((periods.count, periods.count), dtype=np.int64)
    np.add.at(retained, cohort, bought.astype(np.int64))
    frames = [_histories(bought, cohort, origin, ahead) for origin in range(1, periods.count + 1)]
    return CohortCounts(retained, _summed(frames))


def add_up(counts: Sequence[CohortCounts]) -> CohortCounts:
    """The counts of all buckets together."""
    retained = np.sum([one.retained for one in counts], axis=0)
    return CohortCounts(retained, _summed([one.histories for one in counts]))


def buys(ahead: int) -> str:
    """Column of the number of users who bought `ahead` periods ahead.

    >>> buys(2)
    'buys_2'
    """
    return f"buys_{ahead}"


def _histories(bought: NDArray[np.bool_], cohort: IntArray, origin: int, ahead: int) -> pl.DataFrame:
    """The users who had come when `origin` periods had passed, one row each."""
    known = cohort < origin
    past, came = bought[known, :origin], cohort[known]
    last = origin - 1 - past[:, ::-1].argmax(axis=1)
    columns = {ORIGIN: np.full(len(came), origin), COHORT: came, N: origin - 1 - came}
    columns |= {X: past.sum(axis=1) - 1, TX: last - came}
    frame = pl.DataFrame({name: pl.Series(values, dtype=pl.Int64) for name, values in columns.items()})
    future = [
        pl.Series(buys(step), bought[known, origin + step - 1]).cast(pl.Int64)
        if origin + step <= bought.shape[1]
        else pl.lit(None, pl.Int64).alias(buys(step))
        for step in range(1, ahead + 1)
    ]
    return frame.with_columns(pl.lit(1, pl.Int64).alias(USERS), *future)


def _summed(frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """One row per history; what has not passed stays null."""
    counts = pl.concat(frames)
    bought = [pl.when(pl.col(name).is_not_null().any()).then(pl.col(name).sum()) for name in counts.columns[6:]]
    return counts.group_by(_KEY).agg(pl.sum(USERS), *bought).sort(_KEY)
