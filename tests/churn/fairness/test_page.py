"""The page names every group, refuses small ones, tells the price, and escapes what a shop calls its groups."""

import polars as pl

from everstay import tables as t
from everstay.churn.fairness import fairness_page
from everstay.churn.rows import ChurnRows
from everstay.settings import Fairness, Settings


def page(rows: ChurnRows, users: pl.DataFrame | None, settings: Settings) -> str:
    return fairness_page("blend", rows.test, rows.test["recency_days"].to_numpy() / 100, users, settings)


def test_groups_are_judged_or_refused(churn_rows: ChurnRows, churn_settings: Settings) -> None:
    bands = ["<35", "35+"] * 195 + ["rare"] * 10
    users = t.USERS.conform(pl.DataFrame({t.USER_ID: [f"u{user}" for user in range(400)], t.AGE_BAND: bands}))
    settings = churn_settings.model_copy(update={"fairness": Fairness(mitigate="age_band")})
    html = page(churn_rows, users, settings)
    assert "&lt;35" in html
    assert "<35" not in html
    assert html.count("not judged: fewer than 50 users") == 1
    assert "Not known of any user, and not judged: income_band, household_size." in html
    assert "It is on (fairness.mitigate in the settings)" in html


def test_a_shop_that_declares_nothing_gets_a_note(churn_rows: ChurnRows, churn_settings: Settings) -> None:
    html = page(churn_rows, None, churn_settings)
    assert "Not known of any user, and not judged: age_band, income_band, household_size." in html
    assert "<h2>" not in html
