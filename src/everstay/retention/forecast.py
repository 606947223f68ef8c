"""Share of every cohort that will buy in the next periods, with intervals, and how well such forecasts did before."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import polars as pl

from everstay.metrics.maturity import maturity
from everstay.retention.bgbb import BgBb, Histories, fit_bgbb
from everstay.retention.cohorts import COHORT, ORIGIN, TX, USERS, N, X, buys, seen
from everstay.retention.periods import Periods
from everstay.retention.shares import Expected, learn_shock, share_bounds

AHEAD, SHARE, LOW, HIGH, BOUGHT = "ahead", "share", "low", "high", "bought"
ALL = -1
"""The cohort number of the row of all users together."""

CONFIDENCE = 0.9
LEAST_ORIGIN = 3  # periods that must have passed before anything can be learned
MOST_ORIGINS = 18

_UNKNOWN = BgBb(1.0, 1.0, 1.0, 1.0)  # every chance is as likely as any other
_LEAST_USERS = 50  # a group with fewer users to learn from uses the model of all users
_LOOK_BACK = 12  # latest origins whose forecasts the size of shocks is learned from
_MEAN, _VARIANCE, _CHANCE = "mean", "variance", "chance"
_SEEN = "seen"  # buyers, by what was known when the period was over
_KIND = "kind"  # forecasts with similar errors: of all users, of the first period's cohort, of the later ones


@dataclass(frozen=True)
class Forecaster:
    """What was learned at one origin: two models, because users who were there at the start are not newcomers.

    Attributes:
        first: of the first period's cohort, which holds users who came before the log.
        later: of all others.
    """

    first: BgBb
    later: BgBb

    def chances(self, histories: pl.DataFrame, ahead: int) -> pl.DataFrame:
        """The histories with each user's chance to buy in the period `ahead` as the column `chance`."""
        of = _histories(histories)
        is_first = (histories[COHORT] == 0).to_numpy()
        chance = np.where(is_first, self.first.buys(of, ahead), self.later.buys(of, ahead))
        return histories.with_columns(pl.Series(_CHANCE, chance, dtype=pl.Float64))


def fit(histories: pl.DataFrame, origin: int) -> Forecaster:
    """Learn from what had been seen when `origin` periods had passed; uninformed if nobody was observed for one yet."""
    seen = histories.filter(pl.col(ORIGIN) == origin, pl.col(N) > 0)
    if seen.is_empty():
        return Forecaster(_UNKNOWN, _UNKNOWN)
    parts = [seen.filter(pl.col(COHORT) == 0), seen.filter(pl.col(COHORT) > 0)]
    models = [fit_bgbb(_histories(part if part[USERS].sum() >= _LEAST_USERS else seen)) for part in parts]
    return Forecaster(*models)


def forecast(
    histories: pl.DataFrame, periods: int, ahead: int, min_users: int, most_origins: int = MOST_ORIGINS
) -> pl.DataFrame:
    """Forecast the next periods of every cohort and of all users, now and from every past origin as it was then.

    Args:
        histories: of `CohortCounts`. A forecast uses what was known at its origin: users, and how earlier forecasts
            that had come due did, by what was known when they came due; the rest only fills the column `bought`.
        periods: how many have passed.
        ahead: periods to forecast.
        min_users: smaller cohorts get no row of their own.
        most_origins: maximum number, the latest; the first of them have few earlier ones to learn their errors from.

    Returns:
        `ORIGIN` (number of periods passed), `COHORT` (`ALL`: all users), `AHEAD` (1: the next period), `USERS`,
        `SHARE` with `LOW` and `HIGH` (90%), `BOUGHT`: the share that did; null when the period has not passed.
    """
    origins = range(max(LEAST_ORIGIN, periods + 1 - most_origins), periods + 1)
    steps = range(1, ahead + 1)
    expected = pl.concat([_expect(histories, origin, steps, min_users) for origin in origins])
    groups = expected.group_by(_KIND, AHEAD, maintain_order=True)
    bounded = [_bound(rows, origin) for _, rows in groups for origin in origins]
    return pl.concat(bounded).sort(ORIGIN, COHORT, AHEAD)


