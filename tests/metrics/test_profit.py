"""Money: profit by hand, EMPC against a slow integral, the threshold that pays most within a budget."""

from functools import partial

import numpy as np
import pytest
from scipy.stats import beta

from everstay.metrics.comparison import statistic_interval
from everstay.metrics.profit import contact_cost, contact_profit, empc, profit_curve
from everstay.settings import Value

COSTS = Value(contact_cost=1.0, offer_cost=10.0, acceptance_alpha=6, acceptance_beta=14)  # of the source, worth 200


def slow_empc(y: np.ndarray, p: np.ndarray, worth: float, weight: np.ndarray, steps: int = 4_000) -> float:
    """Mean over acceptances of the best profit over all thresholds, by the midpoint rule."""
    thresholds = np.append(np.unique(p), np.inf)
    rates = (np.arange(steps) + 0.5) / steps
    left = np.array([(weight * y * (p >= threshold)).sum() for threshold in thresholds]) / weight.sum()
    stay = np.array([(weight * (1 - y) * (p >= threshold)).sum() for threshold in thresholds]) / weight.sum()
    profit = rates[:, None] * (worth - 10.0) * left - 1.0 * left - 11.0 * stay
    return float((profit.max(axis=1) * beta.pdf(rates, 6, 14)).sum() / steps)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("worth", [200.0, 25.0])
def test_empc_equals_a_slow_integral(seed: int, worth: float) -> None:
    generator = np.random.default_rng(seed)
    y = (generator.random(120) < 0.3).astype(float)
    p = np.round(generator.normal(size=120) + y, 1)  # with ties
    weight = generator.integers(0, 3, 120).astype(float)
    found = empc(y, p, weight, worth=worth, costs=COSTS)
    assert float(found) == pytest.approx(slow_empc(y, p, worth, weight), abs=1e-4)


def test_empc_of_a_perfect_ranking_contacts_the_leavers_alone() -> None:
    y = np.array([1, 1, 0, 0, 0, 0, 0, 0, 0, 0.0])
    at_best = 0.2 * (0.3 * 190 - 1)  # contacted whenever gamma is above 1/190, which is nearly always
    assert float(empc(y, y, worth=200.0, costs=COSTS)) == pytest.approx(at_best, abs=1e-6)
    assert float(empc(y, 3 * y + 1, worth=200.0, costs=COSTS)) == pytest.approx(at_best, abs=1e-6)


def test_empc_is_never_below_nothing_and_undefined_without_leavers() -> None:
    y = np.array([1, 0, 0, 0, 0.0])
    assert float(empc(y, 1 - y, worth=20.0, costs=COSTS)) >= 0
    assert float(empc(y, y, worth=9.0, costs=COSTS)) == 0  # the offer costs more than a user is worth
    assert np.isnan(empc(np.zeros(3), np.arange(3), worth=200.0, costs=COSTS))


def test_empc_of_a_campaign_that_costs_nothing_is_what_all_leavers_who_accept_are_worth() -> None:
    free = Value(contact_cost=0.0, offer_cost=0.0, acceptance_alpha=6, acceptance_beta=14)
    assert float(empc([1, 0, 1, 0], [0.9, 0.8, 0.7, 0.1], worth=200.0, costs=free)) == pytest.approx(0.5 * 0.3 * 200)


def test_empc_has_an_interval_over_users() -> None:
    generator = np.random.default_rng(0)
    y = (generator.random(300) < 0.3).astype(float)
    metric = partial(empc, worth=200.0, costs=COSTS)
    interval = statistic_interval(metric, y, y + generator.normal(size=300), resamples=100, confidence=0.9, seed=1)
    assert interval.low < interval.value < interval.high
    weights = np.array([np.ones(300), np.arange(300) % 3])
    both = empc(y, y, weights, worth=200.0, costs=COSTS)
    assert both.tolist() == [float(empc(y, y, row, worth=200.0, costs=COSTS)) for row in weights]


def test_costs_and_profit_of_a_contact() -> None:
    assert contact_cost([1, 0], COSTS).tolist() == [1 + 0.3 * 10, 11]
    assert contact_profit([0.5], [100.0], COSTS)[0] == pytest.approx(0.5 * 0.3 * 90 - 0.5 * 10 - 1)


def test_the_best_threshold_keeps_the_budget() -> None:
    curve = profit_curve([4.0, 3.0, 2.0, 1.0], [10.0, 5.0, 2.0, -4.0], [2.0, 2.0, 2.0, 2.0])
    assert curve.profit.tolist() == [0.0, 2.5, 3.75, 4.25, 3.25]
    assert curve.scores[curve.best()] == 2.0
    assert curve.scores[curve.best(budget_per_user=1.0)] == 3.0
    assert curve.best(budget_per_user=0.1) == 0
    losing = profit_curve([2.0, 1.0], [-1.0, -1.0], [1.0, 1.0])
    assert (losing.best(), losing.scores[losing.best()]) == (0, np.inf)
