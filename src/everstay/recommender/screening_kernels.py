"""Loops over blocks of whole products: what could be among a user's k best is kept, then scored.

Shapes: n users of a block, k places, d dimensions, C candidates.
"""

from typing import NamedTuple, Self

import numpy as np
from numba import njit
from numpy.typing import NDArray

from everstay.recommender.excluded import Scores
from everstay.recommender.histories import IntArray

Products = NDArray[np.int32]

_LOWEST = -(2**31)  # below every product
_CHUNK = 64  # products compared at once
_ROOM = 512  # for candidates, besides four for each place


class Skipped(NamedTuple):
    """What must not be chosen.

    Attributes:
        start: (users + 1,) first entry of each user in `item`.
        item: item indices, rising within a user.
        is_hidden: (V,) items that no user may get.
    """

    start: IntArray
    item: IntArray
    is_hidden: NDArray[np.bool_]


class Candidates(NamedTuple):
    """What could be among the k best of some users.

    Attributes:
        margin: (n,) by how much a product of one of the k best may be less than the k-th product.
        best: (n, k) the largest products so far, falling.
        item: (n, C) item index; the first `kept` of each row hold.
        product: (n, C) theirs.
        kept: (n,) how many; C + 1: they did not fit.
    """

    margin: IntArray
    best: Products
    item: NDArray[np.int32]
    product: Products
    kept: IntArray

    @classmethod
    def none(cls, margin: IntArray, k: int) -> Self:
        """Before the first block."""
        users, room = len(margin), 4 * k + _ROOM
        best = np.full((users, k), _LOWEST, np.int32)
        item, product = np.empty((2, users, room), np.int32)
        return cls(margin, best, item, product, np.zeros(users, np.int64))

    def do_not_fit(self) -> NDArray[np.bool_]:
        """Which users (n,) have more candidates than fit."""
        are_too_many: NDArray[np.bool_] = self.kept > self.item.shape[1]
        return are_too_many


@njit(cache=True, nogil=True)
def collect(block: Products, order: IntArray, user: IntArray, skipped: Skipped, candidates: Candidates) -> None:
    """Keep what could be among the k best, of the products (n, width) of the items `order` (width,)."""
    margin, best, item, product, kept = candidates
    start, own, is_hidden = skipped
    places, last = np.empty(_CHUNK, np.int64), best.shape[1] - 1
    for row in range(block.shape[0]):
        least = _least(best[row, last], margin[row])
        begin = _next_chunk(block[row], 0, least)
        while begin < block.shape[1]:
            for place in places[: _reaching(block[row, begin : begin + _CHUNK], least, places)]:
                candidate, its = order[begin + place], block[row, begin + place]
                if its < least or is_hidden[candidate]:
                    continue
                if _is_among(own, start[user[row]], start[user[row] + 1], candidate):
                    continue
                _keep(row, candidate, its, least, item, product, kept)
                if its > best[row, last]:
                    _insert_product(best, row, its)
                    least = _least(best[row, last], margin[row])
            begin = _next_chunk(block[row], begin + _CHUNK, least)


@njit(cache=True, nogil=True)
def are_full(reach: Scores, margin: IntArray, best: Products) -> bool:
    """Whether no item whose real product is at most `reach` (n,) could be among the k best, of any of the users."""
    open_lists = 0
    for row in range(len(reach)):
        open_lists += not reach[row] < best[row, best.shape[1] - 1] - margin[row]  # so that NaN reaches everything
    return open_lists == 0


@njit(nogil=True)
def _reaching(chunk: Products, least: int, places: IntArray) -> int:
    """Write where a product is `least` or more, and give their number; no branch that could be foretold wrongly."""
    count, bound = 0, np.int32(least)
    for place in range(len(chunk)):
        places[count] = place
        count += chunk[place] >= bound
    return count


@njit(nogil=True)
def _next_chunk(products: Products, begin: int, least: int) -> int:
    """Where the next chunk begins in which a product is `least` or more; the number of products if none is."""
    while begin < len(products):
        chunk, largest = products[begin : begin + _CHUNK], np.int32(_LOWEST)
        for place in range(len(chunk)):  # no early end and no call, so that the compiler uses vectors
            largest = max(largest, chunk[place])
        if largest >= least:
            return begin
        begin += _CHUNK
    return len(products)


@njit(nogil=True)
def _is_among(rising: IntArray, low: int, high: int, item: int) -> bool:
    """Whether an item stands from `low` to before `high`."""
    end = high
    while low < high:
        middle = (low + high) // 2
        if rising[middle] < item:
            low = middle + 1
        else:
            high = middle
    return low < end and rising[low] == item


@njit(nogil=True)
def _keep(
    row: int, candidate: int, its: int, least: int, item: NDArray[np.int32], product: Products, kept: IntArray
) -> None:  # fmt: skip
    """Add an item and its product to a user's candidates, or note that they do not fit."""
    room = item.shape[1]
    if kept[row] == room:
        kept[row] = _drop_below(row, least, item, product)
    if kept[row] < room:
        item[row, kept[row]], product[row, kept[row]] = candidate, its
        kept[row] += 1
    else:
        kept[row] = room + 1


@njit(nogil=True)
def _drop_below(row: int, least: int, item: NDArray[np.int32], product: Products) -> int:
    count = 0
    for place in range(item.shape[1]):
        if product[row, place] >= least:
            item[row, count], product[row, count] = item[row, place], product[row, place]
            count += 1
    return count


@njit(cache=True, nogil=True)
def score(
    user: IntArray, users: Scores, items: Scores, candidates: Candidates, found: IntArray, scores: Scores
) -> None:  # fmt: skip
    """Score in float32 what is left, and insert it into the lists of all users; equal scores by item."""
    margin, best, item, product, kept = candidates
    for row in range(len(user)):
        if kept[row] > item.shape[1]:
            continue
        least = _least(best[row, best.shape[1] - 1], margin[row])
        for place in range(kept[row]):
            if product[row, place] >= least:
                score = _product(users[row], items[item[row, place]])
                _insert(found[user[row]], scores[user[row]], item[row, place], score)


@njit(nogil=True)
def _insert_product(best: Products, row: int, product: np.int32) -> None:
    at = best.shape[1] - 1
    while at > 0 and best[row, at - 1] < product:
        best[row, at] = best[row, at - 1]
        at -= 1
    best[row, at] = product


@njit(nogil=True)
def _insert(items: IntArray, scores: Scores, item: int, score: np.float32) -> None:
    at = len(scores)
    while at > 0 and (scores[at - 1] < score or (scores[at - 1] == score and items[at - 1] > item)):
        at -= 1
    for place in range(len(scores) - 1, at, -1):
        scores[place], items[place] = scores[place - 1], items[place - 1]
    if at < len(scores):
        scores[at], items[at] = score, item


@njit(nogil=True, fastmath={"reassoc", "contract"})
def _product(one: Scores, other: Scores) -> np.float32:
    total = np.float32(0.0)
    for place in range(len(one)):
        total += one[place] * other[place]
    return total


@njit(nogil=True)
def _least(kth: int, margin: int) -> int:
    """The least product of an item that can be among the k best when `kth` is the k-th largest product."""
    return max(int(kth) - margin, _LOWEST)
