"""Risk tiers: the top of the warning list over all users, decided once for all buckets.

The list is ordered by value at risk where it is known and wanted, by churn probability otherwise; users whose value is
not known come after all others.
"""

from dataclasses import dataclass
from typing import NamedTuple

import polars as pl

from everstay import tables as t
from everstay.settings import Churn, Value

HIGH, MEDIUM, LOW = "high", "medium", "low"
TIERS = (HIGH, MEDIUM, LOW)

_WEIGHT, _LAST = "weight", -1.0
_TIER_PLACE = pl.col(t.RISK_TIER).replace_strict(
    {tier: place for place, tier in enumerate(TIERS)}, return_dtype=pl.Int8
)


class Place(NamedTuple):
    """A place in the order of the list: weight falling, then probability falling, then user id."""

    weight: float
    probability: float
    user_id: str


@dataclass(frozen=True)
class TierBounds:
    """Where the tiers end.

    Attributes:
        by_value: the weight is the value at risk; else the probability.
        high: place of the last user of the tier; None when nobody is in it.
        medium: the same.
    """

    by_value: bool
    high: Place | None
    medium: Place | None


def tier_bounds(scores: pl.DataFrame, churn: Churn, value: Value) -> TierBounds:
    """Find where the tiers end: tier `high` at the budget, when there is one, else at its share of the users.

    Args:
        scores: `USER_ID`, `CHURN_PROBABILITY` and `VALUE_AT_RISK` of all users.
        churn: the order and the shares; a share of n users is rounded to whole users.
        value: costs and budget of a campaign.
    """
    by_value = _is_by_value(scores, churn)
    ranked = _ranked(scores, by_value)
    shares = [round(share * len(ranked)) for share in churn.tiers]
    high = shares[0] if value.budget is None else _affordable(ranked, value)
    medium = max(high, shares[1])
    return TierBounds(by_value, _place(ranked, high), _place(ranked, medium))


def published_bounds(scores: pl.DataFrame, churn: Churn) -> TierBounds | None:
    """Where published tiers end; None if they do not follow the order that the settings have now.

    Args:
        scores: published ones of all users, or of the group within which tiers were given.
        churn: the order.

    >>> scores = pl.DataFrame({t.USER_ID: ["a", "b"], t.CHURN_PROBABILITY: [0.9, 0.2], t.RISK_TIER: ["high", "low"]})
    >>> published_bounds(scores, Churn(tiers_by="probability")).high.user_id
    'a'
    >>> published_bounds(scores.with_columns(pl.col(t.RISK_TIER).reverse()), Churn(tiers_by="probability")) is None
    True
    """
    by_value = _is_by_value(scores, churn)
    ranked = _ranked(scores, by_value)
    places = ranked.select(_TIER_PLACE).to_series()
    if not places.is_sorted():
        return None
    return TierBounds(by_value, *(_place(ranked, int((places <= tier).sum())) for tier in (0, 1)))


def list_order(scores: pl.DataFrame, churn: Churn) -> pl.DataFrame:
    """Published scores sorted by tier, then by what orders the list, probability and user id."""
    probability = -pl.col(t.CHURN_PROBABILITY)
    weight = -pl.col(t.VALUE_AT_RISK) if churn.tiers_by == "value_at_risk" else probability
    return scores.sort(_TIER_PLACE, weight, probability, t.USER_ID, nulls_last=True)


def assign_tiers(scores: pl.DataFrame, bounds: TierBounds) -> pl.DataFrame:
    """Add the column `RISK_TIER` to all users' rows or to one bucket's.

    >>> scores = pl.DataFrame({t.USER_ID: ["a", "b", "c"], t.CHURN_PROBABILITY: [0.9, 0.2, 0.9]})
    >>> bounds = TierBounds(by_value=False, high=Place(0.9, 0.9, "a"), medium=Place(0.9, 0.9, "c"))
    >>> assign_tiers(scores, bounds)[t.RISK_TIER].to_list()
    ['high', 'low', 'medium']
    """
    high, medium = (_is_within(place, bounds.by_value) for place in (bounds.high, bounds.medium))
    tier = pl.when(high).then(pl.lit(HIGH)).when(medium).then(pl.lit(MEDIUM)).otherwise(pl.lit(LOW))
    return scores.with_columns(tier.alias(t.RISK_TIER))


def _is_by_value(scores: pl.DataFrame, churn: Churn) -> bool:
    return churn.tiers_by == "value_at_risk" and scores[t.VALUE_AT_RISK].null_count() < len(scores)


def _affordable(ranked: pl.DataFrame, value: Value) -> int:
    """How many users from the top the budget covers at expected cost: the contact, and the offer where it is taken."""
    probability = pl.col(t.CHURN_PROBABILITY)
    takes = probability * value.acceptance + (1 - probability)
    spent = ranked.select((value.contact_cost + value.offer_cost * takes).cum_sum()).to_series()
    return int((spent <= value.budget).sum())


def _ranked(scores: pl.DataFrame, by_value: bool) -> pl.DataFrame:
    """The rows in the order of the list, with the column `weight` that decides it first."""
    weighted = scores.with_columns(_weight(by_value).alias(_WEIGHT))
    return weighted.sort([_WEIGHT, t.CHURN_PROBABILITY, t.USER_ID], descending=[True, True, False])


def _place(ranked: pl.DataFrame, count: int) -> Place | None:
    if count == 0:
        return None
    return Place(*ranked.select(_WEIGHT, t.CHURN_PROBABILITY, t.USER_ID).row(count - 1))


def _weight(by_value: bool) -> pl.Expr:
    return pl.col(t.VALUE_AT_RISK).fill_null(_LAST) if by_value else pl.col(t.CHURN_PROBABILITY)


def _is_within(place: Place | None, by_value: bool) -> pl.Expr:
    """Whether a row comes no later than `place` in the order."""
    if place is None:
        return pl.lit(False)
    weight, probability, user_id = _weight(by_value), pl.col(t.CHURN_PROBABILITY), pl.col(t.USER_ID)
    tied = (probability > place.probability) | ((probability == place.probability) & (user_id <= place.user_id))
    return (weight > place.weight) | ((weight == place.weight) & tied)
