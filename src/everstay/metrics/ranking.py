"""Quality of ranked lists: one value per user, from the ranks of the hits.

Throughout, `hits` is a Boolean array (users, k), best rank first, and `target_counts` (users,) the number of items the
user really took. A user without targets has nothing to find: the value is NaN, leave such users out before averaging.

>>> hits = np.array([[True, False, True], [False, False, False]])
>>> targets = np.array([4, 1])
>>> recall_at_k(hits, targets).tolist()
[0.5, 0.0]
>>> hit_rate_at_k(hits, targets).tolist()
[1.0, 0.0]
"""

import numpy as np
from numpy.typing import NDArray

BoolArray = NDArray[np.bool_]
CountArray = NDArray[np.integer]
FloatArray = NDArray[np.float64]


def recall_at_k(hits: BoolArray, target_counts: CountArray) -> FloatArray:
    """Share of each user's targets that are in the list: hits / targets, below 1 if there are more than k targets."""
    _check(hits, target_counts)
    return _where_targets(hits.sum(axis=1) / np.maximum(target_counts, 1), target_counts)


def ndcg_at_k(hits: BoolArray, target_counts: CountArray) -> FloatArray:
    """Discounted gain, a hit at rank r counting 1 / log2(r + 1), over that of a list with all targets on top.

    Source: Järvelin and Kekäläinen, ACM TOIS 20 (2002), with relevance 0 or 1 and the best possible list of k places.

    >>> ndcg_at_k(np.array([[True, True], [False, True]]), np.array([5, 1])).round(4).tolist()
    [1.0, 0.6309]
    """
    _check(hits, target_counts)
    gains = 1.0 / np.log2(np.arange(hits.shape[1]) + 2.0)
    best = np.cumsum(gains)[np.clip(target_counts, 1, hits.shape[1]) - 1]
    return _where_targets((hits * gains).sum(axis=1) / best, target_counts)


def mrr_at_k(hits: BoolArray, target_counts: CountArray) -> FloatArray:
    """One over the rank of the first hit, 0 without a hit.

    >>> mrr_at_k(np.array([[False, True, True], [False, False, False]]), np.array([2, 2])).tolist()
    [0.5, 0.0]
    """
    _check(hits, target_counts)
    inverse_places = 1.0 / np.arange(1, hits.shape[1] + 1)
    return _where_targets(np.where(hits, inverse_places, 0.0).max(axis=1), target_counts)


def hit_rate_at_k(hits: BoolArray, target_counts: CountArray) -> FloatArray:
    """1 for a list with at least one hit, else 0."""
    _check(hits, target_counts)
    return _where_targets(np.where(hits.any(axis=1), 1.0, 0.0), target_counts)


def coverage(recommended: NDArray[np.generic], catalogue_size: int) -> float:
    """Share of the catalogue that is in at least one list.

    Args:
        recommended: items in the lists, ids or indices, of any shape.
        catalogue_size: items that could have been recommended.

    >>> coverage(np.array([["a", "b"], ["a", "c"]]), 6)
    0.5
    """
    count = len(np.unique(recommended))
    if count > catalogue_size:
        raise ValueError(f"the lists hold {count} different items, the catalogue only {catalogue_size}")
    return count / catalogue_size


def _where_targets(values: FloatArray, target_counts: CountArray) -> FloatArray:
    return np.where(target_counts > 0, values, np.nan)


def _check(hits: BoolArray, target_counts: CountArray) -> None:
    if hits.ndim != 2 or hits.shape[1] == 0 or target_counts.shape != hits.shape[:1]:
        raise ValueError(f"hits (users, k) and target_counts (users,) do not fit: {hits.shape}, {target_counts.shape}")
    if (hits.sum(axis=1) > target_counts).any():
        raise ValueError("a user has more hits than targets: is an item twice in a list?")
