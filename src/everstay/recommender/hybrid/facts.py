"""What all users' purchases before a moment say about each item: how popular it is, how it is bought again, with what.

Shapes: V = items.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from everstay.recommender.baselines import find_neighbours
from everstay.recommender.histories import Histories, IntArray
from everstay.recommender.repeats import Repeats
from everstay.recommender.trends import log_share

SHARE_DAYS = (3, 7, 28, 112)
"""Days before the moment over which popularity is counted."""

COLUMNS = (
    *(f"log_share_{days}d" for days in SHARE_DAYS), "log_buyers", "log_age", "repeat_share", "log_repeats", "log_gap",
)  # fmt: skip
"""Of `ItemFacts.columns`: log shares of the orders of the last days; log(1 + users who ever bought it); log(1 + days
since it was first bought); the share of its buyers who bought it again; log repeats per buyer; mean log(1 + days)
between purchases by the same user. The last three are smoothed."""

NEIGHBOUR_STEP_DAYS = 28
"""Neighbours change slowly: for earlier moments they are those of up to so many days before."""

_PRIOR_BUYERS = 3.0
_PRIOR_REPEATS = 0.1  # per prior buyer
_USUAL_LOG_GAP = float(np.log1p(28.0))  # days, where nothing was bought twice yet


@dataclass(frozen=True)
class ItemFacts:
    """Facts at one moment: `columns` (V, `COLUMNS`) and `neighbours` (V, V), row = item bought."""

    columns: NDArray[np.float32]
    neighbours: sparse.csr_array


class PastFacts:
    """Facts as they stood at moments of the past; what was computed once is kept.

    Args:
        histories: of all users.
        repeats: their `track_repeats`.
        items: V.
    """

    def __init__(self, histories: Histories, repeats: Repeats, items: int) -> None:
        self.histories = histories
        self.repeats = repeats
        self.items = items
        self._neighbours: dict[int, sparse.csr_array] = {}

    def at(self, days_ago: int) -> ItemFacts:
        """Facts from purchases that lie more than `days_ago` days before the as-of."""
        step = -(-days_ago // NEIGHBOUR_STEP_DAYS) * NEIGHBOUR_STEP_DAYS
        if step not in self._neighbours:
            self._neighbours[step] = find_neighbours(before(self.histories, step), self.items)
        return ItemFacts(item_columns(self.histories, self.repeats, self.items, days_ago), self._neighbours[step])


def before(histories: Histories, days_ago: int) -> Histories:
    """The orders that lie more than `days_ago` days before the as-of, with days counted from there."""
    is_known = histories.order_days_ago > days_ago
    sizes = np.diff(histories.order_start)[is_known]
    users = histories.order_user[is_known]
    counts = np.bincount(users, minlength=histories.user_count)
    return Histories(
        line_item=histories.line_item[is_known[histories.line_order]],
        line_order=np.repeat(np.arange(len(sizes)), sizes),
        order_user=users,
        order_days_ago=histories.order_days_ago[is_known] - days_ago,
        order_start=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        user_start=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
    )


def item_columns(histories: Histories, repeats: Repeats, items: int, days_ago: int) -> NDArray[np.float32]:
    """`COLUMNS` of each item (V, C), from purchases that lie more than `days_ago` days before the as-of."""
    age = histories.line_days_ago - days_ago
    is_known = age > 0
    shares = [log_share(_count(histories.line_item[is_known & (age <= days)], items)) for days in SHARE_DAYS]
    oldest = np.zeros(items)
    np.maximum.at(oldest, histories.line_item[is_known], age[is_known])
    known = repeats.days_ago > days_ago
    buyers = _count(repeats.item[known & (repeats.count == 1)], items)
    returned = _count(repeats.item[known & (repeats.count == 2)], items)
    again = np.flatnonzero(known & (repeats.count > 1))
    log_gaps = np.log1p(repeats.days_ago[again - 1] - repeats.days_ago[again])
    repeated = _count(repeats.item[again], items)
    usual = log_gaps.mean() if len(log_gaps) else _USUAL_LOG_GAP
    gaps = np.bincount(repeats.item[again], weights=log_gaps, minlength=items)
    prior = _PRIOR_BUYERS * _PRIOR_REPEATS
    return np.stack(
        [
            *shares,
            np.log1p(buyers),
            np.log1p(oldest),
            (returned + prior) / (buyers + _PRIOR_BUYERS),
            np.log((repeated + prior) / (buyers + _PRIOR_BUYERS)),
            (gaps + _PRIOR_BUYERS * usual) / (repeated + _PRIOR_BUYERS),
        ],
        axis=1,
    ).astype(np.float32)


def _count(item: IntArray, items: int) -> IntArray:
    return np.bincount(item, minlength=items)
