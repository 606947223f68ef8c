import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from everstay import tables as t
from everstay.scoring import TierBounds, assign_tiers, tier_bounds
from everstay.settings import Churn

CHURN = Churn(high_risk_share=0.2, medium_risk_share=0.5)


@given(st.lists(st.sampled_from([0.0, 0.1, 0.5, 1.0]), max_size=30))
def test_tiers_hold_their_shares_even_with_ties(probabilities: list[float]):
    users = [f"u{number}" for number in range(len(probabilities))]
    scores = pl.DataFrame(
        {t.USER_ID: users, t.CHURN_PROBABILITY: probabilities},
        schema={t.USER_ID: pl.String, t.CHURN_PROBABILITY: pl.Float64},
    )
    tiers = assign_tiers(scores, tier_bounds(scores, CHURN))[t.RISK_TIER].to_list()
    ranked = sorted(zip(probabilities, users, tiers, strict=True), key=lambda row: (-row[0], row[1]))
    high, medium = round(0.2 * len(users)), round(0.5 * len(users))
    expected = ["high"] * high + ["medium"] * (medium - high) + ["low"] * (len(users) - medium)
    assert [tier for _, _, tier in ranked] == expected


def test_a_shop_too_small_for_a_tier_has_none():
    scores = pl.DataFrame({t.USER_ID: ["a"], t.CHURN_PROBABILITY: [0.9]})
    assert tier_bounds(scores, CHURN) == TierBounds(None, None)
    assert assign_tiers(scores, TierBounds(None, None))[t.RISK_TIER].to_list() == ["low"]
