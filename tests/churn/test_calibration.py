"""The calibrator keeps the order, finds a planted curve, and stays sane where scores are useless."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everstay import tables as t
from everstay.churn.calibration import CALIBRATORS, BetaCalibrator, Calibrator, IsotonicCalibrator, choose_calibrator
from everstay.churn.fit import fit_candidate
from everstay.churn.rows import ChurnRows
from everstay.settings import Training


def planted(intercept: float, slope: float, n: int = 50_000) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    scores = generator.normal(size=n)
    chance = 1 / (1 + np.exp(-(intercept + slope * scores)))
    return scores, (generator.random(n) < chance).astype(np.float64)


def test_a_planted_curve_is_found() -> None:
    calibrator = Calibrator.fit(*planted(-2.0, 0.7))
    assert calibrator.intercept == pytest.approx(-2.0, abs=0.05)
    assert calibrator.slope == pytest.approx(0.7, abs=0.05)


def test_few_outcomes_make_nobody_certain() -> None:
    """Platt's targets: (leavers + 1) / (leavers + 2) and 1 / (stayers + 2)."""
    scores = np.array([-1.0, -1, 1, 1, 1])
    calibrator = Calibrator.fit(scores, (scores > 0).astype(np.float64))
    assert calibrator.probability(np.array([-1.0, 1.0])) == pytest.approx([1 / 4, 4 / 5], abs=1e-3)


def test_probabilities_add_up_to_the_outcomes() -> None:
    scores, churned = planted(-1.0, 1.0)
    assert Calibrator.fit(scores, churned).probability(scores).mean() == pytest.approx(churned.mean(), abs=1e-3)


@settings(deadline=None)
@given(st.lists(st.floats(-30, 30), min_size=4, max_size=30), st.integers(0, 2**31))
def test_order_never_changes(scores: list[float], seed: int) -> None:
    values = np.sort(np.array(scores))
    churned = np.random.default_rng(seed).integers(0, 2, len(values)).astype(np.float64)
    assert Calibrator.fit(values, churned).slope > 0
    for kind in CALIBRATORS.values():
        odds = kind.fit(values, churned).log_odds(values)
        assert np.isfinite(odds).all()
        assert (np.diff(odds) >= -1e-12).all()


def test_scores_that_rank_the_wrong_way_become_flat() -> None:
    scores, churned = planted(-1.0, 1.0)
    probability = Calibrator.fit(-scores, churned).probability(-scores)
    assert np.ptp(probability) < 0.01
    assert probability.mean() == pytest.approx(churned.mean(), abs=0.01)


@pytest.mark.parametrize("kind", CALIBRATORS.values(), ids=CALIBRATORS)
@pytest.mark.parametrize("noise", [0.0, 1e-15, 1e-6])
def test_scores_that_are_all_the_same_give_the_base_rate_to_a_refit_that_tells_users_apart(
    kind: type[Calibrator] | type[BetaCalibrator] | type[IsotonicCalibrator], noise: float
) -> None:
    generator = np.random.default_rng(3)
    churned = (generator.random(300) < 0.15).astype(np.float64)
    calibrator = kind.fit(-1.7 + noise * generator.normal(size=300), churned)
    probability = calibrator.probability(np.linspace(-8.0, 8.0, 50))
    assert np.isfinite(calibrator.log_odds(np.linspace(-8.0, 8.0, 50))).all()
    assert probability == pytest.approx(np.full(50, churned.mean()), abs=0.01)


def test_a_steep_curve_of_close_scores_is_still_found() -> None:
    scores, churned = planted(-2.0, 0.7)
    assert Calibrator.fit(1 + 0.01 * scores, churned).slope == pytest.approx(70, rel=0.05)


def test_the_kind_is_chosen_that_foretells_what_it_has_not_seen() -> None:
    scores, _ = planted(0.0, 1.0)
    parts, generator = np.arange(len(scores)) % 3, np.random.default_rng(1)
    chances = {
        Calibrator: 1 / (1 + np.exp(1 - scores)),
        BetaCalibrator: 1 / (1 + np.exp(2 - 3 * np.logaddexp(0, scores - 1))),  # flat below, steep above
        IsotonicCalibrator: np.where(scores < 0.5, 0.1, 0.6),
    }
    for kind, chance in chances.items():
        churned = (generator.random(len(scores)) < chance).astype(np.float64)
        chosen = choose_calibrator(scores, churned, parts, np.arange(len(scores)))
        assert type(chosen) is kind
        assert np.abs(chosen.probability(scores) - chance).mean() < 0.01


def test_a_curve_that_only_fits_the_noise_is_not_chosen() -> None:
    scores, churned = planted(-0.5, 1.0, 2_400)
    draws = [
        choose_calibrator(scores[at : at + 200], churned[at : at + 200], np.arange(200) % 3, np.arange(200))
        for at in range(0, 2_400, 200)
    ]
    assert sum(type(chosen) is Calibrator for chosen in draws) >= 9


def test_rows_of_a_user_say_no_more_than_one_of_them() -> None:
    scores, churned = planted(-0.5, 1.0, 8_000)
    users = [np.arange(at, at + 200) for at in range(0, 8_000, 200)]

    def others(times: int) -> int:
        """How often noise is taken for another curve, when every row comes so many times."""
        drawn = [np.repeat(rows, times) for rows in users]
        return sum(
            type(choose_calibrator(scores[rows], churned[rows], rows % 3, rows)) is not Calibrator for rows in drawn
        )

    assert others(9) <= others(1)


def test_beta_with_equal_weights_is_platt_again() -> None:
    scores, churned = planted(-1.0, 0.5)
    beta, platt = BetaCalibrator.fit(scores, churned), Calibrator.fit(scores, churned)
    assert np.abs(beta.probability(scores) - platt.probability(scores)).mean() < 0.01
    same = BetaCalibrator(platt.intercept, platt.slope, 0.0, 1.0, 1.0)
    np.testing.assert_allclose(same.log_odds(scores), platt.log_odds(scores), atol=1e-12)


def test_isotonic_levels_are_the_shares_of_its_steps() -> None:
    calibrator = IsotonicCalibrator.fit(np.array([1.0, 2, 3, 4]), np.array([0.0, 1, 0, 1]))
    assert calibrator.middles == (1.0, 2.5, 4.0)
    np.testing.assert_allclose(1 / (1 + np.exp(-np.array(calibrator.levels))), [1 / 3, 1 / 2, 2 / 3])
    assert IsotonicCalibrator.fit(np.zeros(2), np.array([0.0, 1])).probability(np.array([-1.0, 9.0])).tolist() == [
        0.5,
        0.5,
    ]


@pytest.mark.parametrize(("step_days", "kind"), [(14, "platt"), (27, "platt"), (28, "isotonic")])
def test_a_user_whose_labels_overlap_is_left_out_whole(
    churn_rows: ChurnRows, tmp_path: Path, step_days: int, kind: str
) -> None:
    """The same users leave and stay at each as-of: a curve that knows them seems the best, if the windows are apart."""
    few = churn_rows.validation.head(60)
    again = (few.with_columns(pl.col(t.AS_OF) + timedelta(days=ahead * step_days)) for ahead in range(3))
    rows = replace(churn_rows, validation=pl.concat(again))
    assert fit_candidate("recency", rows, Training(), tmp_path).params["calibrator"] == kind
