"""Quality of probabilities of a binary outcome: discrimination (AUC, AP, lift), accuracy and calibration.

Every function takes the outcomes `y` (n,), the probabilities or scores `p` (n,) and optional weights: (n,), or
(resamples, n) for as many values at once, which is what the bootstrap in `comparison` uses. The result has the shape of
the weights without their last axis, a single number by default. Where a value is undefined (one class only), it is NaN.

>>> y, p = np.array([0, 1, 1, 0]), np.array([0.2, 0.9, 0.4, 0.4])
>>> float(roc_auc(y, p))  # pairs: 0.9 > 0.2, 0.9 > 0.4, 0.4 > 0.2 and one tie
0.875
>>> roc_auc(y, p, np.array([[1, 1, 1, 1], [1, 1, 1, 0]])).tolist()
[0.875, 1.0]
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]

_BINS = 10
_TOP = 0.1
_STEPS = 50  # Newton steps; fewer than ten are common
_FAR, _NEAR = 5.0, 1e-9  # longest step in log-odds, and the one at which it has converged


def roc_auc(y: ArrayLike, p: ArrayLike, weights: ArrayLike | None = None) -> FloatArray:
    """Chance that a random positive has a higher score than a random negative, a tie counting one half."""
    positive, negative = _by_score(y, p, weights)
    below = np.cumsum(negative, axis=-1) - negative / 2
    return _divide((positive * below).sum(axis=-1), positive.sum(axis=-1) * negative.sum(axis=-1))


def average_precision(y: ArrayLike, p: ArrayLike, weights: ArrayLike | None = None) -> FloatArray:
    """Precision at every threshold, weighted by the recall it adds; equal scores are one threshold. No interpolation.

    >>> float(average_precision([1, 0, 1], [0.9, 0.8, 0.7]))  # (1/1 + 2/3) / 2
    0.8333333333333333
    """
    positive, negative = (part[..., ::-1] for part in _by_score(y, p, weights))
    found = np.cumsum(positive, axis=-1)
    shown = found + np.cumsum(negative, axis=-1)
    precision = np.divide(found, shown, out=np.zeros_like(found), where=shown > 0)
    return _divide((precision * positive).sum(axis=-1), positive.sum(axis=-1))


def lift_top_decile(y: ArrayLike, p: ArrayLike, weights: ArrayLike | None = None) -> FloatArray:
    """Share of positives in the tenth with the highest scores, over their share in all.

    Ties at the threshold count in proportion, so that the order of rows does not matter.

    >>> float(lift_top_decile([1] + [0] * 8 + [1], np.arange(10)))
    5.0
    """
    positive, negative = (part[..., ::-1] for part in _by_score(y, p, weights))
    weight = positive + negative
    total = weight.sum(axis=-1, keepdims=True)
    room = np.clip(_TOP * total - (np.cumsum(weight, axis=-1) - weight), 0, weight)
    taken = np.divide(room, weight, out=np.zeros_like(weight), where=weight > 0)
    return _divide((taken * positive).sum(axis=-1), _TOP * positive.sum(axis=-1))


def brier(y: ArrayLike, p: ArrayLike, weights: ArrayLike | None = None) -> FloatArray:
    """Mean squared difference of probability and outcome.

    >>> float(brier([1, 0], [0.5, 0.0]))
    0.125
    """
    outcome, probability, weight = _arrays(y, p, weights)
    return _mean((probability - outcome) ** 2, weight)


def log_loss(y: ArrayLike, p: ArrayLike, weights: ArrayLike | None = None) -> FloatArray:
    """Mean negative natural log of the outcome's probability; 0 and 1 are moved inside by the float's epsilon.

    >>> round(float(log_loss([1, 0], [0.5, 0.5])), 4)
    0.6931
    """
    outcome, probability, weight = _arrays(y, p, weights)
    inside = _inside(probability)
    return _mean(-np.where(outcome == 1, np.log(inside), np.log1p(-inside)), weight)


def calibration_in_the_large(y: ArrayLike, p: ArrayLike, weights: ArrayLike | None = None) -> FloatArray:
    """Observed rate minus mean probability: above zero, the risk is understated. Unbiased in samples of any size.

    >>> float(calibration_in_the_large([1, 0, 0, 1], [0.25, 0.25, 0.25, 0.25]))
    0.25
    """
    outcome, probability, weight = _arrays(y, p, weights)
    return _mean(outcome - probability, weight)


def expected_calibration_error(y: ArrayLike, p: ArrayLike, weights: ArrayLike | None = None) -> FloatArray:
    """Mean absolute difference between predicted and observed rate over ten bins of equal mass.

    Equal probabilities are never split: a value's bin is that of the middle of its rank range.

    >>> float(expected_calibration_error([1, 0, 1, 1], [0.5, 0.5, 0.5, 0.5]))
    0.25
    """
    outcome, probability, weight = _arrays(y, p, weights)
    order = np.argsort(probability, kind="stable")
    starts, rows = _starts(probability[order]), np.atleast_2d(weight)[:, order]
    bins = _equal_mass_bins(_run_sums(rows, starts))
    error = _run_sums(rows * (outcome - probability)[order], starts)
    cell = bins + _BINS * np.arange(len(rows))[:, None]
    sums = np.bincount(cell.ravel(), weights=error.ravel(), minlength=_BINS * len(rows)).reshape(-1, _BINS)
    return _divide(np.abs(sums).sum(axis=-1), rows.sum(axis=-1)).reshape(weight.shape[:-1])


def _equal_mass_bins(mass: FloatArray) -> NDArray[np.int64]:
    """Bin of each of the ascending values, given their weights (..., values)."""
    middle = np.cumsum(mass, axis=-1) - mass / 2
    return np.minimum(_BINS * middle / mass.sum(axis=-1, keepdims=True), _BINS - 1).astype(np.int64)


def perfect_calibration_errors(p: ArrayLike, draws: int, seed: int) -> FloatArray:
    """`expected_calibration_error` (draws,) of perfectly calibrated probabilities (N,): not 0 in a finite sample.

    The outcomes are drawn from the probabilities themselves.
    """
    probability = np.asarray(p, dtype=np.float64)
    _, group, mass = np.unique(probability, return_inverse=True, return_counts=True)
    bins, chance = _equal_mass_bins(mass.astype(np.float64))[group], np.random.default_rng(seed)
    errors = ((chance.random(len(probability)) < probability) - probability for _ in range(draws))
    return np.array([np.abs(np.bincount(bins, weights=error)).sum() / len(probability) for error in errors])


def calibration_slope(y: ArrayLike, p: ArrayLike, weights: ArrayLike | None = None) -> FloatArray:
    """Slope of the logistic regression of the outcome on the log-odds: 1 is right, below 1 over-confident.

    Source: Cox, Biometrika 45 (1958). NaN where no finite slope exists: constant p, or p separates the classes.

    >>> y, p = np.array([1, 1, 1, 0, 1, 0, 0, 0]), np.array([0.9] * 4 + [0.1] * 4)  # 3 of 4, 1 of 4
    >>> float(calibration_slope(y, p).round(6)) == float((np.log(3) / np.log(9)).round(6))
    True
    """
    outcome, probability, weight = _arrays(y, p, weights)
    inside = _inside(probability)
    odds = np.log(inside) - np.log1p(-inside)
    rows = np.atleast_2d(weight)
    of_all = _fit_slope(outcome, odds, rows.mean(axis=0, keepdims=True), np.zeros((2, 1)))[0]  # near all
    line, has_converged = _fit_slope(outcome, odds, rows, np.where(np.isfinite(of_all), of_all, 0.0))
    has_slope = _classes_overlap(outcome, odds, rows) & has_converged
    return np.where(has_slope, line[1], np.nan).reshape(weight.shape[:-1])


def _fit_slope(
    outcome: FloatArray, odds: FloatArray, rows: FloatArray, start: FloatArray
) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Intercepts and slopes (2, resamples) by Newton's method from `start` (2, 1), and which have converged."""
    reach = 1.0 + np.abs(odds).max(initial=0.0)
    line = np.repeat(start, len(rows), axis=1)
    for _ in range(_STEPS):
        change = np.stack(_newton_step(outcome, odds, rows, *line))
        size = np.abs(change[0]) + np.abs(change[1]) * reach
        line = line + np.minimum(1.0, _FAR / np.maximum(size, _FAR)) * change  # a full step can overshoot far out
        if not (size > _NEAR).any():
            break
    return line, size <= _NEAR


