"""Loops over blocks of integer products: what could be among a user's k best is kept, then scored.

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
_LOWER = 2**32 - 1  # mask of the bits of an item, below those of its product
_ROOM = 512  # for candidates, in addition to four per place


class Skipped(NamedTuple):
    """What must not be chosen.

    Attributes:
        start: (users + 1,) first entry of each user in `item`.
        item: item indices, ascending within a user.
        is_hidden: (V,) items that no user may get.
    """

    start: IntArray
    item: IntArray
    is_hidden: NDArray[np.bool_]


class Candidates(NamedTuple):
    """What could be among the k best of some users.

    Attributes:
        margin: (n,) how far below the k-th largest product that of one of the real k best may be.
        best: (n, k) the largest products so far, descending.
        pair: (n, C) a product in the upper 32 bits, its item in the lower; the first `kept` of each row are valid.
        kept: (n,) number of candidates; C + 1: they did not fit.
    """

    margin: IntArray
    best: Products
    pair: IntArray
    kept: IntArray

    @classmethod
    def none(cls, margin: IntArray, k: int) -> Self:
        """No candidates, before the first block."""
        users, room = len(margin), 4 * k + _ROOM
        best = np.full((users, k), _LOWEST, np.int32)
        return cls(margin, best, np.empty((users, room), np.int64), np.zeros(users, np.int64))

    def do_not_fit(self) -> NDArray[np.bool_]:
        """Which users (n,) have more candidates than fit."""
        are_too_many: NDArray[np.bool_] = self.kept > self.pair.shape[1]
        return are_too_many


@njit(cache=True, nogil=True)
def collect(
    block: Products, rows: IntArray, order: IntArray, user: IntArray, skipped: Skipped, candidates: Candidates
) -> None:  # fmt: skip
    """Keep what could be among the k best, of products (m, width) of users `rows` (m,) and items `order` (width,)."""
    margin, best, pair, kept = candidates
    start, own, is_hidden = skipped
    places, last = np.empty(_CHUNK, np.int64), best.shape[1] - 1
    for line, row in enumerate(rows):
        products, least = block[line], _least(best[row, last], margin[row])
        begin = _next_chunk(products, 0, least)
        while begin < len(products):
            for place in places[: _reaching(products[begin : begin + _CHUNK], least, places)]:
                candidate, its = order[begin + place], products[begin + place]
                if its < least or is_hidden[candidate]:
                    continue
                if _is_among(own, start[user[row]], start[user[row] + 1], candidate):
                    continue
                _keep(row, _pair(its, candidate), least, pair, kept)
                if its > best[row, last]:
                    _insert_product(best, row, its)
                    least = _least(best[row, last], margin[row])
            begin = _next_chunk(products, begin + _CHUNK, least)


@njit(cache=True, nogil=True)
def still_open(rows: IntArray, reach: Scores, length: float, candidates: Candidates) -> IntArray:
    """Those of `rows` for whom an item of at most this `length` could be among the k best.

    Half of the margin bounds how far the k-th real product may be below the integer one; the other half is an item's.
    """
    margin, best = candidates.margin, candidates.best
    count, found = 0, np.empty_like(rows)
    for row in rows:
        kth = best[row, best.shape[1] - 1] - (margin[row] + 1) // 2
        found[count] = row
        count += not reach[row] * length < kth  # negated so that NaN stays open
    return found[:count]


@njit(nogil=True)
def _reaching(chunk: Products, least: int, places: IntArray) -> int:
    """Write where a product is `least` or more, and return their number; branch-free, so nothing is mispredicted."""
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
        for place in range(len(chunk)):  # no break and no call, so that the compiler vectorises
            largest = max(largest, chunk[place])
        if largest >= least:
            return begin
        begin += _CHUNK
    return len(products)


@njit(nogil=True)
def _is_among(rising: IntArray, low: int, high: int, item: int) -> bool:
    """Whether an item is in `rising[low:high]`, by bisection."""
    end = high
    while low < high:
        middle = (low + high) // 2
        if rising[middle] < item:
            low = middle + 1
        else:
            high = middle
    return low < end and rising[low] == item


@njit(nogil=True)
def _pair(product: int, item: int) -> int:
    return product << 32 | item


@njit(nogil=True)
def _keep(row: int, one: int, least: int, pair: IntArray, kept: IntArray) -> None:
    """Add an item and its product to a user's candidates, or note that they do not fit."""
    room = pair.shape[1]
    if kept[row] == room:
        kept[row] = _drop_below(row, least, pair)
    if kept[row] < room:
        pair[row, kept[row]] = one
        kept[row] += 1
    else:
        kept[row] = room + 1


@njit(nogil=True)
def _drop_below(row: int, least: int, pair: IntArray) -> int:
    count = 0
    for place in range(pair.shape[1]):
        if pair[row, place] >> 32 >= least:
            pair[row, count] = pair[row, place]
            count += 1
    return count


@njit(cache=True, nogil=True)
def score(
    user: IntArray, users: Scores, items: Scores, candidates: Candidates, found: IntArray, scores: Scores
) -> None:  # fmt: skip
    """Score the remaining candidates in float32 and insert them into the users' lists; ties are ordered by item."""
    margin, best, pair, kept = candidates
    for row in range(len(user)):
        if kept[row] > pair.shape[1]:
            continue
        least = _least(best[row, best.shape[1] - 1], margin[row])
        for one in pair[row, : kept[row]]:
            if one >> 32 >= least:
                item = one & _LOWER
                _insert(found[user[row]], scores[user[row]], item, _product(users[row], items[item]))


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
