"""The calibrator keeps the order, finds a planted curve, and stays sane where scores are useless."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everstay.churn.calibration import Calibrator


def planted(intercept: float, slope: float, n: int = 50_000) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    scores = generator.normal(size=n)
    chance = 1 / (1 + np.exp(-(intercept + slope * scores)))
    return scores, (generator.random(n) < chance).astype(np.float64)


def test_a_planted_curve_is_found() -> None:
    calibrator = Calibrator.fit(*planted(-2.0, 0.7))
    assert calibrator.intercept == pytest.approx(-2.0, abs=0.05)
    assert calibrator.slope == pytest.approx(0.7, abs=0.05)


def test_probabilities_add_up_to_the_outcomes() -> None:
    scores, churned = planted(-1.0, 1.0)
    assert Calibrator.fit(scores, churned).probability(scores).mean() == pytest.approx(churned.mean(), abs=1e-3)


@settings(deadline=None)
@given(st.lists(st.floats(-30, 30), min_size=4, max_size=30), st.integers(0, 2**31))
def test_order_never_changes(scores: list[float], seed: int) -> None:
    values = np.sort(np.array(scores))
    churned = np.random.default_rng(seed).integers(0, 2, len(values)).astype(np.float64)
    calibrator = Calibrator.fit(values, churned)
    assert calibrator.slope > 0
    assert (np.diff(calibrator.probability(values)) >= 0).all()


def test_scores_that_rank_the_wrong_way_become_flat() -> None:
    scores, churned = planted(-1.0, 1.0)
    probability = Calibrator.fit(-scores, churned).probability(-scores)
    assert np.ptp(probability) < 0.01
    assert probability.mean() == pytest.approx(churned.mean(), abs=0.01)
