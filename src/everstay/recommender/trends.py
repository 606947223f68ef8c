"""Recent popularity of each item at every past weekly as-of: as known then, not in hindsight."""

import numpy as np
from numpy.typing import NDArray

from everstay.recommender.histories import Histories
from everstay.recommender.vocabulary import Vocabulary

TREND_WEEKS = (1, 4, 16)
"""Look-back windows in weeks."""

WEEK = 7  # days

_PRIOR = 0.5  # of an order, so that an item nobody bought has a share


def log_share(orders: NDArray[np.int64]) -> NDArray[np.float32]:
    """Logarithm of each item's share (..., items) of the orders counted for it, smoothed by half an order.

    >>> log_share(np.array([1, 0, 0, 0])).tolist() == np.log(np.array([3, 1, 1, 1], np.float32) / 6).tolist()
    True
    """
    total = orders.sum(axis=-1, keepdims=True) + _PRIOR * orders.shape[-1]
    return np.log((orders + _PRIOR) / total).astype(np.float32)


def weekly_trends(histories: Histories, item_count: int, weeks: int) -> NDArray[np.float32]:
    """Log shares as they stood 0, 1, ..., `weeks` weeks before the as-of: (weeks + 1, trends, items)."""
    deepest = weeks + max(TREND_WEEKS)
    week = np.ceil(histories.line_days_ago / WEEK).astype(np.int64) - 1  # (0, 7] days ago is week 0
    is_inside = week < deepest
    cell = week[is_inside] * item_count + histories.line_item[is_inside]
    counts = np.bincount(cell, minlength=deepest * item_count).reshape(deepest, item_count)
    until = np.concatenate([np.zeros((1, item_count), np.int64), np.cumsum(counts, axis=0)])
    asked = np.arange(weeks + 1)
    return np.stack([log_share(until[asked + back] - until[asked]) for back in TREND_WEEKS], axis=1)


def current_trends(vocabulary: Vocabulary) -> NDArray[np.float32]:
    """Log shares at the vocabulary's as-of: (trends, items)."""
    return np.stack([log_share(vocabulary.purchases(weeks * WEEK)) for weeks in TREND_WEEKS])
