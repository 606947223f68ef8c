"""Exact search for the k best products on processors that multiply 16-bit matrices: screened in bf16, then scored.

Blocks of products are computed from vectors rounded to bf16, several times as fast. How far such a product may lie
from the real one is bounded by the norms of the vectors and of what was rounded off; what could be among a user's k
best is kept, and in the end the few that still could are scored in float32. Nothing that belongs in a list is missed.

Shapes: n users, k places, d dimensions, V items. A bf16 number is looked at as a 16-bit integer: sign and magnitude, so
that positive ones are ordered as integers are, and negative ones the other way round; a *key* is in order throughout.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray

IntArray = NDArray[np.int64]
Scores = NDArray[np.float32]
Halves = NDArray[np.int16]

MINUS_INFINITY = np.int16(-128)  # 0xFF80
_LOWEST = -32_640  # the key just above that of minus infinity
_MAGNITUDE = 0x7FFF
_ROUNDED = 0.00391  # a little more than 2 ** -8: what rounding a product to bf16 moves it by, relatively
_SUMMED = 2.0**-22  # per dimension: what summing in float32 moves it by, relative to the norms
_CHUNK = 64  # products compared at once
_ROOM = 512  # for candidates, besides four for each place


def is_fast() -> bool:
    """Whether this processor multiplies bf16 matrices faster than float32 ones."""
    return bool(torch.cpu.get_capabilities().get("amx_bf16", False))


@dataclass(frozen=True)
class Rounded:
    """Vectors (n, d) in bf16, and the norms (n,) of their rounded forms and of what was rounded off."""

    vectors: torch.Tensor
    norm: torch.Tensor
    lost: torch.Tensor

    @classmethod
    def of(cls, vectors: torch.Tensor) -> Self:
        """Round float32 vectors."""
        rounded = vectors.to(torch.bfloat16)
        back = rounded.float()
        return cls(rounded, back.norm(dim=1), (vectors - back).norm(dim=1))

    def slack(self, items: "Rounded") -> Scores:
        """How far bf16 products with any of the items may lie from the real ones (n,)."""
        norm, lost = float(items.norm.max()), float(items.lost.max())
        each = self.lost * (norm + lost) + self.norm * lost
        summed = _SUMMED * self.vectors.shape[1] * (self.norm + self.lost) * (norm + lost)
        bound: Scores = (1.001 * (each + summed)).numpy()
        return bound


@dataclass(frozen=True)
class Candidates:
    """What could be among the k best of some users.

    Attributes:
        slack: (n,) how far a bf16 product may lie from the real one.
        best: (n, k) the largest keys so far, falling.
        item: (n, C) item index, rising; the first `count` of each row hold.
        key: (n, C) of its product.
        count: (n,) more than C: they did not fit.
    """

    slack: Scores
    best: NDArray[np.int32]
    item: IntArray
    key: NDArray[np.int32]
    count: IntArray

    @classmethod
    def none(cls, slack: Scores, k: int) -> Self:
        """Before the first block."""
        users, room = len(slack), 4 * k + _ROOM
        best = np.full((users, k), _LOWEST - 1, np.int32)
        item, key = np.empty((users, room), np.int64), np.empty((users, room), np.int32)
        return cls(slack, best, item, key, np.zeros(users, np.int64))

    def collect(self, block: Halves, first_item: int) -> None:
        """Keep what could be among the k best, of the bf16 products (n, width) of neighbouring items."""
        _collect(block, first_item, self.slack, self.best, self.item, self.key, self.count)

    def score(self, users: Scores, items: Scores, found: tuple[IntArray, Scores]) -> IntArray:
        """Fill lists of items and scores (n, k); gives the users (m,) who had too many candidates."""
        _score(users, items, (self.slack, self.best, self.item, self.key, self.count), *found)
        return np.flatnonzero(self.count > self.item.shape[1])


@njit(cache=True, nogil=True)
def _collect(
    block: Halves, first_item: int, slack: Scores, best: NDArray[np.int32], item: IntArray, key: NDArray[np.int32],
    count: IntArray,
) -> None:  # fmt: skip
    for row in range(block.shape[0]):
        least = _least_key(best[row, best.shape[1] - 1], slack[row])
        begin = _next_chunk(block[row], 0, least)
        while begin < block.shape[1]:
            chunk = block[row, begin : begin + _CHUNK]
            least = _keep(chunk, first_item + begin, (row, least, slack[row]), best, item, key, count)
            begin = _next_chunk(block[row], begin + _CHUNK, least)


@njit(nogil=True)
def _next_chunk(products: Halves, begin: int, least: int) -> int:
    """Where the next chunk begins in which a product's key is `least` or more; the number of products if none is."""
    bound = _half(least)
    while begin < len(products):
        chunk, reaches = products[begin : begin + _CHUNK], False
        if least >= 0:  # no early end and no call in these loops, so that the compiler uses vectors
            for place in range(len(chunk)):
                reaches = reaches | (chunk[place] >= bound)
        else:
            for place in range(len(chunk)):
                reaches = reaches | (chunk[place] >= 0) | (chunk[place] <= bound)
        if reaches:
            return begin
        begin += _CHUNK
    return len(products)


