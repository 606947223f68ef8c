"""Customer value: what a user who stays is expected to pay within the horizon, with an interval.

It is conditional on staying, because the churn probability covers leaving: value at risk is their product, and a
chance of leaving inside the value would be counted twice. The purchase rate of a user who has not stopped is
gamma distributed with shape r + x and rate alpha + T in all buy-till-you-die models (`churn.btyd`), so that the number
of order days ahead is negative binomial; each is worth a Gamma-Gamma payment.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import gamma

from everstay import tables as t
from everstay.churn.btyd import BgNbd, History, MbgNbd
from everstay.errors import NotReady
from everstay.settings import Value
from everstay.value import summary as s
from everstay.value.gamma_gamma import GammaGamma

FloatArray = NDArray[np.float64]

VALUE_COLUMNS = (t.CUSTOMER_VALUE, t.CUSTOMER_VALUE_LOW, t.CUSTOMER_VALUE_HIGH)
COVERAGE = 0.8
"""Share of users who stay whose spend is meant to lie between low and high."""


@dataclass(frozen=True)
class ValueModel:
    """Fitted on all users of the shop as of one moment; small and picklable.

    Attributes:
        purchases: of order days, times in days.
        money: of payments per order day.
        horizon_days: how far ahead value is counted.
    """

    purchases: BgNbd
    money: GammaGamma
    horizon_days: int

    def values(self, summary: pl.DataFrame) -> pl.DataFrame:
        """`VALUE_COLUMNS` of N users with `summary.SUMMARY_COLUMNS`, in their order; null without an order."""
        known = summary.select(s.SUMMARY_COLUMNS).with_row_index("row").drop_nulls()
        columns = known.select(s.SUMMARY_COLUMNS).to_numpy().T
        values = dict(zip(VALUE_COLUMNS, self._spend(*columns), strict=True))
        table = known.select("row").with_columns(pl.Series(name, column) for name, column in values.items())
        rows = summary.select(pl.int_range(pl.len(), dtype=pl.UInt32).alias("row"))
        joined = rows.join(table, on="row", how="left", maintain_order="left")
        return joined.select(pl.col(VALUE_COLUMNS).fill_nan(None))

    def _spend(
        self, counts: FloatArray, first: FloatArray, last: FloatArray, means: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Mean, low and high of the spend of users who stay."""
        del last  # silence says whether a user has stopped, not how they buy while they have not
        shape, rate = self.purchases.r + counts - 1, self.purchases.alpha + first
        orders = shape * self.horizon_days / rate
        none = (rate / (rate + self.horizon_days)) ** shape
        spend = orders * self.money.expected_payment(counts, means)
        squares = orders * (1 + self.horizon_days / rate) + orders**2  # mean square of the number of order days
        p = self.money.p
        second = self.money.inverse_rate_square(counts, means) * (p * orders + p**2 * squares)
        return spend, *_bounds(spend, second, none)


def _bounds(mean: FloatArray, second: FloatArray, none: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Bounds of a spend that is 0 with the chance `none`, and else taken as gamma distributed with its two moments.

    NaN where the second moment is infinite.
    """
    some = np.maximum(1 - none, 1e-12)
    center, spread = mean / some, second / some - (mean / some) ** 2
    shape = center**2 / np.maximum(spread, 1e-12)
    bounds = []
    for share in ((1 - COVERAGE) / 2, (1 + COVERAGE) / 2):
        place = np.clip((share - none) / some, 0.0, 1.0)
        bound = np.where(place > 0, gamma.ppf(place, shape, scale=center / shape), 0.0)
        bounds.append(np.where(np.isfinite(second), bound, np.nan))
    return bounds[0], bounds[1]


def fit_value(summary: pl.DataFrame, settings: Value) -> ValueModel | None:
    """Fit on `purchase_summary` of all users; None if nobody ordered twice, or fewer than two users paid."""
    try:
        purchases = MbgNbd.fit(history_of(summary))
        money = GammaGamma.fit(summary[s.ORDER_DAYS_SO_FAR].to_numpy(), summary[s.SPEND_PER_ORDER_DAY].to_numpy())
    except NotReady:
        return None
    return ValueModel(purchases, money, settings.horizon_days)


def history_of(summary: pl.DataFrame) -> History:
    """A summary as buy-till-you-die models read it, in days."""
    first, last = summary[s.FIRST_ORDER_DAYS_AGO].to_numpy(), summary[s.LAST_ORDER_DAYS_AGO].to_numpy()
    return History.of(summary[s.ORDER_DAYS_SO_FAR].to_numpy() - 1, first - last, first)


def with_value(scores: pl.DataFrame, model: ValueModel | None) -> pl.DataFrame:
    """Add `VALUE_COLUMNS` and value at risk to scores that carry the summary's columns, which are dropped.

    Args:
        scores: with `CHURN_PROBABILITY` and `summary.SUMMARY_COLUMNS`.
        model: from `fit_value`; None: all null.
    """
    if model is None:
        valued = scores.with_columns(pl.lit(None, pl.Float64).alias(name) for name in VALUE_COLUMNS)
    else:
        valued = scores.hstack(model.values(scores))
    risk = (pl.col(t.CHURN_PROBABILITY) * pl.col(t.CUSTOMER_VALUE)).alias(t.VALUE_AT_RISK)
    return valued.drop(s.SUMMARY_COLUMNS).with_columns(risk)
