"""What acting on a candidate's probabilities would have earned: EMPC, and the campaign that validation chooses.

A user's worth here is the margin on their own mean spend of the last year, over the value's horizon: it is known for
every row, needs no further model, and is the same for all candidates, so that only their probabilities differ.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import polars as pl
from matplotlib.figure import Figure
from numpy.typing import NDArray

from everstay import tables as t
from everstay.churn.rows import ChurnRows, outcomes
from everstay.metrics.comparison import Interval, mean_interval, statistic_interval
from everstay.metrics.profit import ProfitCurve, contact_cost, contact_profit, empc, profit_curve
from everstay.settings import Settings, Value

FloatArray = NDArray[np.float64]

_RESAMPLES = 300  # at most: these figures decide nothing
_YEAR, _LEAST_DAYS = 364.0, 28.0  # a shorter tenure is too short to extrapolate spend from


@dataclass(frozen=True)
class Campaign:
    """Contacts to the users whose expected profit is highest.

    Attributes:
        threshold: smallest expected profit of a contact, currency; chosen on validation.
        metrics: `test_campaign_profit` (currency per user, contacted or not), `test_campaign_share`, `..._empc`.
        curve: on the test rows.
    """

    threshold: float
    metrics: Mapping[str, Interval]
    curve: ProfitCurve


def worth(rows: pl.DataFrame, value: Value) -> FloatArray:
    """Margin on what each user would pay within the horizon at the pace of the last year, (n,), currency."""
    known = pl.col("tenure_days").clip(_LEAST_DAYS, _YEAR)
    spend = (pl.col("spend_364d") / known * value.horizon_days).fill_null(0.0).clip(lower_bound=0.0)
    return value.margin * rows.select(spend).to_series().to_numpy()


def judge_money(rows: ChurnRows, early: FloatArray, probability: FloatArray, settings: Settings) -> Campaign:
    """Choose the campaign on validation rows, and evaluate its profit on the test rows.

    Args:
        rows: of n in `validation`, of one as-of or several, and m in `test`, of one.
        early: (n,) probabilities of the model that has not seen the validation.
        probability: (m,) of the model that serves.
        settings: costs, budget and the intervals.
    """
    validation, test = rows.validation, rows.test
    chosen = _curve(validation, early, settings.value)
    users = test.height / rows.share  # of one list: validation may hold a part of them, or several lists
    budget = None if settings.value.budget is None else settings.value.budget / users
    threshold = float(chosen.scores[chosen.best(budget)])
    churned, worths = outcomes(test), worth(test, settings.value)
    is_contacted = contact_profit(probability, worths, settings.value) >= threshold
    profit = np.where(is_contacted, contact_profit(churned, worths, settings.value), 0.0)
    metrics = {
        "test_campaign_profit": mean_interval(profit, **_bootstrap(settings)),
        "test_campaign_share": mean_interval(is_contacted.astype(float), **_bootstrap(settings)),
        "validation_empc": _empc_interval(validation, early, settings),
        "test_empc": _empc_interval(test, probability, settings),
    }
    known = {name: interval for name, interval in metrics.items() if np.isfinite(interval.value)}
    return Campaign(threshold, known, _curve(test, probability, settings.value))


def draw_profit(campaign: Campaign, test: pl.DataFrame, probability: FloatArray, value: Value) -> Figure:
    """Profit per user against the share contacted: by expected profit, by probability alone, at random."""
    churned, worths = outcomes(test), worth(test, value)
    profit, cost = contact_profit(churned, worths, value), contact_cost(churned, value)
    figure = Figure(figsize=(5.0, 4.0), layout="constrained")
    axes = figure.add_subplot()
    axes.set(title="Campaign profit", xlabel="share of users contacted", ylabel="profit per user, contacted or not")
    axes.plot(campaign.curve.share, campaign.curve.profit, label="highest expected profit first")
    by_risk = profit_curve(probability, profit, cost)
    axes.plot(by_risk.share, by_risk.profit, label="highest risk first")
    axes.plot([0, 1], [0, profit.mean()], color="grey", linestyle="--", label="at random")
    share = float(campaign.curve.share[campaign.curve.scores >= campaign.threshold][-1])
    axes.axvline(share, color="black", linewidth=0.8, label="chosen on validation")
    axes.legend()
    return figure


def _curve(rows: pl.DataFrame, probability: FloatArray, value: Value) -> ProfitCurve:
    churned, worths = outcomes(rows), worth(rows, value)
    expected = contact_profit(probability, worths, value)
    return profit_curve(expected, contact_profit(churned, worths, value), contact_cost(churned, value))


def _empc_interval(rows: pl.DataFrame, probability: FloatArray, settings: Settings) -> Interval:
    metric = partial(empc, worth=float(worth(rows, settings.value).mean()), costs=settings.value)
    return statistic_interval(
        metric, outcomes(rows), probability, users=rows[t.USER_ID].to_numpy(), **_bootstrap(settings)
    )


def _bootstrap(settings: Settings) -> dict[str, Any]:
    policy = settings.promotion
    return {
        "resamples": min(policy.resamples, _RESAMPLES),
        "confidence": policy.confidence,
        "seed": settings.training.seed,
    }
