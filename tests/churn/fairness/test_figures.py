"""Figures of groups by hand, small groups refused, intervals around Fairlearn's values."""

import numpy as np
import polars as pl
import pytest

from everstay import tables as t
from everstay.churn.fairness import judge_attribute, mitigation_price, riskiest, riskiest_of_each
from everstay.churn.fairness.figures import (
    COMPARED,
    FIGURES,
    RIGHT_SCORES_ERROR,
    UNKNOWN,
    WARNED,
    groups_of,
    share_of,
)

BOOTSTRAP = {"resamples": 200, "confidence": 0.9, "seed": 1}


def shop(users: int = 600) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Old users leave twice as often, and a few are of a third group."""
    generator = np.random.default_rng(0)
    groups = np.array(["old", "young"] * (users // 2))
    groups[:9] = "rare"
    risk = np.where(groups == "old", 0.4, 0.2)
    probability = np.clip(risk + generator.normal(0, 0.1, users), 0.01, 0.99)
    return groups.tolist(), (generator.random(users) < probability).astype(float), probability


def test_figures_are_those_of_the_group_alone() -> None:
    groups, churned, probability = shop()
    warned = riskiest(probability, 0.2)
    found = judge_attribute("age_band", groups, churned, probability, warned, min_users=50, bootstrap=BOOTSTRAP)
    assert found.users["rare"] == 9
    assert found.refused == ["rare"]
    old = np.array(groups) == "old"
    figures = found.figures["old"]
    assert set(figures) == set(FIGURES)
    assert figures["base_rate"].value == pytest.approx(churned[old].mean())
    assert figures["selection_rate"].value == pytest.approx(warned[old].mean())
    assert figures["true_positive_rate"].value == pytest.approx(warned[old & (churned == 1)].mean())
    assert figures["false_positive_rate"].value == pytest.approx(warned[old & (churned == 0)].mean())
    unforeseen = (churned - probability)[old].mean()
    assert figures["calibration_in_the_large"].value == pytest.approx(unforeseen)
    for interval in figures.values():
        assert interval.low <= interval.value + 0.05
        assert interval.low < interval.high
    gap = figures["selection_rate"].value - found.figures["young"]["selection_rate"].value
    assert found.differences["selection_rate"] == pytest.approx(abs(gap))


@pytest.mark.parametrize("name", ["base_rate", *WARNED])
def test_our_statistics_with_weights_equal_repeated_rows(name: str) -> None:
    generator = np.random.default_rng(2)
    y, warned = (generator.random((2, 40)) < 0.5).astype(float)
    weights = generator.integers(0, 4, (3, 40)).astype(float)
    repeated = [np.repeat(np.arange(40), row.astype(int)) for row in weights]
    expected = [float(share_of(name)(y[rows], warned[rows], None)) for rows in repeated]
    np.testing.assert_allclose(share_of(name)(y, warned, weights), expected)


def test_a_rate_among_a_handful_of_leavers_is_not_told() -> None:
    churned = np.array([1.0] * 9 + [0.0] * 91 + [1.0] * 10 + [0.0] * 90)
    probability, groups = np.linspace(0.9, 0.1, 200), ["few"] * 100 + ["enough"] * 100
    found = judge_attribute(
        "age_band", groups, churned, probability, riskiest(probability, 0.2), min_users=50, bootstrap=BOOTSTRAP
    )
    assert set(FIGURES) - set(found.figures["few"]) == {"true_positive_rate"}
    assert set(found.figures["enough"]) == set(FIGURES)
    assert set(COMPARED) - set(found.differences) == {"true_positive_rate"}  # of one group alone there is none


@pytest.mark.parametrize("stayers", [0, 9])
def test_a_rate_among_a_handful_of_stayers_is_not_told(stayers: int) -> None:
    churned = np.array([0.0] * stayers + [1.0] * (100 - stayers) + [1.0] * 90 + [0.0] * 10)
    probability, groups = np.linspace(0.9, 0.1, 200), ["few"] * 100 + ["enough"] * 100
    found = judge_attribute(
        "age_band", groups, churned, probability, riskiest(probability, 0.2), min_users=50, bootstrap=BOOTSTRAP
    )
    assert set(FIGURES) - set(found.figures["few"]) == {"false_positive_rate"}
    assert set(found.figures["enough"]) == set(FIGURES)
    assert set(COMPARED) - set(found.differences) == {"false_positive_rate"}


def test_right_scores_are_calibrated_in_small_groups_as_in_large_ones() -> None:
    groups, sizes = ["small"] * 60 + ["large"] * 2_000, {"small": 60, "large": 2_000}
    draws, covered = 40, dict.fromkeys(sizes, 0)
    for seed in range(draws):
        generator = np.random.default_rng(seed)
        probability = generator.beta(1.5, 4, len(groups))
        churned = (generator.random(len(groups)) < probability).astype(float)
        warned = riskiest(probability, 0.2)
        found = judge_attribute("age_band", groups, churned, probability, warned, min_users=50, bootstrap=BOOTSTRAP)
        for name in sizes:
            interval = found.figures[name]["calibration_in_the_large"]
            covered[name] += interval.low <= 0 <= interval.high
            error, right = (
                found.figures[name][figure] for figure in ("expected_calibration_error", RIGHT_SCORES_ERROR)
            )
            assert error.value < 2 * right.value
        small, large = (found.figures[name]["calibration_in_the_large"].value for name in ("small", "large"))
        assert found.differences["calibration_in_the_large"] == pytest.approx(abs(small - large))
        assert "expected_calibration_error" not in found.differences
    assert min(covered.values()) >= 0.8 * draws  # intervals of 90%


def test_understated_risk_is_above_zero() -> None:
    groups, churned, probability = shop(2_000)
    told = np.where(np.array(groups) == "old", probability / 2, probability)
    found = judge_attribute("age_band", groups, churned, told, riskiest(told, 0.2), min_users=50, bootstrap=BOOTSTRAP)
    assert found.figures["old"]["calibration_in_the_large"].low > 0.1
    assert found.differences["calibration_in_the_large"] > 0.1


def test_all_groups_too_small_leave_no_figures() -> None:
    groups, churned, probability = shop(40)
    found = judge_attribute(
        "age_band", groups, churned, probability, riskiest(probability, 0.2), min_users=50, bootstrap=BOOTSTRAP
    )
    assert (found.figures, found.differences) == ({}, {})
    assert found.refused == ["old", "rare", "young"]


def test_evening_out_warns_about_the_same_share_of_every_group_at_a_price() -> None:
    groups, churned, probability = shop(2_000)
    plain, even = riskiest(probability, 0.2), riskiest_of_each(probability, groups, 0.2)
    names = np.array(groups)
    rates = [even[names == name].mean() for name in ("old", "young")]
    assert rates == pytest.approx([0.2, 0.2], abs=0.002)
    assert plain[names == "old"].mean() > 0.3
    price = mitigation_price("age_band", groups, churned, probability, 0.2, **BOOTSTRAP)
    assert price.found == pytest.approx((churned * plain).sum() / churned.sum())
    assert price.difference.value == pytest.approx(price.found_even - price.found)
    assert price.difference.low < price.difference.value < price.difference.high
    assert price.found_even < price.found


def test_users_that_are_not_declared_are_a_group_of_their_own() -> None:
    declared = t.USERS.conform(pl.DataFrame({t.USER_ID: ["a", "b"], t.AGE_BAND: ["old", None]}))
    assert groups_of(pl.Series(["b", "c", "a"]), declared, t.USER_ID, t.AGE_BAND) == [UNKNOWN, UNKNOWN, "old"]
