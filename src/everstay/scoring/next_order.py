"""When each user's next order is due and when their silence becomes alarming, from their own rhythm.

The gaps between a user's order days are log-normal about a mean of their own, and the users' means are normal about the
shop's, towards which users with few orders are shrunk (empirical Bayes). All sums run over integers.
"""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import norm

from everstay import tables as t

FloatArray = NDArray[np.float64]

LAST_DAY, GAPS, LOG_SUM, LOG_SQUARES = "last_order_day", "gaps", "gap_log_sum", "gap_log_squares"
RHYTHM_COLUMNS = (LAST_DAY, GAPS, LOG_SUM, LOG_SQUARES)

ALARM = 0.9
"""A silence is alarming when it exceeds this quantile of the user's usual gaps."""

_BEYOND = 0.99  # quantile of the gaps: after a longer silence no order date is given
_MILLION = 1_000_000
_LEAST_GAPS = 2  # of a user, to tell how gaps vary about a user's own mean
_LEAST_SPREAD = 1e-3
_HALF_DAY = 0.5  # gaps are whole days: one of d days stands for all from d - 1/2 to d + 1/2


def order_rhythm(purchases: pl.DataFrame) -> pl.DataFrame:
    """Summarise the gaps between order days.

    Args:
        purchases: net purchases of one bucket.

    Returns:
        `USER_ID` and `RHYTHM_COLUMNS`, sorted by user: midnight of the last order day; number of gaps; sum of their
        logs (days) and of the squares of these, in integer millionths.
    """
    day = pl.col(t.OCCURRED_AT).dt.truncate("1d").alias(LAST_DAY)
    days = purchases.select(t.USER_ID, day).unique().sort(t.USER_ID, LAST_DAY)
    log = (pl.col(LAST_DAY).diff().dt.total_days().over(t.USER_ID)).log()
    table = days.with_columns(log.alias("log"))
    return table.group_by(t.USER_ID, maintain_order=True).agg(
        pl.col(LAST_DAY).last(),
        pl.col("log").count().cast(pl.Int64).alias(GAPS),
        (pl.col("log") * _MILLION).round().cast(pl.Int64).sum().alias(LOG_SUM),
        (pl.col("log") ** 2 * _MILLION).round().cast(pl.Int64).sum().alias(LOG_SQUARES),
    )


@dataclass(frozen=True)
class GapModel:
    """The distribution of gaps of a shop's users, in logs of days.

    Attributes:
        mean: of the users' means.
        within: standard deviation of a gap about its user's mean.
        prior_gaps: with this many gaps of their own, a user's mean weighs as much as the shop's.
    """

    mean: float
    within: float
    prior_gaps: float

    def dates(self, rhythm: pl.DataFrame, as_of: datetime) -> pl.DataFrame:
        """`EXPECTED_ORDER_AT` and `EXPECTED_ALARM_AT` of N users, midnights, in their order.

        The order date is the median given the silence so far, if the user is still active; null when the silence
        exceeds 99 of 100 of their gaps. The alarm date lies in the past for overdue users.
        """
        gaps, logs = rhythm[GAPS].to_numpy().astype(float), rhythm[LOG_SUM].to_numpy() / _MILLION
        weight = gaps + self.prior_gaps
        center = (logs + self.prior_gaps * self.mean) / weight
        spread = self.within * np.sqrt(1 + 1 / weight)
        silent = (pl.lit(as_of, t.TIME) - pl.col(LAST_DAY)).dt.total_days()
        silence = rhythm.select(silent).to_series().to_numpy().astype(float)
        reached = norm.cdf((np.log(np.maximum(silence, 1) - _HALF_DAY) - center) / spread)
        due = np.exp(center + spread * norm.ppf((1 + np.minimum(reached, _BEYOND)) / 2))
        alarm = np.exp(center + spread * norm.ppf(ALARM))
        days = {t.EXPECTED_ORDER_AT: np.maximum(due, silence), t.EXPECTED_ALARM_AT: alarm}
        last = pl.col(LAST_DAY)
        whole = {name: pl.lit(pl.Series(np.round(value).astype(np.int64))) for name, value in days.items()}
        dates = [(last + pl.duration(days=value)).alias(name) for name, value in whole.items()]
        is_known = pl.Series("known", reached < _BEYOND)
        found = rhythm.select(dates).with_columns(is_known)
        return found.select(pl.when("known").then(t.EXPECTED_ORDER_AT), t.EXPECTED_ALARM_AT)


def fit_gaps(rhythm: pl.DataFrame) -> GapModel | None:
    """Fit to `order_rhythm` of all users by the method of moments; None when nobody has two gaps."""
    several = rhythm.filter(pl.col(GAPS) >= _LEAST_GAPS)
    if several.is_empty():
        return None
    gaps, logs, squares = (several[name].to_numpy().astype(float) for name in (GAPS, LOG_SUM, LOG_SQUARES))
    means = logs / gaps / _MILLION
    residual = round(float(squares.sum())) / _MILLION - float((gaps * means**2).sum())
    within = max(residual / (gaps - 1).sum(), _LEAST_SPREAD)
    between = max(float(means.var()) - within * float((1 / gaps).mean()), _LEAST_SPREAD)
    return GapModel(float(means.mean()), float(np.sqrt(within)), float(within / between))


def with_dates(scores: pl.DataFrame, model: GapModel | None, as_of: datetime) -> pl.DataFrame:
    """Add the two dates to scores that carry `RHYTHM_COLUMNS`, which are dropped; without a model they are null."""
    if model is None:
        dates = [pl.lit(None, t.TIME).alias(name) for name in (t.EXPECTED_ORDER_AT, t.EXPECTED_ALARM_AT)]
        return scores.drop(RHYTHM_COLUMNS).with_columns(dates)
    return scores.hstack(model.dates(scores, as_of)).drop(RHYTHM_COLUMNS)