@njit(nogil=True)
def _keep(
    chunk: Halves, first_item: int, asked: tuple[int, int, np.float32], best: NDArray[np.int32], item: IntArray,
    key: NDArray[np.int32], count: IntArray,
) -> int:  # fmt: skip
    """Take what is large enough of a chunk of one user's products; gives the least key from there on."""
    row, least, slack = asked
    room, last, kept = item.shape[1], best.shape[1] - 1, count[row]
    for place in range(len(chunk)):
        one = _key(chunk[place])
        if one < least or kept > room:
            continue
        if kept == room:
            kept = _drop_below(least, item[row], key[row], room)
            if kept == room:
                kept = room + 1
                continue
        item[row, kept], key[row, kept] = first_item + place, one
        kept += 1
        if one > best[row, last]:
            _insert_key(best[row], one)
            least = _least_key(best[row, last], slack)
    count[row] = kept
    return least


@njit(nogil=True)
def _drop_below(least: int, item: IntArray, key: NDArray[np.int32], count: int) -> int:
    kept = 0
    for place in range(count):
        if key[place] >= least:
            item[kept], key[kept] = item[place], key[place]
            kept += 1
    return kept


@njit(cache=True, nogil=True)
def _score(
    users: Scores, items: Scores,
    candidates: tuple[Scores, NDArray[np.int32], IntArray, NDArray[np.int32], IntArray],
    found: IntArray, scores: Scores,
) -> None:  # fmt: skip
    slack, best, item, key, count = candidates
    last = scores.shape[1] - 1
    for row in range(len(count)):
        if count[row] > item.shape[1]:
            continue
        least = _least_key(best[row, last], slack[row])
        for place in range(count[row]):
            if key[row, place] >= least:
                score = _product(users[row], items[item[row, place]])
                if score > scores[row, last]:
                    _insert(found[row], scores[row], item[row, place], score)


@njit(nogil=True)
def _insert_key(best: NDArray[np.int32], key: int) -> None:
    at = len(best) - 1
    while at > 0 and best[at - 1] < key:
        best[at] = best[at - 1]
        at -= 1
    best[at] = key


@njit(nogil=True)
def _insert(items: IntArray, scores: Scores, item: int, score: np.float32) -> None:
    at = len(scores) - 1
    while at > 0 and scores[at - 1] < score:
        scores[at] = scores[at - 1]
        items[at] = items[at - 1]
        at -= 1
    scores[at] = score
    items[at] = item


@njit(nogil=True, fastmath={"reassoc", "contract"})
def _product(one: Scores, other: Scores) -> np.float32:
    total = np.float32(0.0)
    for place in range(len(one)):
        total += one[place] * other[place]
    return total


@njit(nogil=True)
def _key(half: np.int16) -> int:
    """A bf16 number as an integer in the order of the numbers."""
    bits = int(half)
    return bits if bits >= 0 else -32_768 + (_MAGNITUDE - (bits & _MAGNITUDE))


@njit(nogil=True)
def _half(key: int) -> np.int16:
    """The bf16 number of a key."""
    return np.int16(key if key >= 0 else -32_768 + (_MAGNITUDE - (key & _MAGNITUDE)))


@njit(nogil=True)
def _least_key(kth: int, slack: np.float32) -> int:
    """The least key of an item that can be among the k best when `kth` is the k-th best key."""
    if kth < _LOWEST:
        return _LOWEST
    product = np.float64(np.int32(np.int32(_half(kth)) << 16).view(np.float32))
    low = product - abs(product) * _ROUNDED - 2 * np.float64(slack)  # the k-th best is at least product - ... - slack
    low -= abs(low) * _ROUNDED
    wide = np.int64(np.float32(low).view(np.int32))
    if wide < 0:
        wide = -2_147_483_648 + (0x7FFFFFFF - (wide & 0x7FFFFFFF))
    return int(max(wide >> 16, np.int64(_LOWEST)))
