"""Folds of a labelled table: rows of one group are never parted."""

import numpy as np
from numpy.typing import NDArray

from everstay.errors import EverstayError

FloatArray = NDArray[np.float64]


def group_folds(groups: NDArray[np.int64], count: int, seed: int) -> NDArray[np.int64]:
    """Assign every row (N,) one of `count` folds; rows of one group get the same, sizes are nearly equal.

    Raises:
        EverstayError: there are fewer groups than folds.
    """
    names, sizes = np.unique(groups, return_counts=True)
    if len(names) < count:
        raise EverstayError(f"{len(names)} groups of rows are too few for {count} folds")
    order = np.random.default_rng(seed).permutation(len(names))
    fold = np.empty(len(names), np.int64)
    fold[order] = np.minimum((np.cumsum(sizes[order]) - sizes[order]) * count // len(groups), count - 1)
    if len(np.unique(fold)) < count:  # a group exceeds a fold: the largest first, to the smallest fold
        filled = np.zeros(count, np.int64)
        for group in np.argsort(-sizes, kind="stable"):
            fold[group] = np.argmin(filled)
            filled[fold[group]] += sizes[group]
    return fold[np.searchsorted(names, groups)]


def outcome_folds(churned: FloatArray, groups: NDArray[np.int64], count: int, seed: int) -> NDArray[np.int64]:
    """Assign every row (N,) one of at most `count` folds; each has the same number of groups of a similar outcome.

    Rows of one group get the same. Without any one fold both outcomes remain, if each is in two groups.
    """
    names, row_group, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    share = np.bincount(row_group, churned) / sizes
    order = np.lexsort((np.random.default_rng(seed).random(len(names)), share))
    fold = np.empty(len(names), np.int64)
    fold[order] = np.arange(len(names)) % count
    return fold[row_group]


def check_folds(churned: FloatArray, groups: NDArray[np.int64], folds: NDArray[np.int64]) -> None:
    """Check that both outcomes (N,) remain without any one fold and the next, and in two groups without any one fold.

    Raises:
        EverstayError: they do not, because one is too rare.
    """
    count = int(folds.max()) + 1
    for fold in range(count):
        known = folds != fold
        train = churned[known & (folds != (fold + 1) % count)]
        if (
            train.min() == train.max()
            or min(_groups_with(value, churned[known], groups[known]) for value in (0, 1)) < 2
        ):
            rare = int(min(churned.sum(), len(churned) - churned.sum()))
            raise EverstayError(f"{rare} of {len(churned):,} rows with the rarer outcome are too few for {count} folds")


def _groups_with(outcome: int, churned: FloatArray, groups: NDArray[np.int64]) -> int:
    return len(np.unique(groups[churned == outcome]))
