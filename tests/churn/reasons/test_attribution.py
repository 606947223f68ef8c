"""Attributions are complete, and equal to what arithmetic or a slow reference says."""

import itertools
import math

import numpy as np
import pytest
import torch
from sklearn.ensemble import HistGradientBoostingClassifier

from everstay.churn.batches import LengthBatches
from everstay.churn.calibration import Calibrator
from everstay.churn.config import NetworkConfig
from everstay.churn.encoding import TYPES, Tokens
from everstay.churn.network import ChurnNetwork
from everstay.churn.reasons.attribution import SOURCES, Attribution, mean_attribution, placed
from everstay.churn.reasons.gradients import TOLERANCE, network_parts
from everstay.churn.reasons.trees import tree_parts
from everstay.churn.returns import OUTLOOKS


def sources(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, len(SOURCES)))


def test_platt_scales_every_part_by_its_slope() -> None:
    raw, calibrator = Attribution(0.5, sources(4)), Calibrator(-1.0, 2.0)
    moved = raw.moved(float(calibrator.log_odds(np.array([raw.base]))[0]), calibrator.log_odds(raw.scores))
    assert moved.base == 0.0
    np.testing.assert_allclose(moved.parts, 2 * raw.parts, rtol=1e-9)


def test_any_monotone_calibration_keeps_the_shares_and_completeness() -> None:
    raw = Attribution(0.0, sources(50))
    curved = np.cbrt(raw.scores)
    moved = raw.moved(0.0, curved)
    np.testing.assert_allclose(moved.scores, curved, atol=1e-12)
    np.testing.assert_allclose(moved.parts[:, 3] * raw.parts[:, 5], moved.parts[:, 5] * raw.parts[:, 3], atol=1e-9)


def test_a_row_at_the_base_has_no_parts() -> None:
    raw = Attribution(1.0, np.zeros((2, len(SOURCES))))
    assert (raw.moved(3.0, np.array([3.0, 3.0])).parts == 0).all()


def test_a_mean_of_scores_has_the_mean_of_the_parts() -> None:
    one, two = Attribution(1.0, sources(3, 1)), Attribution(2.0, sources(3, 2))
    both = mean_attribution([one, two])
    np.testing.assert_allclose(both.scores, (one.scores + two.scores) / 2)
    assert both.base == 1.5


@pytest.fixture(scope="module")
def boosted() -> tuple[HistGradientBoostingClassifier, np.ndarray]:
    generator = np.random.default_rng(1)
    matrix = generator.normal(size=(300, 3))
    matrix[generator.random((300, 3)) < 0.2] = np.nan
    is_left = np.nan_to_num(matrix[:, 0]) + np.nan_to_num(matrix[:, 1]) * np.isnan(matrix[:, 2]) > 0
    model = HistGradientBoostingClassifier(max_iter=4, max_leaf_nodes=5, min_samples_leaf=10, early_stopping=False)
    return model.fit(matrix, is_left), matrix


def expectation(nodes: np.ndarray, row: np.ndarray, known: tuple[int, ...], place: int = 0) -> float:
    """Mean of a tree's leaves over the rows it was grown from, given the known features of `row`."""
    node = nodes[place]
    if node["is_leaf"]:
        return float(node["value"])
    left, right = int(node["left"]), int(node["right"])
    if node["feature_idx"] in known:
        value = row[node["feature_idx"]]
        goes_left = bool(node["missing_go_to_left"]) if np.isnan(value) else value <= node["num_threshold"]
        return expectation(nodes, row, known, left if goes_left else right)
    counts = nodes["count"][[left, right]]
    means = [expectation(nodes, row, known, child) for child in (left, right)]
    return float(np.average(means, weights=counts))


