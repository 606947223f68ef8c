"""The k best items of each user: exact, in one pass, and for dot products without the matrix of all scores.

A product is computed block by block into a buffer that stays in the processor's cache, and each block is searched
there: whole chunks are compared with the user's k-th best score so far, and only a chunk that beats it is looked at
item by item. So the search costs a small part of the product, and memory does not grow with users times
items. Where the processor multiplies 16-bit matrices faster, `screening` does the same from those.

Shapes: n users, k places, d dimensions. Scores are float32; what is equal is ordered by item index.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray

from everstay.recommender import screening
from everstay.recommender.screening import Candidates, Rounded

IntArray = NDArray[np.int64]
Scores = NDArray[np.float32]

_CHUNK = 64  # scores compared at once
_BLOCK_USERS = 256
_BLOCK_ITEMS = 2_048  # a block of 2 MB: about a core's second-level cache
_SCREENED_USERS, _SCREENED_ITEMS = 1_024, 4_096  # 16-bit products come so fast that larger blocks pay


@dataclass(frozen=True)
class Excluded:
    """What must not be chosen.

    Attributes:
        start: (n + 1,) first entry of each user in `item`.
        item: item indices, rising within a user.
        everywhere: item indices that no user may get, rising.
    """

    start: IntArray
    item: IntArray
    everywhere: IntArray

    @classmethod
    def from_pairs(cls, user: IntArray, item: IntArray, users: int, everywhere: IntArray | None = None) -> Self:
        """Sort pairs of user and item, which may come in any order and more than once."""
        order = np.lexsort((item, user))
        start = np.searchsorted(user[order], np.arange(users + 1))
        return cls(start, item[order], np.empty(0, np.int64) if everywhere is None else everywhere)

    def overwrite(self, block: NDArray[Any], first_item: int, cursor: IntArray, value: Any) -> None:
        """Write `value` over what is excluded of a block (n, width) of neighbouring items; blocks come in their order.

        `cursor` (n,) stands at each user's first entry not yet met, and is moved on.
        """
        low, high = np.searchsorted(self.everywhere, (first_item, first_item + block.shape[1]))
        _mask(block, first_item, (self.start, self.item), cursor, self.everywhere[low:high], value)

    def mask(self, scores: Scores) -> Scores:
        """Overwrite what is excluded in scores (n, items) with minus infinity, and give them back."""
        scores[np.repeat(np.arange(len(self.start) - 1), np.diff(self.start)), self.item] = -np.inf
        scores[:, self.everywhere] = -np.inf
        return scores

    def of_users(self, first: int, last: int) -> Self:
        """The part of users `first` to `last` - 1."""
        start = self.start[first : last + 1]
        return type(self)(start - start[0], self.item[start[0] : start[-1]], self.everywhere)


def top_k(scores: Scores, k: int, excluded: Excluded | None = None) -> tuple[IntArray, Scores]:
    """The k largest scores of each row, largest first, equal ones by index: items (n, k) and scores (n, k).

    Minus infinity is no candidate; where candidates run out the item is -1. Scores that are excluded are overwritten.

    >>> top_k(np.array([[0.1, 0.7, -np.inf, 0.2]], np.float32), 4)[0].tolist()
    [[1, 3, 0, -1]]
    """
    best = _Best.empty(len(scores), k)
    best.update(np.ascontiguousarray(scores, np.float32), 0, excluded or _nothing(len(scores)))
    return best.items, best.scores


def top_k_products(users: Scores, items: Scores, k: int, excluded: Excluded | None = None) -> tuple[IntArray, Scores]:
    """What `top_k(users @ items.T, k, excluded)` gives, without that matrix; uses as many threads as PyTorch does.

    Args:
        users: (n, d).
        items: (items, d).
        k: places.
        excluded: what must not be chosen.
    """
    rows, columns = (torch.from_numpy(np.ascontiguousarray(part, np.float32)) for part in (users, items))
    best = _Best.empty(len(users), k)
    skipped = excluded or _nothing(len(users))
    search_block = _screened(columns) if screening.is_fast() else partial(_search, columns.T)

    at_once = _SCREENED_USERS if screening.is_fast() else _BLOCK_USERS

    def search(first: int) -> None:
        last = min(first + at_once, len(users))
        search_block(rows[first:last], best.of_users(first, last), skipped.of_users(first, last))

    with _one_thread_each() as threads:
        starts = range(0, len(users), at_once)
        if threads == 1 or len(starts) == 1:
            for first in starts:
                search(first)
        else:
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(search, starts))
    return best.items, best.scores


@dataclass(frozen=True)
class _Best:
    """The best so far of some users: items (n, k), scores (n, k), best first."""

    items: IntArray
    scores: Scores

    @classmethod
    def empty(cls, users: int, k: int) -> Self:
        return cls(np.full((users, k), -1, np.int64), np.full((users, k), -np.inf, np.float32))

    def of_users(self, first: int, last: int) -> "_Best":
        return _Best(self.items[first:last], self.scores[first:last])

    def update(self, block: Scores, first_item: int, excluded: Excluded, cursor: IntArray | None = None) -> None:
        """Take in the scores (n, width) of neighbouring items; blocks must come in the order of items."""
        if cursor is None:
            cursor = excluded.start[:-1].copy()
        excluded.overwrite(block, first_item, cursor, np.float32(-np.inf))
        _select(block, first_item, self.items, self.scores)


def _search(columns: torch.Tensor, users: torch.Tensor, best: _Best, excluded: Excluded) -> None:
    """Go through all items, `columns` (d, items), for one block of users (n, d)."""
    buffer = torch.empty(len(users) * _BLOCK_ITEMS)
    cursor = excluded.start[:-1].copy()
    for first in range(0, columns.shape[1], _BLOCK_ITEMS):
        part = columns[:, first : first + _BLOCK_ITEMS]
        block = buffer[: len(users) * part.shape[1]].view(len(users), part.shape[1])
        torch.mm(users, part, out=block)
        best.update(block.numpy(), first, excluded, cursor)


def _screened(items: torch.Tensor) -> Callable[[torch.Tensor, _Best, Excluded], None]:
    """The same by products in bf16; what every block of users needs is computed once."""
    rounded = Rounded.of(items)

    def search(users: torch.Tensor, best: _Best, excluded: Excluded) -> None:
        asked, cursor = Rounded.of(users), excluded.start[:-1].copy()
        candidates = Candidates.none(asked.slack(rounded), best.items.shape[1])
        buffer = torch.empty(len(users) * _SCREENED_ITEMS, dtype=torch.bfloat16)
        for first in range(0, len(items), _SCREENED_ITEMS):
            part = rounded.vectors[first : first + _SCREENED_ITEMS].T
            block = buffer[: len(users) * part.shape[1]].view(len(users), part.shape[1])
            torch.mm(asked.vectors, part, out=block)
            halves = block.view(torch.int16).numpy()
            excluded.overwrite(halves, first, cursor, screening.MINUS_INFINITY)
            candidates.collect(halves, first)
        for user in candidates.score(users.numpy(), items.numpy(), (best.items, best.scores)):
            row = slice(int(user), int(user) + 1)  # so many alike that they did not fit
            _search(items.T, users[row], best.of_users(row.start, row.stop), excluded.of_users(row.start, row.stop))

    return search


@njit(cache=True, nogil=True)
def _mask(
    block: NDArray[Any],
    first_item: int,
    pairs: tuple[IntArray, IntArray],
    cursor: IntArray,
    everywhere: IntArray,
    value: Any,
) -> None:
    start, item = pairs
    end = first_item + block.shape[1]
    for row in range(block.shape[0]):
        for one in everywhere:
            block[row, one - first_item] = value
        place = cursor[row]
        while place < start[row + 1] and item[place] < end:
            block[row, item[place] - first_item] = value
            place += 1
        cursor[row] = place


@njit(cache=True, nogil=True)
def _select(block: Scores, first_item: int, items: IntArray, scores: Scores) -> None:
    """Insert what beats the last place of each user's list (n, k) into it; an equal score comes after earlier ones."""
    last = scores.shape[1] - 1
    width = block.shape[1]
    for row in range(block.shape[0]):
        for begin in range(0, width, _CHUNK):
            chunk = block[row, begin : begin + _CHUNK]
            bar, beats = scores[row, last], False  # no early end, and no call, so that the compiler uses vectors
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


def _nothing(users: int) -> Excluded:
    return Excluded(np.zeros(users + 1, np.int64), np.empty(0, np.int64), np.empty(0, np.int64))


@contextmanager
def _one_thread_each() -> Iterator[int]:
    """Let each product use one thread, for the blocks are shared out among threads; gives their number."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield min(threads, os.cpu_count() or 1)
    finally:
        torch.set_num_threads(threads)
