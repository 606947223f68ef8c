"""Items that must not be recommended: each user's own, and those excluded for everyone."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numba import njit
from numpy.typing import NDArray

from everstay.recommender.histories import IntArray, spread

Scores = NDArray[np.float32]


@dataclass(frozen=True)
class Excluded:
    """What must not be chosen.

    Attributes:
        start: (n + 1,) first entry of each user in `item`.
        item: item indices, ascending within a user.
        everywhere: item indices that no user may get, ascending.
    """

    start: IntArray
    item: IntArray
    everywhere: IntArray

    @classmethod
    def from_pairs(cls, user: IntArray, item: IntArray, users: int, everywhere: IntArray | None = None) -> Self:
        """Sort pairs of user and item; any order and duplicates are allowed."""
        order = np.lexsort((item, user))
        start = np.searchsorted(user[order], np.arange(users + 1))
        return cls(start, item[order], np.empty(0, np.int64) if everywhere is None else everywhere)

    @classmethod
    def nothing(cls, users: int) -> Self:
        """Exclude nothing."""
        return cls(np.zeros(users + 1, np.int64), np.empty(0, np.int64), np.empty(0, np.int64))

    def overwrite(self, block: Scores, first_item: int, cursor: IntArray) -> None:
        """Set excluded scores to minus infinity in a block (n, width) of consecutive items; blocks come in order.

        `cursor` (n,) is each user's first entry not yet reached, and is advanced.
        """
        low, high = np.searchsorted(self.everywhere, (first_item, first_item + block.shape[1]))
        _mask(block, first_item, (self.start, self.item), cursor, self.everywhere[low:high])

    def mask(self, scores: Scores) -> Scores:
        """Set excluded scores (n, items) to minus infinity in place, and return the scores."""
        scores[np.repeat(np.arange(len(self.start) - 1), np.diff(self.start)), self.item] = -np.inf
        scores[:, self.everywhere] = -np.inf
        return scores

    def of_users(self, part: slice) -> Self:
        """The exclusions of a slice of users."""
        start = self.start[part.start : part.stop + 1]
        return type(self)(start - start[0], self.item[start[0] : start[-1]], self.everywhere)

    def select(self, user: IntArray) -> Self:
        """The exclusions of some users, in this order."""
        counts = np.diff(self.start)[user]
        _, entry = spread(self.start[user], counts)
        return type(self)(np.concatenate([[0], np.cumsum(counts)]), self.item[entry], self.everywhere)


@njit(cache=True, nogil=True)
def _mask(
    block: Scores, first_item: int, pairs: tuple[IntArray, IntArray], cursor: IntArray, everywhere: IntArray
) -> None:
    start, item = pairs
    end = first_item + block.shape[1]
    for row in range(block.shape[0]):
        for one in everywhere:
            block[row, one - first_item] = -np.inf
        place = cursor[row]
        while place < start[row + 1] and item[place] < end:
            block[row, item[place] - first_item] = -np.inf
            place += 1
        cursor[row] = place
