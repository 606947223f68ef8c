"""Re-rank a model's lists: less of the same, more of what is new, at a measured price.

Maximal marginal relevance (Carbonell and Goldstein, 1998): places are filled one after another by the candidate whose
(1 - diversity) x worth - diversity x likeness is largest. Worth is (1 - freshness) / log2(1 + the model's rank), the
discount of NDCG, plus freshness x newness, so that it means the same for every family of scores. Likeness to an item
already in the list is 1 in the same subcategory, 1/2 in the same category; the largest counts.
`python -m benchmarks.list_controls` measures the price.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from everstay.recommender.excluded import Scores
from everstay.recommender.histories import IntArray
from everstay.recommender.rules import ItemRules

POOL = 10
"""Candidates considered per place of the list."""


def reorder(items: IntArray, scores: Scores, k: int, rules: ItemRules) -> tuple[IntArray, Scores]:
    """Fill k places of each user from the candidates (n, pool), best first, -1 where there is none."""
    worth = (1 - rules.freshness) / np.log2(np.arange(items.shape[1]) + 2.0) + rules.freshness * rules.newness[items]
    chosen = _choose(items, worth, k, rules.diversity, rules.category, rules.subcategory)
    place = np.maximum(chosen, 0)
    is_filled = chosen >= 0
    picked = np.where(is_filled, np.take_along_axis(items, place, axis=1), -1)
    return picked, np.where(is_filled, np.take_along_axis(scores, place, axis=1), np.float32(-np.inf))


@njit(cache=True, nogil=True)
def _choose(
    items: IntArray, worth: NDArray[np.float64], k: int, diversity: float, category: IntArray, subcategory: IntArray
) -> IntArray:
    """Indices in the pool (n, k) in the order of the list, -1 at its end; ties go to the model's better one."""
    users, pool = items.shape
    chosen = np.full((users, k), -1, np.int64)
    likeness = np.empty(pool)
    for user in range(users):
        likeness[:] = 0.0
        is_free = items[user] >= 0
        for rank in range(k):
            best, most = -1, -np.inf
            for place in range(pool):
                if is_free[place]:
                    value = (1 - diversity) * worth[user, place] - diversity * likeness[place]
                    if value > most:
                        best, most = place, value
            if best < 0:
                break
            chosen[user, rank] = best
            is_free[best] = False
            taken = items[user, best]
            for place in range(pool):
                if is_free[place]:
                    alike = _likeness(items[user, place], taken, category, subcategory)
                    likeness[place] = max(likeness[place], alike)
    return chosen


@njit(cache=True, nogil=True)
def _likeness(one: int, other: int, category: IntArray, subcategory: IntArray) -> float:
    if category[one] != category[other] or category[one] < 0:
        return 0.0
    return 1.0 if subcategory[one] == subcategory[other] and subcategory[one] >= 0 else 0.5
