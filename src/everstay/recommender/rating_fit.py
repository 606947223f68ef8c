"""Ratings as mean, biases and products of factors (Koren, Bell and Volinsky, Computer 2009), fitted by ALS.

The loss is the sum of squared errors and, once per user and item, the L2 penalties of bias and factors, as in PMF
(Salakhutdinov and Mnih, NIPS 2007).

Shapes: R = ratings, V = items, d = factors; column 0 is the bias, the factors follow.
"""

from dataclasses import dataclass

import numpy as np

from everstay.recommender.config import RatingFactorsConfig
from everstay.recommender.histories import FloatArray, IntArray, Ratings

_RATINGS_AT_ONCE = 1_024  # each makes a matrix of (d + 1)²


@dataclass(frozen=True)
class RatingFactors:
    """The fitted parameters of the items.

    Attributes:
        mean: of all ratings.
        of_items: (V, d + 1) bias and factors, zeros for an item that nobody rated.
        rated: (V,) ratings of each item.
    """

    mean: float
    of_items: FloatArray
    rated: IntArray


def fit_ratings(ratings: Ratings, items: int, config: RatingFactorsConfig, seed: int) -> RatingFactors:
    """Solve for users and items alternately.

    Args:
        ratings: at least one.
        items: in the vocabulary.
        config: factors, penalties and iterations.
        seed: of the initial factors.
    """
    mean, turned = float(ratings.value.mean()), Ratings(ratings.item, ratings.user, ratings.value, items)
    of_items = np.random.default_rng(seed).normal(0.0, 0.1, (items, config.factors + 1))
    of_items[:, 0] = 0.0
    for _ in range(config.iterations):
        of_users = solve_users(ratings, of_items, mean, config)
        of_items = solve_users(turned, of_users, mean, config)
    return RatingFactors(mean, of_items, np.bincount(ratings.item, minlength=items))


def solve_users(ratings: Ratings, of_items: FloatArray, mean: float, config: RatingFactorsConfig) -> FloatArray:
    """Bias and factors (users, d + 1) that explain users' ratings best, given those of the items (V, d + 1).

    A user without a rating gets zeros. With users and items swapped, it solves for items.
    """
    penalty = np.diag([config.bias_regularization, *[config.regularization] * config.factors])
    solved = np.zeros((ratings.user_count, config.factors + 1))
    order = np.argsort(ratings.user, kind="stable")
    user, first, counts = np.unique(ratings.user[order], return_index=True, return_counts=True)
    parts = np.split(np.arange(len(user)), np.flatnonzero(np.diff(first // _RATINGS_AT_ONCE)) + 1)
    for part in filter(len, parts):
        lines = order[first[part[0]] : first[part[-1]] + counts[part[-1]]]
        known, starts = of_items[ratings.item[lines]], first[part] - first[part[0]]
        inputs = np.column_stack([np.ones(len(lines)), known[:, 1:]])
        unexplained = ratings.value[lines] - mean - known[:, 0]
        systems = np.add.reduceat(inputs[:, :, None] * inputs[:, None, :], starts) + penalty
        wanted = np.add.reduceat(inputs * unexplained[:, None], starts)
        solved[user[part]] = np.linalg.solve(systems, wanted[:, :, None])[:, :, 0]
    return solved


def predict(known: RatingFactors, of_users: FloatArray, user: IntArray, item: IntArray) -> FloatArray:
    """Expected ratings of pairs (n,), clipped to the scale."""
    users, items = of_users[user], known.of_items[item]
    expected = known.mean + users[:, 0] + items[:, 0] + np.einsum("nd,nd->n", users[:, 1:], items[:, 1:])
    return np.clip(expected, 1.0, 5.0)