def test_tree_parts_are_shapley_values(boosted: tuple[HistGradientBoostingClassifier, np.ndarray]) -> None:
    model, matrix = boosted
    rounds = 3
    base, parts = tree_parts(model, matrix[:20], rounds)
    trees = [stage[0].nodes for stage in model._predictors[:rounds]]
    for row, found in zip(matrix[:20], parts, strict=True):
        for feature in range(3):
            others = [other for other in range(3) if other != feature]
            value = 0.0
            for size in range(3):
                weight = math.factorial(size) * math.factorial(2 - size) / math.factorial(3)
                for known in itertools.combinations(others, size):
                    gains = [expectation(t, row, (*known, feature)) - expectation(t, row, known) for t in trees]
                    value += weight * sum(gains)
            assert found[feature] == pytest.approx(value, abs=1e-9)
    stages = list(model.staged_decision_function(matrix[:20]))
    np.testing.assert_allclose(base + parts.sum(axis=1), stages[rounds - 1], atol=1e-9)
    assert tree_parts(model, matrix[:0], rounds)[1].shape == (0, 3)


def make_batches(rows: int, width: int, seed: int = 0) -> LengthBatches:
    generator = np.random.default_rng(seed)
    lengths = generator.integers(0, 9, rows)
    tokens = Tokens(
        generator.integers(0, TYPES, lengths.sum()),
        generator.normal(size=(lengths.sum(), 7)).astype(np.float32),
        np.concatenate([[0], np.cumsum(lengths)]),
    )
    features = (3 * generator.normal(size=(rows, width))).astype(np.float32)
    return LengthBatches(features, tokens, np.zeros((rows, OUTLOOKS), np.float32), 16)


@pytest.fixture(scope="module")
def network() -> ChurnNetwork:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        network = ChurnNetwork(NetworkConfig(), 12, TYPES, 7).eval()
        for parameter in network.parameters():
            parameter.data *= 2  # far from linear
        network.usual_history.normal_()
    return network


def test_integrated_gradients_add_up_to_the_served_score(network: ChurnNetwork) -> None:
    batches = make_batches(60, 12)
    base, parts = network_parts(network, batches)
    scores = np.zeros(60)
    with torch.inference_mode():
        for batch in batches:
            scores[batch.rows.numpy()] = network(batch).numpy()
    assert parts.shape == (60, 13)
    np.testing.assert_allclose(base + parts.sum(axis=1), scores, atol=TOLERANCE + 1e-5)  # and single precision
    assert np.abs(parts).max() > 1


def test_integrated_gradients_equal_many_small_steps(network: ChurnNetwork) -> None:
    batches = make_batches(5, 12, seed=1)
    _, parts = network_parts(network, batches)
    exact, steps = network.double(), 4_000
    try:
        batch = next(iter(batches))
        history = exact.read(batch.kinds, batch.numbers.double(), batch.lengths).detach()
        end = torch.cat([batch.features.double(), history], dim=1)
        start = torch.cat([torch.zeros(12, dtype=torch.float64), exact.usual_history]).expand_as(end)
        total = torch.zeros_like(end)
        for step in range(steps):
            place = (start + (step + 0.5) / steps * (end - start)).requires_grad_(True)
            (slope,) = torch.autograd.grad(exact.head(place[:, :12], place[:, 12:])[:, 0].sum(), place)
            total += slope / steps
        slow = (total * (end - start)).numpy()
    finally:
        network.float()
    np.testing.assert_allclose(parts[batch.rows.numpy()][:, :12], slow[:, :12], atol=1e-5)
    np.testing.assert_allclose(parts[batch.rows.numpy()][:, 12], slow[:, 12:].sum(axis=1), atol=1e-5)


def test_a_linear_network_has_the_parts_of_its_coefficients(network: ChurnNetwork) -> None:
    with torch.random.fork_rng(devices=[]):
        linear = ChurnNetwork(NetworkConfig(), 12, TYPES, 7).eval()
    torch.nn.init.zeros_(linear.joint[-1].weight)
    batches = make_batches(8, 12)
    _, parts = network_parts(linear, batches)
    coefficients = linear.linear.weight[0].detach().double().numpy()
    np.testing.assert_allclose(parts[:, :12], batches.features * coefficients, atol=1e-12)
    assert (parts[:, 12] == 0).all()


def test_parts_stand_at_their_source() -> None:
    parts = placed(np.array([[1.0, 2.0]]), (SOURCES[7], SOURCES[2]))
    assert (parts[0, 7], parts[0, 2], parts.sum()) == (1.0, 2.0, 3.0)
