"""Money of a candidate: worth by hand, a campaign chosen on validation that keeps the budget."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from everstay import tables as t
from everstay.churn.money import draw_profit, judge_money, worth
from everstay.churn.rows import ChurnRows, outcomes
from everstay.settings import Settings, Value

VALUE = Value(horizon_days=28, margin=0.5, contact_cost=0.1, offer_cost=1.0)


@pytest.fixture(scope="module")
def rows(churn_rows: ChurnRows) -> ChurnRows:
    money = (pl.lit(3640.0).alias("spend_364d"), pl.lit(364.0).alias("tenure_days"))
    parts = ("train", "between", "validation", "test")
    return ChurnRows(*(getattr(churn_rows, part).with_columns(money) for part in parts))


def test_worth_is_the_margin_on_the_pace_of_the_last_year() -> None:
    users = pl.DataFrame({"spend_364d": [3640.0, 280.0, 50.0, None], "tenure_days": [900.0, 56.0, 3.0, 100.0]})
    assert worth(users, VALUE).tolist() == [140.0, 70.0, 25.0, 0.0]


def test_a_perfect_model_wins_back_what_can_be_won(rows: ChurnRows, churn_settings: Settings) -> None:
    settings = churn_settings.model_copy(update={"value": VALUE})
    sure = [0.01 + 0.98 * outcomes(part) for part in (rows.validation, rows.test)]
    campaign = judge_money(rows, *sure, settings)
    left = outcomes(rows.test).mean()
    assert campaign.metrics["test_campaign_share"].value == pytest.approx(left)
    assert campaign.metrics["test_campaign_profit"].value == pytest.approx(left * (0.3 * 139 - 0.1))
    assert campaign.metrics["test_empc"].value == pytest.approx(left * (0.3 * 139 - 0.1), rel=1e-3)
    figure = draw_profit(campaign, rows.test, sure[1], VALUE)
    assert figure.axes[0].lines[0].get_ydata().max() == pytest.approx(left * (0.3 * 139 - 0.1))


def test_the_budget_of_a_campaign_is_kept_on_validation(rows: ChurnRows, churn_settings: Settings) -> None:
    tight = VALUE.model_copy(update={"budget": 20.0})
    settings = churn_settings.model_copy(update={"value": tight})
    generator = np.random.default_rng(0)
    early, late = generator.random(rows.validation.height), generator.random(rows.test.height)
    free = judge_money(rows, early, late, churn_settings.model_copy(update={"value": VALUE}))
    bound = judge_money(rows, early, late, settings)
    assert bound.threshold > free.threshold
    assert bound.metrics["test_campaign_share"].value < free.metrics["test_campaign_share"].value
    few = judge_money(replace(rows, share=0.5), early, late, settings)  # the budget is for twice as many as are seen
    assert few.threshold > bound.threshold
    part = rows.validation.head(rows.validation.height // 2)  # a third of the users chooses, say, and all are judged
    fewer = judge_money(replace(rows, validation=part), early[: part.height], late, settings)
    share = "test_campaign_share"
    assert fewer.metrics[share].value == pytest.approx(bound.metrics[share].value, abs=0.05)


def test_what_the_test_users_did_changes_no_threshold(rows: ChurnRows, churn_settings: Settings) -> None:
    settings = churn_settings.model_copy(update={"value": VALUE})
    generator = np.random.default_rng(0)
    early, late = generator.random(rows.validation.height), generator.random(rows.test.height)
    other = replace(rows, test=rows.test.with_columns(~pl.col(t.CHURNED)))
    chosen, again = (judge_money(part, early, late, settings).threshold for part in (rows, other))
    assert chosen == again


def test_a_campaign_that_never_pays_contacts_nobody(rows: ChurnRows, churn_settings: Settings) -> None:
    dear = churn_settings.model_copy(update={"value": VALUE.model_copy(update={"offer_cost": 500.0})})
    chance = np.full(rows.validation.height, 0.5), np.full(rows.test.height, 0.5)
    campaign = judge_money(rows, *chance, dear)
    assert campaign.threshold == np.inf
    assert campaign.metrics["test_campaign_profit"].value == 0.0
    assert campaign.metrics["test_empc"].value == 0.0
