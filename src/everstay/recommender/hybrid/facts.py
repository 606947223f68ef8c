"""Item features from all users' purchases before a moment: how often and when it is bought, with what, at what price.

Shapes: V = items.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from everstay.recommender.baselines import find_neighbours
from everstay.recommender.histories import Histories
from everstay.recommender.hybrid import prices
from everstay.recommender.hybrid.aged import Aged
from everstay.recommender.repeats import Repeats
from everstay.recommender.trends import log_share

SHARE_DAYS = (3, 7, 28, 112)
"""Days before the moment over which popularity is counted."""

DEMAND_COLUMNS = (
    *(f"log_share_{days}d" for days in SHARE_DAYS), *(f"log_tried_{days}d" for days in SHARE_DAYS),
    "log_buyers", "log_age", "repeat_share", "log_repeats", "log_gap",
)  # fmt: skip
"""Log shares of the purchases of the last days, and of users' first purchases of an item
among them; log(1 + users who ever bought it); log(1 + days since it was first bought); the
share of its buyers who bought it again; log repeats per buyer; mean log(1 + days) between purchases by the same user.
The last three are smoothed."""

COLUMNS = (*DEMAND_COLUMNS, *prices.ITEM_COLUMNS)
"""Names of `ItemFacts.columns`."""

NEIGHBOUR_STEP_DAYS = 56
"""Neighbours change slowly: for past moments they are recomputed at this step, and up to so many days old."""

_PRIOR_BUYERS = 3.0
_PRIOR_REPEATS = 0.1  # per prior buyer
_USUAL_LOG_GAP = float(np.log1p(28.0))  # days, where nothing was bought twice yet


@dataclass(frozen=True)
class ItemFacts:
    """Facts at one moment: `columns` (V, `COLUMNS`) and `neighbours` (V, V), row = item bought."""

    columns: NDArray[np.float32]
    neighbours: sparse.csr_array


class PastFacts:
    """Facts as of past moments; neighbours are cached.

    Args:
        histories: of all users.
        repeats: their `track_repeats`.
        items: V.
    """

    def __init__(self, histories: Histories, repeats: Repeats, items: int) -> None:
        self.histories = histories
        self.items = items
        again = repeats.count > 1
        gaps = np.log1p(np.append(0.0, -np.diff(repeats.days_ago)).clip(0))  # of lines that repeat the line before
        self._lines = Aged.of(histories.line_item, histories.line_days_ago)
        self._buyers, self._returned = (
            Aged.of(repeats.item[repeats.count == nth], repeats.days_ago[repeats.count == nth]) for nth in (1, 2)
        )
        self._repeats = Aged.of(repeats.item[again], repeats.days_ago[again], gaps[again])
        self._prices = prices.PriceLog.of(histories)
        self._first_sold = np.zeros(items)
        np.maximum.at(self._first_sold, histories.line_item, histories.line_days_ago)
        self._neighbours: dict[int, sparse.csr_array] = {}

    def at(self, days_ago: int) -> ItemFacts:
        """Facts from purchases that lie more than `days_ago` days before the as-of."""
        step = -(-days_ago // NEIGHBOUR_STEP_DAYS) * NEIGHBOUR_STEP_DAYS
        if step not in self._neighbours:
            self._neighbours[step] = find_neighbours(before(self.histories, step), self.items)
        return ItemFacts(self._columns(days_ago), self._neighbours[step])

    def _columns(self, days_ago: int) -> NDArray[np.float32]:
        shares = [
            log_share(part.count(self.items, days_ago, days_ago + days))
            for part in (self._lines, self._buyers)
            for days in SHARE_DAYS
        ]
        buyers, returned = (part.count(self.items, days_ago) for part in (self._buyers, self._returned))
        repeated, gaps = self._repeats.count(self.items, days_ago), self._repeats.add(self.items, days_ago)
        usual = gaps.sum() / repeated.sum() if repeated.sum() else _USUAL_LOG_GAP
        prior = _PRIOR_BUYERS * _PRIOR_REPEATS
        columns = (
            *shares,
            np.log1p(buyers),
            np.log1p(np.maximum(self._first_sold - days_ago, 0.0)),
            (returned + prior) / (buyers + _PRIOR_BUYERS),
            np.log((repeated + prior) / (buyers + _PRIOR_BUYERS)),
            (gaps + _PRIOR_BUYERS * usual) / (repeated + _PRIOR_BUYERS),
            *self._prices.columns(self.items, days_ago),
        )
        return np.stack(columns, axis=1).astype(np.float32)


def before(histories: Histories, days_ago: int) -> Histories:
    """The orders that lie more than `days_ago` days before the as-of, with days counted from there."""
    is_known = histories.order_days_ago > days_ago
    sizes, line = np.diff(histories.order_start)[is_known], is_known[histories.line_order]
    users = histories.order_user[is_known]
    counts = np.bincount(users, minlength=histories.user_count)
    return Histories(
        line_item=histories.line_item[line],
        line_order=np.repeat(np.arange(len(sizes)), sizes),
        line_price=histories.line_price[line],
        line_discount=histories.line_discount[line],
        order_user=users,
        order_days_ago=histories.order_days_ago[is_known] - days_ago,
        order_start=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        user_start=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
    )
