"""Uncertainty of a figure or a difference: percentile bootstrap over users, in chunks of whole resamples.

The same seed and number of users give the same resamples, so that models are compared on the same resampled users.

>>> values = np.array([0.0, 1.0, 1.0, 1.0])
>>> mean_interval(values, resamples=1000, confidence=0.5, seed=1)
Interval(value=0.75, low=0.5, high=1.0)
>>> paired_mean_difference(values, values, resamples=1000, confidence=0.9, seed=1)
Interval(value=0.0, low=0.0, high=0.0)
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]
Statistic = Callable[[ArrayLike, ArrayLike, ArrayLike | None], FloatArray]
"""A function of outcomes, probabilities and weights like those in `classification`."""

_CELLS = 1_000_000  # weights held at once: 8 MB, which fit a processor's cache
_KEPT_CELLS = 50_000_000  # counts kept for the next figure: 100 MB


@dataclass(frozen=True)
class Interval:
    """A figure on all users, and the bounds that contain the requested share of its bootstrap resamples."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class JudgedUsers:
    """How many users a comparison rests on.

    Attributes:
        users: all that are judged.
        rarer: those with the outcome that fewer users have; None: the figure has no two outcomes.
    """

    users: int
    rarer: int | None = None


def standard_error(interval: Interval, confidence: float) -> float:
    """Standard error of the figure, derived from its bounds assuming normal errors.

    >>> round(standard_error(Interval(value=0.5, low=0.402, high=0.598), confidence=0.95), 3)
    0.05
    """
    return (interval.high - interval.low) / 2 / NormalDist().inv_cdf((1 + confidence) / 2)


def clustered_error(values: ArrayLike, users: ArrayLike) -> float:
    """Standard error of the mean of values (n,), clustered by user (n,).

    Source: Liang, Zeger, Biometrika 73 (1986), the mean being an intercept-only regression.

    >>> alone = clustered_error([1.0, 2.0, 3.0, 4.0], ["a", "b", "c", "d"])
    >>> together = clustered_error([1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 4.0, 4.0], [*"aabbccdd"])
    >>> round(alone, 3), alone == together
    (0.559, True)
    """
    data, user = np.asarray(values, dtype=np.float64), np.unique(np.asarray(users), return_inverse=True)[1]
    sums = np.bincount(user, data - data.mean())
    return float(np.sqrt(sums @ sums) / len(data))


def mean_interval(values: ArrayLike, *, resamples: int, confidence: float, seed: int) -> Interval:
    """Mean of per-user values (n,) with its interval.

    Raises:
        ValueError: there are no values, or one is NaN (leave users without a value out first).
    """
    data = _finite(values)
    means = [weights @ data / len(data) for weights in _resamples(len(data), resamples, seed)]
    return _interval(float(data.mean()), np.concatenate(means), confidence)


def paired_mean_difference(
    challenger: ArrayLike, champion: ArrayLike, *, resamples: int, confidence: float, seed: int
) -> Interval:
    """Mean of challenger minus champion over the same users, (n,) each in the same order, with its interval."""
    ours, theirs = _finite(challenger), _finite(champion)
    if ours.shape != theirs.shape:
        raise ValueError(f"not the same users: {len(ours)} and {len(theirs)} values")
    return mean_interval(ours - theirs, resamples=resamples, confidence=confidence, seed=seed)


def statistic_interval(
    statistic: Statistic,
    y: ArrayLike,
    p: ArrayLike,
    *,
    resamples: int,
    confidence: float,
    seed: int,
    users: ArrayLike | None = None,
) -> Interval:
    """A statistic of outcomes and probabilities, with its interval over users: the `users` of the rows, or one per row.

    Resamples where it is undefined (a class is missing) are left out; if it is undefined in all, the bounds are NaN.
    """
    probability = _finite(p)
    row_users = np.arange(len(probability)) if users is None else np.asarray(users)
    order = np.argsort(probability, kind="stable")  # statistics sort rows by it, which is cheap once they are
    outcome, probability = np.asarray(y)[order], probability[order]
    draws = _row_resamples(row_users[order], resamples, seed)
    drawn = [statistic(outcome, probability, weights) for weights in draws]
    return _interval(float(statistic(outcome, probability, None)), np.concatenate(drawn), confidence)


def paired_statistic_difference(
    statistic: Statistic,
    y: ArrayLike,
    challenger_p: ArrayLike,
    champion_p: ArrayLike,
    *,
    resamples: int,
    confidence: float,
    seed: int,
    users: ArrayLike | None = None,
) -> Interval:
    """A statistic of the challenger minus that of the champion, both on the same resampled users, with its interval.

    `users` are those of the rows; without them every row is a user.
    """
    outcome, ours, theirs = np.asarray(y), _finite(challenger_p), _finite(champion_p)

    def difference(weights: FloatArray | None) -> FloatArray:
        return statistic(outcome, ours, weights) - statistic(outcome, theirs, weights)

    row_users = np.arange(len(outcome)) if users is None else np.asarray(users)
    drawn = [difference(weights) for weights in _row_resamples(row_users, resamples, seed)]
    return _interval(float(difference(None)), np.concatenate(drawn), confidence)


def drawn_interval(drawn: ArrayLike, confidence: float) -> Interval:
    """Mean of drawn figures, and the bounds that contain the requested share of them."""
    figures = _finite(drawn)
    return _interval(float(figures.mean()), figures, confidence)


def _row_resamples(row_users: NDArray, resamples: int, seed: int) -> Iterator[FloatArray]:
    """How often each row's user is drawn, (chunk, rows) at a time."""
    names, user = np.unique(row_users, return_inverse=True)
    return (weights[:, user] for weights in _resamples(len(names), resamples, seed, len(user)))


def _resamples(users: int, resamples: int, seed: int, rows: int = 0) -> Iterator[FloatArray]:
    """How often each user is drawn, (chunk, users) at a time: `users` draws with replacement per resample.

    Chunks are as small as for `rows` weights per resample.
    """
    chunk = max(1, _CELLS // max(users, rows))
    draw = _kept_draws if users * resamples <= _KEPT_CELLS else _draws
    return (counts.astype(np.float64) for counts in draw(users, resamples, seed, chunk))


def _draws(users: int, resamples: int, seed: int, chunk: int) -> Iterator[NDArray[np.uint16]]:
    generator = np.random.default_rng(seed)
    for start in range(0, resamples, chunk):
        count = min(chunk, resamples - start)
        drawn = generator.integers(0, users, size=(count, users)) + users * np.arange(count)[:, None]
        yield np.bincount(drawn.ravel(), minlength=count * users).reshape(count, users).astype(np.uint16)


@lru_cache(maxsize=2)
def _kept_draws(users: int, resamples: int, seed: int, chunk: int) -> tuple[NDArray[np.uint16], ...]:
    """The same, cached: many figures of the same users are computed one after another."""
    return tuple(_draws(users, resamples, seed, chunk))


def _interval(value: float, drawn: FloatArray, confidence: float) -> Interval:
    defined = drawn[~np.isnan(drawn)]
    if len(defined) == 0:
        return Interval(value, float("nan"), float("nan"))
    low, high = np.quantile(defined, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(value, float(low), float(high))


def _finite(values: ArrayLike) -> FloatArray:
    data = np.asarray(values, dtype=np.float64)
    if data.ndim != 1 or len(data) == 0 or not np.isfinite(data).all():
        raise ValueError(f"one finite value per user is needed, at least one user; got shape {data.shape}")
    return data
