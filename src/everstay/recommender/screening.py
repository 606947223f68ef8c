"""Exact search for the k best products on processors that multiply 16-bit matrices: screened in bf16, scored in full.

A block of products is computed from vectors rounded to bf16, several times as fast. How far such a product may lie
from the real one is bounded by the norms of the vectors and of what was rounded off; only what could reach the user's
k-th best score is scored again in full precision, about a dozen items for each place. Nothing that belongs in a list
is missed.

Shapes: n users, k places, d dimensions, V items. A bf16 number is looked at as a 16-bit integer: sign and magnitude, so
that positive ones are ordered as integers are, and negative ones the other way round.
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
_CHUNK = 128


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

    def slack(self, norm: float, lost: float) -> Scores:
        """How far the bf16 products with vectors of these largest norms may lie from the real ones (n,)."""
        each = self.lost * (norm + lost) + self.norm * lost
        summed = _SUMMED * self.vectors.shape[1] * (self.norm + self.lost) * (norm + lost)
        bound: Scores = (1.001 * (each + summed)).numpy()
        return bound


@njit(cache=True, nogil=True)
def select_screened(
    block: Halves, first_item: int, vectors: tuple[Scores, Scores], slack: Scores, items: IntArray, scores: Scores
) -> None:
    """Insert what beats the last place of each user's list into it.

    Args:
        block: (n, width) bf16 products of neighbouring items.
        first_item: of the block.
        vectors: of the users (n, d) and of all items (V, d).
        slack: (n,) how far a product of the block may lie from the real one.
        items: (n, k) best so far.
        scores: (n, k) of them; an equal score comes after earlier ones.
    """
    users, all_items = vectors
    last = scores.shape[1] - 1
    for row in range(block.shape[0]):
        least = _least_key(scores[row, last], slack[row])
        for begin in range(0, block.shape[1], _CHUNK):
            chunk = block[row, begin : begin + _CHUNK]
            if not _reaches(chunk, least):
                continue
            for place in range(len(chunk)):
                if _key(chunk[place]) < least:
                    continue
                item = first_item + begin + place
                score = _product(users[row], all_items[item])
                if score > scores[row, last]:
                    _insert(items[row], scores[row], item, score)
                    least = _least_key(scores[row, last], slack[row])


@njit(cache=True, nogil=True)
def _insert(items: IntArray, scores: Scores, item: int, score: np.float32) -> None:
    at = len(scores) - 1
    while at > 0 and scores[at - 1] < score:
        scores[at] = scores[at - 1]
        items[at] = items[at - 1]
        at -= 1
    scores[at] = score
    items[at] = item


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def _product(one: Scores, other: Scores) -> np.float32:
    total = np.float32(0.0)
    for place in range(len(one)):
        total += one[place] * other[place]
    return total


@njit(cache=True, nogil=True)
def _key(half: np.int16) -> int:
    """A bf16 number as an integer in the order of the numbers."""
    bits = int(half)
    return bits if bits >= 0 else -32_768 + (_MAGNITUDE - (bits & _MAGNITUDE))


@njit(cache=True, nogil=True)
def _least_key(bar: np.float32, slack: np.float32) -> int:
    """The key that a bf16 product has at least when the real one is at least `bar`."""
    if bar == -np.inf:
        return _LOWEST
    low = np.float64(bar) - np.float64(slack)
    low -= abs(low) * _ROUNDED
    bits = np.int64(np.float32(low).view(np.int32))
    if bits < 0:
        bits = -2_147_483_648 + (0x7FFFFFFF - (bits & 0x7FFFFFFF))
    return int(max(bits >> 16, np.int64(_LOWEST)))


@njit(cache=True, nogil=True)
def _reaches(chunk: Halves, least: int) -> bool:
    """Whether any key of the chunk is at least `least`; no early end, so that the compiler uses vectors."""
    found = False
    if least >= 0:
        bound = np.int16(least)
        for place in range(len(chunk)):
            found = found | (chunk[place] >= bound)
    else:
        bound = np.int16(-32_768 + (_MAGNITUDE - (least & _MAGNITUDE)))
        for place in range(len(chunk)):
            found = found | (chunk[place] >= 0) | (chunk[place] <= bound)
    return found
