"""First and later purchases by period: counts of one user bucket that add up over buckets.

A user's cohort is the period of their first net purchase. A user is retained in a period when they bought in it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from everstay.retention.known_purchases import BoolArray, KnownPurchases, known_purchases
from everstay.retention.periods import Periods

IntArray = NDArray[np.int64]

ORIGIN, COHORT, N, X, TX, USERS = "origin", "cohort", "n", "x", "tx", "users"
_KEY = (ORIGIN, COHORT, N, X, TX)


@dataclass(frozen=True)
class CohortCounts:
    """Counts of users.

    Attributes:
        retained: of each cohort (row) the users who bought in each period (column), (P, P); the diagonal is the
            cohort's size, below it are zeros. By what is known now.
        histories: what every forecast starts from, by what was known at its origin: one row per `ORIGIN` (number of
            periods passed), `COHORT` and history `N`, `X`, `TX` (see `bgbb`): `USERS`, and how many of them bought in
            the period 1, 2, ... ahead, by what is known now (`buys_1`, ...) and by what was known when that period was
            over (`seen_1`, ...); null when it has not passed.
    """

    retained: IntArray
    histories: pl.DataFrame


def cohort_counts(events: pl.DataFrame, periods: Periods, ahead: int) -> CohortCounts:
    """Count the users of one bucket.

    Args:
        events: known now; see `known_purchases`.
        periods: whole ones.
        ahead: number of periods that the histories are followed forward.
    """
    known = known_purchases(events, periods)
    bought = known.now[known.now.any(axis=1)]
    retained = np.zeros((periods.count, periods.count), dtype=np.int64)
    np.add.at(retained, bought.argmax(axis=1), bought.astype(np.int64))
    return CohortCounts(retained, _summed(list(_histories(known, ahead))))


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


def seen(ahead: int) -> str:
    """Column of the same number, as it was known when that period was over.

    >>> seen(2)
    'seen_2'
    """
    return f"seen_{ahead}"


def _histories(known: KnownPurchases, ahead: int) -> Iterator[pl.DataFrame]:
    """For every origin the users who had come by then, one row each."""
    outcomes: dict[Callable[[int], str], BoolArray] = {buys: known.now, seen: known.when_over()}
    for origin in range(1, known.now.shape[1] + 1):
        bought = known.at(origin)
        come = bought.any(axis=1)
        then = {name: outcome[come, origin : origin + ahead] for name, outcome in outcomes.items()}
        yield _history(bought[come], then, ahead)


def _history(past: BoolArray, then: Mapping[Callable[[int], str], BoolArray], ahead: int) -> pl.DataFrame:
    """One origin's users.

    Args:
        past: what they had bought, (U, origin).
        then: what they bought in the periods that have passed since, (U, up to `ahead`), by the name of the columns.
        ahead: number of periods.
    """
    origin, came = past.shape[1], past.argmax(axis=1)
    last = origin - 1 - past[:, ::-1].argmax(axis=1)
    columns = {ORIGIN: np.full(len(came), origin), COHORT: came, N: origin - 1 - came}
    columns |= {X: past.sum(axis=1) - 1, TX: last - came}
    frame = pl.DataFrame({name: pl.Series(values, dtype=pl.Int64) for name, values in columns.items()})
    future = [
        pl.Series(name(step), bought[:, step - 1]).cast(pl.Int64)
        if step <= bought.shape[1]
        else pl.lit(None, pl.Int64).alias(name(step))
        for name, bought in then.items()
        for step in range(1, ahead + 1)
    ]
    return frame.with_columns(pl.lit(1, pl.Int64).alias(USERS), *future)


def _summed(frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """One row per history; what has not passed stays null."""
    counts = pl.concat(frames)
    bought = [pl.when(pl.col(name).is_not_null().any()).then(pl.col(name).sum()) for name in counts.columns[6:]]
    return counts.group_by(_KEY).agg(pl.sum(USERS), *bought).sort(_KEY)
