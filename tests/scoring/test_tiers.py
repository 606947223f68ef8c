import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everstay import tables as t
from everstay.scoring import TierBounds, assign_tiers, list_order, tier_bounds
from everstay.settings import Churn, Value

CHURN = Churn(high_risk_share=0.2, medium_risk_share=0.5)
BY_PROBABILITY = Churn(high_risk_share=0.2, medium_risk_share=0.5, tiers_by="probability")
VALUE = Value(contact_cost=1.0, offer_cost=10.0, acceptance_alpha=1.0, acceptance_beta=1.0)


def list_of(probabilities: list[float], at_risk: list[float | None]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            t.USER_ID: [f"u{number:02d}" for number in range(len(probabilities))],
            t.CHURN_PROBABILITY: probabilities,
            t.VALUE_AT_RISK: at_risk,
        },
        schema={t.USER_ID: pl.String, t.CHURN_PROBABILITY: pl.Float64, t.VALUE_AT_RISK: pl.Float64},
    )


def tiers_of(scores: pl.DataFrame, churn: Churn = CHURN, value: Value = VALUE) -> list[str]:
    return assign_tiers(scores, tier_bounds(scores, churn, value))[t.RISK_TIER].to_list()


@given(st.lists(st.sampled_from([0.0, 0.1, 0.5, 1.0]), max_size=30))
def test_tiers_hold_their_shares_even_with_ties(probabilities: list[float]):
    scores = list_of(probabilities, [None] * len(probabilities))
    users, tiers = scores[t.USER_ID].to_list(), tiers_of(scores)
    ranked = sorted(zip(probabilities, users, tiers, strict=True), key=lambda row: (-row[0], row[1]))
    high, medium = round(0.2 * len(users)), round(0.5 * len(users))
    expected = ["high"] * high + ["medium"] * (medium - high) + ["low"] * (len(users) - medium)
    assert [tier for _, _, tier in ranked] == expected


def test_a_shop_too_small_for_a_tier_has_none():
    scores = list_of([0.9], [None])
    assert tier_bounds(scores, CHURN, VALUE) == TierBounds(False, None, None)
    assert tiers_of(scores) == ["low"]


def test_the_list_is_ordered_by_value_at_risk_and_unknown_values_come_last():
    scores = list_of([0.1, 0.2, 0.3, 0.9, 0.4], [50.0, 10.0, 20.0, None, 1.0])
    assert tiers_of(scores) == ["high", "low", "medium", "low", "low"]
    assert tiers_of(scores, BY_PROBABILITY) == ["low", "low", "low", "high", "medium"]


def test_a_published_list_begins_with_what_is_known_to_be_at_risk():
    tiers = pl.Series(t.RISK_TIER, ["low", "high", "high", "high", "medium", "high"])
    scores = list_of([0.9, 0.9, 0.1, 0.2, 0.5, 0.2], [9.0, None, 3.0, 5.0, None, 5.0]).with_columns(tiers)
    assert list_order(scores, CHURN)[t.USER_ID].to_list() == ["u03", "u05", "u02", "u01", "u04", "u00"]


def test_a_list_by_probability_begins_with_the_likeliest_to_leave():
    tiers = pl.Series(t.RISK_TIER, ["high", "low", "high", "high"])
    scores = list_of([0.6, 0.1, 0.9, 0.7], [9.0, 8.0, 1.0, None]).with_columns(tiers)
    assert list_order(scores, BY_PROBABILITY)[t.USER_ID].to_list() == ["u02", "u03", "u00", "u01"]


@pytest.mark.parametrize(("budget", "users"), [(1.0, 0), (8.5, 1), (17.5, 2), (17.4, 1), (1_000.0, 5)])
def test_tier_high_ends_where_the_budget_does(budget: float, users: int):
    scores = list_of([0.5, 0.4, 0.3, 0.2, 0.1], [5.0, 4.0, 3.0, 2.0, 1.0])
    tiers = tiers_of(scores, value=VALUE.model_copy(update={"budget": budget}))
    # a contact costs 1, the offer 10 to who stays (1 - p) and to half of who leaves (p / 2): 8.5, 9, 9.5, 10, 10.5
    assert tiers.count("high") == users
    assert np.array(tiers)[:users].tolist() == ["high"] * users