def coverage(forecasts: pl.DataFrame) -> float:
    """Share of the forecasts that have come due whose interval contained the outcome."""
    return float(forecasts.select(pl.col(BOUGHT).is_between(LOW, HIGH).mean()).item())


def mature(forecasts: pl.DataFrame, periods: Periods, lateness: timedelta, known_until: datetime) -> pl.DataFrame:
    """The forecasts whose outcome is mature: nothing of their period can still be recorded.

    Args:
        forecasts: of `forecast`.
        periods: that have passed.
        lateness: how much later events may be recorded.
        known_until: up to when events have been recorded.
    """
    clocks = (maturity(end, lateness, known_until) for end in periods.starts)
    newest = sum(clock.state == "mature" for clock in clocks) - 1
    return forecasts.filter(pl.col(ORIGIN) + pl.col(AHEAD) <= newest)


def _expect(histories: pl.DataFrame, origin: int, steps: Iterable[int], min_users: int) -> pl.DataFrame:
    """Users, expected buyers, their variance and those who did buy, of every cohort and of all, for every step."""
    model, now = fit(histories, origin), histories.filter(pl.col(ORIGIN) == origin)
    return pl.concat([_grouped(model.chances(now, step), step, min_users) for step in steps])


def _grouped(chances: pl.DataFrame, step: int, min_users: int) -> pl.DataFrame:
    users, chance = pl.col(USERS), pl.col(_CHANCE)
    outcomes = {BOUGHT: pl.col(buys(step)), _SEEN: pl.col(seen(step))}
    sums = [
        users.sum(),
        (users * chance).sum().alias(_MEAN),
        (users * chance * (1 - chance)).sum().alias(_VARIANCE),
        *(pl.when(of.is_not_null().all()).then(of.sum()).alias(name) for name, of in outcomes.items()),
    ]
    everybody = chances.with_columns(pl.lit(ALL, pl.Int64).alias(COHORT))
    rows = pl.concat([chances, everybody]).group_by(ORIGIN, COHORT).agg(sums)
    kind = pl.col(COHORT).clip(ALL, 1).alias(_KIND)
    told = (pl.col(USERS) >= min_users) | (pl.col(COHORT) == ALL)
    named = rows.filter(told).with_columns(kind, pl.lit(step, pl.Int64).alias(AHEAD))
    return named.sort(ORIGIN, COHORT)


def _bound(rows: pl.DataFrame, origin: int) -> pl.DataFrame:
    """Bounds of one origin's forecasts of one kind and step; the shock is learned from the earlier ones due by then.

    Args:
        rows: of all origins.
        origin: whose forecasts are bounded.
    """
    due = rows.filter(pl.col(ORIGIN) + pl.col(AHEAD) <= origin, pl.col(ORIGIN) + _LOOK_BACK >= origin)
    shock = learn_shock(_as_expected(due), due[_SEEN].to_numpy().astype(float), due[ORIGIN].n_unique())
    now = rows.filter(pl.col(ORIGIN) == origin)
    low, high = share_bounds(_as_expected(now), shock, CONFIDENCE)
    users = pl.col(USERS)
    return now.select(
        ORIGIN,
        COHORT,
        AHEAD,
        users,
        (pl.col(_MEAN) / users).alias(SHARE),
        pl.Series(LOW, low, dtype=pl.Float64),
        pl.Series(HIGH, high, dtype=pl.Float64),
        (pl.col(BOUGHT) / users).alias(BOUGHT),
    )


def _as_expected(rows: pl.DataFrame) -> Expected:
    return Expected(*(rows[name].to_numpy().astype(float) for name in (USERS, _MEAN, _VARIANCE)))


def _histories(rows: pl.DataFrame) -> Histories:
    n, x, tx = (rows[name].to_numpy() for name in (N, X, TX))
    return Histories(n, x, tx, rows[USERS].to_numpy().astype(float))
