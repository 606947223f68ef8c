"""Tiers per group: a budget is spent once, however many groups share it."""

import numpy as np
import polars as pl

from everstay import tables as t
from everstay.scoring.even_tiers import EVERYBODY, assign_group_tiers, group_bounds, group_of
from everstay.scoring.tiers import published_bounds
from everstay.settings import Churn, Settings, Value

VALUE = Value(contact_cost=1.0, offer_cost=10.0, acceptance_alpha=1.0, acceptance_beta=1.0, budget=34.0)


def test_the_published_tiers_of_a_group_say_where_they_end():
    generator = np.random.default_rng(0)
    names, probability = [f"u{number:03}" for number in range(300)], generator.beta(1.5, 6, 300).round(2)  # ties
    value = generator.gamma(2, 50, 300) * np.where(np.arange(300) < 150, 1, 4)
    scores = pl.DataFrame(
        {t.USER_ID: names, t.CHURN_PROBABILITY: probability, t.VALUE_AT_RISK: (probability * value).round()}
    )
    bands = ["young"] * 150 + ["old"] * 150
    users = t.USERS.conform(pl.DataFrame({t.USER_ID: names, t.AGE_BAND: bands}))
    for attribute in (None, t.AGE_BAND):
        bounds = group_bounds(scores, users, attribute, Settings())
        listed = assign_group_tiers(scores, users, attribute, bounds)
        for user, group in (("u000", "young"), ("u299", "old")):
            alike = group_of(user, listed, users, attribute)
            assert len(alike) == (150 if attribute else 300)
            assert published_bounds(alike, Churn()) == bounds[group if attribute else EVERYBODY]
    assert published_bounds(listed, Churn()) is None  # over all groups they follow no order


def test_a_budget_is_split_by_the_groups_shares_of_the_users():
    names = [f"u{number}" for number in range(8)]
    scores = pl.DataFrame({t.USER_ID: names, t.CHURN_PROBABILITY: 0.5, t.VALUE_AT_RISK: 9.0})
    users = t.USERS.conform(pl.DataFrame({t.USER_ID: names, t.AGE_BAND: ["old"] * 6 + ["young"] * 2}))
    bounds = group_bounds(scores, users, t.AGE_BAND, Settings(value=VALUE))
    tiers = assign_group_tiers(scores, users, t.AGE_BAND, bounds)[t.RISK_TIER]
    # a contact costs 1 and the offer 10 to three in four: 8.5, so that the budget is enough for four of the eight
    assert ((tiers[:6] == "high").sum(), (tiers[6:] == "high").sum()) == (3, 1)
