"""The k best items of each user: exact, in one pass, and for dot products without the matrix of all scores.

A product is computed block by block into a buffer that stays in the processor's cache, and each block is searched
there: whole chunks are compared with the user's k-th best score so far, and only a chunk that beats it is scanned item
by item. So the search costs a small fraction of the product, and memory does not grow with users times items. Where the
processor multiplies int8 matrices faster, `screening` does the same with those.

Shapes: n users, k places, d dimensions. Scores are float32; ties are ordered by item index.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import torch
from numba import njit

from everstay.recommender import screening
from everstay.recommender.excluded import Excluded, Scores
from everstay.recommender.histories import IntArray
from everstay.recommender.threads import share_out

_CHUNK = 64  # scores compared at once
_BLOCK_USERS = 256
_BLOCK_ITEMS = 2_048  # a block of 2 MB: about a core's second-level cache


def top_k(scores: Scores, k: int, excluded: Excluded | None = None) -> tuple[IntArray, Scores]:
    """The k largest scores of each row, largest first, ties by index: items (n, k) and scores (n, k).

    Minus infinity is never chosen; where candidates run out the item is -1. Excluded scores are overwritten in place.

    >>> top_k(np.array([[0.1, 0.7, -np.inf, 0.2]], np.float32), 4)[0].tolist()
    [[1, 3, 0, -1]]
    """
    best = _Best.empty(len(scores), k)
    best.update(np.ascontiguousarray(scores, np.float32), 0, excluded or Excluded.nothing(len(scores)))
    return best.items, best.scores


@dataclass(frozen=True)
class ExactIndex:
    """Items to search for any users' best; the preparation of the items is done once.

    Attributes:
        items: (V, d) float32.
    """

    items: torch.Tensor

    @classmethod
    def of(cls, items: Scores) -> Self:
        """Hold vectors (V, d)."""
        return cls(torch.from_numpy(np.ascontiguousarray(items, np.float32)))

    def search(self, users: Scores, k: int, excluded: Excluded | None = None) -> tuple[IntArray, Scores]:
        """Return `top_k(users @ items.T, k, excluded)` without that matrix; uses as many threads as PyTorch does.

        Args:
            users: (n, d).
            k: places.
            excluded: what must not be chosen.
        """
        rows = torch.from_numpy(np.ascontiguousarray(users, np.float32))
        best, skipped = _Best.empty(len(users), k), excluded or Excluded.nothing(len(users))
        if not screening.pays(rows, self.items):
            _search(rows, self.items, best, skipped)
        elif len(left := self._screen.search(rows, self.items, skipped, (best.items, best.scores))):
            rest = _Best.empty(len(left), k)
            _search(rows[torch.from_numpy(left)], self.items, rest, skipped.select(left))
            best.items[left], best.scores[left] = rest.items, rest.scores
        return best.items, best.scores

    @cached_property
    def _screen(self) -> screening.Screen:
        return screening.Screen.of(self.items)


@dataclass(frozen=True)
class _Best:
    """The best so far of some users: items (n, k), scores (n, k), best first."""

    items: IntArray
    scores: Scores

    @classmethod
    def empty(cls, users: int, k: int) -> Self:
        return cls(np.full((users, k), -1, np.int64), np.full((users, k), -np.inf, np.float32))

    def of_users(self, part: slice) -> "_Best":
        return _Best(self.items[part], self.scores[part])

    def update(self, block: Scores, first_item: int, excluded: Excluded, cursor: IntArray | None = None) -> None:
        """Merge the scores (n, width) of consecutive items; blocks must come in the order of items."""
        if cursor is None:
            cursor = excluded.start[:-1].copy()
        excluded.overwrite(block, first_item, cursor)
        _select(block, first_item, self.items, self.scores)


def _search(users: torch.Tensor, items: torch.Tensor, best: _Best, excluded: Excluded) -> None:
    """Search with products in float32, blocks of users divided among threads."""

    def search(part: slice) -> None:
        _search_block(users[part], items.T, best.of_users(part), excluded.of_users(part))

    share_out(search, len(users), _BLOCK_USERS)


def _search_block(users: torch.Tensor, columns: torch.Tensor, best: _Best, excluded: Excluded) -> None:
    """Go through all items, `columns` (d, items), for one block of users (n, d)."""
    buffer = torch.empty(len(users) * _BLOCK_ITEMS)
    cursor = excluded.start[:-1].copy()
    for first in range(0, columns.shape[1], _BLOCK_ITEMS):
        part = columns[:, first : first + _BLOCK_ITEMS]
        block = buffer[: len(users) * part.shape[1]].view(len(users), part.shape[1])
        torch.mm(users, part, out=block)
        best.update(block.numpy(), first, excluded, cursor)


@njit(cache=True, nogil=True)
def _select(block: Scores, first_item: int, items: IntArray, scores: Scores) -> None:
    """Insert what beats the last place of each user's list (n, k) into it; ties come after earlier ones."""
    last = scores.shape[1] - 1
    width = block.shape[1]
    for row in range(block.shape[0]):
        for begin in range(0, width, _CHUNK):
            chunk = block[row, begin : begin + _CHUNK]
            bar, beats = scores[row, last], False  # no break and no call, so that the compiler vectorises
            for place in range(len(chunk)):
                beats = beats | (chunk[place] > bar)
            if not beats:
                continue
            for place in range(len(chunk)):
                score = chunk[place]
                if score > scores[row, last]:
                    at = last
                    while at > 0 and scores[row, at - 1] < score:
                        scores[row, at] = scores[row, at - 1]
                        items[row, at] = items[row, at - 1]
                        at -= 1
                    scores[row, at] = score
                    items[row, at] = first_item + begin + place
