"""Classification metrics: scikit-learn, slow references, ties, weights as repeated rows, and many resamples at once."""

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from everstay.metrics import classification as c
from tests.strategies import PROPERTY

METRICS = (
    c.roc_auc, c.average_precision, c.lift_top_decile, c.brier, c.log_loss, c.expected_calibration_error,
    c.calibration_slope,
)  # fmt: skip
every = pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.__name__)


@st.composite
def outcomes(draw):
    """Outcomes with both classes and probabilities with many ties."""
    n = draw(st.integers(2, 40))
    y = draw(st.lists(st.integers(0, 1), min_size=n, max_size=n).filter(lambda y: len(set(y)) == 2))
    p = draw(st.lists(st.integers(0, 20), min_size=n, max_size=n))
    return np.array(y), np.array(p) / 20


def sample(n=500, seed=5):
    generator = np.random.default_rng(seed)
    p = generator.integers(1, 40, n) / 40
    return (generator.random(n) < p).astype(int), p


def lift(y, p) -> float:
    """Expected lift over the random order of ties: every row gives its share of positives among equals."""
    room, taken = len(y) / 10, 0.0
    for score in sorted(set(p), reverse=True):
        group = y[p == score]
        share = min(1.0, room / len(group))
        taken, room = taken + share * group.sum(), room - share * len(group)
    return taken / (len(y) / 10) / y.mean()


def calibration_error(y, p) -> float:
    sums = np.zeros(10)
    for score in set(p):
        middle = (p < score).sum() + (p == score).sum() / 2
        sums[min(int(10 * middle / len(p)), 9)] += (y[p == score] - score).sum()
    return np.abs(sums).sum() / len(p)


def auc_of_pairs(y, p) -> float:
    difference = p[y == 1][:, None] - p[y == 0][None, :]
    return ((difference > 0) + (difference == 0) / 2).mean()


@PROPERTY
@given(data=outcomes())
def test_equal_to_scikit_learn_and_slow_references(data):
    y, p = data
    assert c.roc_auc(y, p) == pytest.approx(sklearn.metrics.roc_auc_score(y, p))
    assert c.roc_auc(y, p) == pytest.approx(auc_of_pairs(y, p))
    assert c.average_precision(y, p) == pytest.approx(sklearn.metrics.average_precision_score(y, p))
    assert c.brier(y, p) == pytest.approx(sklearn.metrics.brier_score_loss(y, p))
    assert c.log_loss(y, p) == pytest.approx(sklearn.metrics.log_loss(y, p))
    assert c.lift_top_decile(y, p) == pytest.approx(lift(y, p))
    assert c.expected_calibration_error(y, p) == pytest.approx(calibration_error(y, p))


def test_slope_equals_an_unpenalised_logistic_regression():
    y, p = sample()
    odds = np.log(p / (1 - p))
    fitted = LogisticRegression(C=np.inf, tol=1e-10).fit(odds[:, None], y)
    assert c.calibration_slope(y, p) == pytest.approx(fitted.coef_[0, 0], rel=1e-4)


@every
@PROPERTY
@given(data=outcomes(), random=st.randoms())
def test_order_of_rows_does_not_matter(metric, data, random):
    y, p = data
    order = random.sample(range(len(y)), len(y))
    assert float(metric(y[order], p[order])) == pytest.approx(float(metric(y, p)), rel=1e-6, nan_ok=True)


@every
def test_a_weight_is_a_repetition_and_zero_an_absence(metric):
    y, p = sample(200)
    times = np.random.default_rng(1).integers(0, 4, len(y))
    assert metric(y, p, times) == pytest.approx(float(metric(np.repeat(y, times), np.repeat(p, times))))


@every
def test_many_weights_at_once_are_each_weight_alone(metric):
    y, p = sample(200)
    weights = np.random.default_rng(2).integers(0, 3, (7, len(y)))
    together = metric(y, p, weights)
    assert together.shape == (7,)
    assert together == pytest.approx([float(metric(y, p, row)) for row in weights])


@every
def test_a_chunk_of_one_resample_keeps_its_axis(metric):
    y, p = sample(50)
    assert metric(y, p, np.ones((1, 50))).shape == (1,)
    assert np.ndim(metric(y, p)) == 0


