"""Risk tiers: the riskiest shares of all users, decided once over all buckets."""

from dataclasses import dataclass

import polars as pl

from everstay import tables as t
from everstay.settings import Churn

HIGH, MEDIUM, LOW = "high", "medium", "low"


@dataclass(frozen=True)
class TierBounds:
    """The last user of tier `high` and of `medium` in the order of risk: probability falling, then user id.

    Attributes:
        high: probability and user id; None when nobody is in the tier.
        medium: the same.
    """

    high: tuple[float, str] | None
    medium: tuple[float, str] | None


def tier_bounds(scores: pl.DataFrame, churn: Churn) -> TierBounds:
    """Find where the tiers end.

    Args:
        scores: `USER_ID` and `CHURN_PROBABILITY` of all users.
        churn: the shares; a share of n users is rounded to whole users.
    """
    ranked = scores.sort([t.CHURN_PROBABILITY, t.USER_ID], descending=[True, False])

    def last(share: float) -> tuple[float, str] | None:
        count = round(share * len(ranked))
        return (ranked[t.CHURN_PROBABILITY][count - 1], ranked[t.USER_ID][count - 1]) if count else None

    return TierBounds(last(churn.high_risk_share), last(churn.medium_risk_share))


def assign_tiers(scores: pl.DataFrame, bounds: TierBounds) -> pl.DataFrame:
    """Add the column `RISK_TIER` to all users' rows or to one bucket's.

    >>> scores = pl.DataFrame({t.USER_ID: ["a", "b", "c"], t.CHURN_PROBABILITY: [0.9, 0.2, 0.9]})
    >>> assign_tiers(scores, TierBounds(high=(0.9, "a"), medium=(0.9, "c")))[t.RISK_TIER].to_list()
    ['high', 'low', 'medium']
    """
    tier = pl.when(_is_within(bounds.high)).then(pl.lit(HIGH)).when(_is_within(bounds.medium)).then(pl.lit(MEDIUM))
    return scores.with_columns(tier.otherwise(pl.lit(LOW)).alias(t.RISK_TIER))


def _is_within(bound: tuple[float, str] | None) -> pl.Expr:
    """Whether a row comes no later than `bound` in the order of risk."""
    if bound is None:
        return pl.lit(False)
    probability, user_id = pl.col(t.CHURN_PROBABILITY), pl.col(t.USER_ID)
    return (probability > bound[0]) | ((probability == bound[0]) & (user_id <= bound[1]))