def _classes_overlap(outcome: FloatArray, odds: FloatArray, rows: FloatArray) -> NDArray[np.bool_]:
    """Whether neither class lies wholly above the other, (resamples,): only then is the likelihood's maximum finite."""
    positive, negative = (rows > 0) & (outcome == 1), (rows > 0) & (outcome == 0)

    def lowest(mask: NDArray[np.bool_], values: FloatArray) -> FloatArray:
        return np.where(mask, values, np.inf).min(axis=-1, initial=np.inf)

    is_above = lowest(positive, odds) >= -lowest(negative, -odds)
    is_below = lowest(negative, odds) >= -lowest(positive, -odds)
    return ~(is_above | is_below)


def _newton_step(
    outcome: FloatArray, odds: FloatArray, rows: FloatArray, intercept: FloatArray, slope: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Changes of intercept and slope, (resamples,) each; NaN where the information matrix has no inverse."""
    with np.errstate(over="ignore"):  # exp(710) is infinite, and the chance rightly 0
        chance = 1.0 / (1.0 + np.exp(-(intercept[:, None] + slope[:, None] * odds)))
    residual = rows * (outcome - chance)
    information = rows * chance * (1.0 - chance)
    g0, g1 = residual.sum(axis=-1), residual @ odds
    h0, h1, h2 = information.sum(axis=-1), information @ odds, information @ odds**2
    determinant = h0 * h2 - h1 * h1
    determinant = np.where(determinant > 1e-12 * h0 * h2, determinant, np.nan)
    return (h2 * g0 - h1 * g1) / determinant, (h0 * g1 - h1 * g0) / determinant


def _arrays(y: ArrayLike, p: ArrayLike, weights: ArrayLike | None) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The arguments as floats, checked."""
    outcome, probability = np.asarray(y, dtype=np.float64), np.asarray(p, dtype=np.float64)
    weight = np.ones(len(outcome)) if weights is None else np.asarray(weights, dtype=np.float64)
    if outcome.ndim != 1 or probability.shape != outcome.shape or weight.shape[-1:] != outcome.shape:
        raise ValueError(f"y, p and weights do not fit: {outcome.shape}, {probability.shape}, {weight.shape}")
    if not np.isin(outcome, (0.0, 1.0)).all() or not np.isfinite(probability).all():
        raise ValueError("y must hold 0 and 1 only, p finite numbers only")
    return outcome, probability, weight


def _by_score(y: ArrayLike, p: ArrayLike, weights: ArrayLike | None) -> tuple[FloatArray, FloatArray]:
    """Weight of positives and of negatives per distinct score, scores ascending: two arrays (..., scores)."""
    outcome, probability, weight = _arrays(y, p, weights)
    order = np.argsort(probability, kind="stable")
    starts = _starts(probability[order])
    ordered = weight[..., order]
    positive = ordered * outcome[order]
    return _run_sums(positive, starts), _run_sums(ordered - positive, starts)


def _starts(ascending: NDArray[np.generic]) -> NDArray[np.intp]:
    """Where each run of equal values (n,) begins."""
    return np.flatnonzero(np.append(True, ascending[1:] != ascending[:-1])[: len(ascending)])


def _run_sums(values: FloatArray, starts: NDArray[np.intp]) -> FloatArray:
    """Sum the last axis (n,) within runs; a no-op if each run is a single value."""
    return values if len(starts) == values.shape[-1] else np.add.reduceat(values, starts, axis=-1)


def _inside(probability: FloatArray) -> FloatArray:
    epsilon = float(np.finfo(np.float64).eps)
    return np.clip(probability, epsilon, 1.0 - epsilon)


def _mean(values: FloatArray, weight: FloatArray) -> FloatArray:
    return _divide((values * weight).sum(axis=-1), weight.sum(axis=-1))


def _divide(part: FloatArray, whole: FloatArray) -> FloatArray:
    return np.divide(part, whole, out=np.full_like(whole, np.nan, dtype=np.float64), where=whole != 0)
