"""Tiers per group: a budget is spent once, however many groups share it."""

import polars as pl

from everstay import tables as t
from everstay.scoring.even_tiers import assign_group_tiers, group_bounds
from everstay.settings import Settings, Value

VALUE = Value(contact_cost=1.0, offer_cost=10.0, acceptance_alpha=1.0, acceptance_beta=1.0, budget=34.0)


def test_a_budget_is_split_by_the_groups_shares_of_the_users():
    names = [f"u{number}" for number in range(8)]
    scores = pl.DataFrame({t.USER_ID: names, t.CHURN_PROBABILITY: 0.5, t.VALUE_AT_RISK: 9.0})
    users = t.USERS.conform(pl.DataFrame({t.USER_ID: names, t.AGE_BAND: ["old"] * 6 + ["young"] * 2}))
    bounds = group_bounds(scores, users, t.AGE_BAND, Settings(value=VALUE))
    tiers = assign_group_tiers(scores, users, t.AGE_BAND, bounds)[t.RISK_TIER]
    # a contact costs 1 and the offer 10 to three in four: 8.5, so that the budget is enough for four of the eight
    assert ((tiers[:6] == "high").sum(), (tiers[6:] == "high").sum()) == (3, 1)