@pytest.mark.parametrize("metric", [c.roc_auc, c.average_precision])
def test_ranking_all_positives_first_is_one_and_scores_may_be_renamed(metric):
    y = np.array([0, 1, 0, 1, 1])
    assert metric(y, y * 0.5 + 0.1) == 1.0
    y, p = sample()
    assert metric(y, np.exp(3 * p)) == metric(y, p)


def test_equal_scores_tell_nothing():
    y, p = np.array([0, 0, 0, 1]), np.full(4, 0.3)
    assert c.roc_auc(y, p) == 0.5
    assert c.average_precision(y, p) == 0.25
    assert c.lift_top_decile(y, p) == pytest.approx(1.0)


def test_perfect_probabilities_have_no_error():
    y = np.array([0, 1, 1, 0])
    assert c.brier(y, y) == 0
    assert c.log_loss(y, y) == pytest.approx(0, abs=1e-12)
    assert c.expected_calibration_error(y, y) == 0


def test_honest_probabilities_have_slope_one_and_overconfident_ones_less():
    generator = np.random.default_rng(3)
    odds = generator.normal(0, 1.5, 40_000)
    y = (generator.random(len(odds)) < 1 / (1 + np.exp(-odds))).astype(int)
    assert c.calibration_slope(y, 1 / (1 + np.exp(-odds))) == pytest.approx(1, abs=0.05)
    assert c.calibration_slope(y, 1 / (1 + np.exp(-2 * odds))) == pytest.approx(0.5, abs=0.03)
    assert c.expected_calibration_error(y, 1 / (1 + np.exp(-odds))) < 0.01


def test_slope_survives_a_row_far_out():
    y, p = sample()
    far = np.append(p, 1e-15)
    odds = np.log(far) - np.log1p(-far)
    fitted = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1_000).fit(odds[:, None], np.append(y, 1))
    assert c.calibration_slope(np.append(y, 1), far) == pytest.approx(fitted.coef_[0, 0], rel=1e-3)


@pytest.mark.parametrize(
    ("y", "p"), [([0, 1, 0, 1], [0.2] * 4), ([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9]), ([0, 0], [0.1, 0.9])]
)
def test_slope_without_a_finite_value_is_nan(y, p):
    assert np.isnan(c.calibration_slope(y, p))


@pytest.mark.parametrize("metric", [c.roc_auc, c.average_precision, c.lift_top_decile])
def test_undefined_with_one_class_is_nan(metric):
    assert np.isnan(metric([0, 0], [0.1, 0.2]))


@every
@pytest.mark.parametrize(
    ("y", "p", "words"),
    [([0, 2], [0.1, 0.2], "0 and 1 only"), ([0, 1], [0.1, np.nan], "finite"), ([0, 1], [0.1], "do not fit")],
)
def test_unfit_arguments_are_refused(metric, y, p, words):
    with pytest.raises(ValueError, match=words):
        metric(y, p)


@pytest.mark.parametrize("users", [5, 60])
def test_right_scores_are_neither_above_nor_below_on_average(users: int) -> None:
    generator = np.random.default_rng(3)
    probabilities = generator.beta(1.5, 4, (2_000, users))
    outcomes = (generator.random(probabilities.shape) < probabilities).astype(float)
    errors = [float(c.calibration_in_the_large(y, p)) for y, p in zip(outcomes, probabilities, strict=True)]
    assert abs(np.mean(errors)) < 3 * np.std(errors) / np.sqrt(len(errors))
    weights = generator.integers(0, 4, (3, users))
    repeated = [np.repeat(outcomes[0] - probabilities[0], row).mean() for row in weights]
    np.testing.assert_allclose(c.calibration_in_the_large(outcomes[0], probabilities[0], weights), repeated)


def test_right_probabilities_have_an_error_that_shrinks_with_the_rows() -> None:
    few, many = (c.perfect_calibration_errors(np.full(count, 0.5), 400, 3) for count in (25, 2_500))
    assert few.mean() == pytest.approx(np.sqrt(0.25 / 25) * np.sqrt(2 / np.pi), rel=0.1)  # one bin: of a mean's error
    assert few.mean() / many.mean() == pytest.approx(10, rel=0.2)
    np.testing.assert_array_equal(c.perfect_calibration_errors(np.array([0.0, 1.0]), 5, 3), np.zeros(5))
