"""The page names every group, refuses small ones, tells the price, and escapes what a shop calls its groups."""

import numpy as np
import polars as pl
import pytest

from everstay import tables as t
from everstay.churn.fairness import fairness_page
from everstay.churn.fairness.figures import COMPARED, FIGURES
from everstay.churn.money import worth
from everstay.churn.rows import ChurnRows
from everstay.features.slices import label_delay
from everstay.settings import Fairness, Settings, Value


def page(rows: ChurnRows, users: pl.DataFrame | None, settings: Settings) -> str:
    return fairness_page("blend", rows, rows.test["recency_days"].to_numpy() / 100, users, settings)


def warned_share(html: str, group: str) -> float:
    """The selection rate that the page tells of a group."""
    row = next(row for row in html.split("<tr>") if row.startswith(f"<td>{group}<"))
    return float(row.split('<td class="number">')[2 + FIGURES.index("selection_rate")].split(" ")[0])


def test_groups_are_judged_or_refused(churn_rows: ChurnRows, churn_settings: Settings) -> None:
    bands = ["<35", "35+"] * 195 + ["rare"] * 10
    users = t.USERS.conform(pl.DataFrame({t.USER_ID: [f"u{user}" for user in range(400)], t.AGE_BAND: bands}))
    settings = churn_settings.model_copy(update={"fairness": Fairness(mitigate="age_band")})
    html = page(churn_rows, users, settings)
    assert "&lt;35" in html
    assert "<35" not in html
    assert html.count("not evaluated: fewer than 50 users") == 1
    young = next(row for row in html.split("<tr>") if row.startswith("<td>&lt;35")).split('<td class="number">')[2:]
    told = dict(zip(FIGURES, young, strict=True))
    assert told["calibration_in_the_large"][0] in "+-"
    assert all(told[figure][0] == "0" for figure in set(FIGURES) - {"calibration_in_the_large"})
    largest = html.split("<th>largest difference")[1].split("</table>")[0].split('<td class="number">')
    assert [cell.split("<")[0].strip() != "" for cell in largest[1:]] == [figure in COMPARED for figure in FIGURES]
    assert "Unknown for every user, so not evaluated: income_band, household_size." in html
    mature = churn_rows.test[t.AS_OF].max() + label_delay(churn_settings.churn)
    assert f"churn labels: mature since {mature:%Y-%m-%d}." in html
    assert "This mitigation is on (fairness.mitigate in the settings)" in html


def test_a_group_of_leavers_alone_has_no_rate_of_its_stayers(churn_rows: ChurnRows, churn_settings: Settings) -> None:
    left = churn_rows.test[t.CHURNED].to_numpy()
    assert min(left.sum(), (~left).sum()) >= 10
    bands = np.where(left, "left", "stayed")
    users = t.USERS.conform(churn_rows.test.select(t.USER_ID, pl.Series(t.AGE_BAND, bands)))
    settings = churn_settings.model_copy(update={"fairness": Fairness(min_users=10)})
    html = page(churn_rows, users, settings)
    assert html.count("too few stayers") == html.count("too few leavers") == 1
    assert "nan" not in html


def test_who_is_warned_about_is_who_the_list_would_hold(churn_rows: ChurnRows, churn_settings: Settings) -> None:
    test = churn_rows.test
    by_worth, by_risk = worth(test, churn_settings.value), test["recency_days"].to_numpy()
    is_dear, is_rare = by_worth > np.median(by_worth), by_risk > np.quantile(by_risk, 0.75)
    bands = np.where(is_dear, "dear", np.where(is_rare, "rare", "cheap"))
    users = t.USERS.conform(test.select(t.USER_ID, pl.Series(t.AGE_BAND, bands)))

    def rates(html: str) -> list[float]:
        return [warned_share(html, group) for group in ("cheap", "dear", "rare")]

    def listed(risk: np.ndarray, share: float) -> list[float]:
        first = np.isin(np.arange(len(risk)), np.argsort(-risk, kind="stable")[: round(share * len(risk))])
        return pytest.approx([first[bands == band].mean() for band in ("cheap", "dear", "rare")], abs=6e-4)

    by_value = churn_settings.model_copy(update={"fairness": Fairness(min_users=10)})
    assert rates(page(churn_rows, users, by_value)) == listed(by_risk * by_worth, 0.1)
    churn = churn_settings.churn.model_copy(update={"tiers_by": "probability"})
    by_probability = by_value.model_copy(update={"churn": churn})
    assert rates(page(churn_rows, users, by_probability)) == listed(by_risk, 0.1)
    value = Value(budget=20.0, contact_cost=1.0, offer_cost=0.0)
    with_budget = by_probability.model_copy(update={"value": value})
    assert rates(page(churn_rows, users, with_budget)) == listed(by_risk, 20 / test.height)
    evened = by_value.model_copy(update={"fairness": Fairness(min_users=10, mitigate="age_band")})
    assert rates(page(churn_rows, users, evened)) == pytest.approx([0.1] * 3, abs=0.02)


def test_a_shop_that_declares_nothing_gets_a_note(churn_rows: ChurnRows, churn_settings: Settings) -> None:
    html = page(churn_rows, None, churn_settings)
    assert "Unknown for every user, so not evaluated: age_band, income_band, household_size." in html
    assert "<h2>" not in html
