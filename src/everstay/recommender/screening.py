"""Exact search for the k best products on processors that multiply 8-bit matrices: screened in int8, then scored.

Blocks of products are computed from vectors rounded to whole numbers of 8 bits, several times as fast. How far such a
product may lie from the real one is bounded by the lengths of the vectors and of what was rounded off; what could be
among a user's k best is kept, and in the end the few that still could are scored in float32. Nothing that belongs in a
list is missed.

What all items have in common does not order a user's, so items are taken from their mean. Both sides are turned by one
random rotation, which changes no product but spreads every vector evenly over its dimensions, so that less is rounded
off (QuaRot, Ashkboos et al. 2024, section 3). Items come in the order of their lengths, and none is multiplied that is
too short for all users of a block (LEMP, Teflioudi et al. 2015, section 3).

Shapes: n users, k places, d dimensions, V items.
"""

from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray

from everstay.recommender.excluded import Excluded, IntArray, Scores
from everstay.recommender.screening_kernels import Candidates, are_full, collect, score
from everstay.recommender.threads import share_out

_INSTRUCTIONS = ("amx_int8", "avx512_vnni", "avx_vnni")
_LARGEST = 127
_SMALLEST_STEP = torch.finfo(torch.float32).tiny
_TURNED = 2.0**-21  # times d ** 1.5: what rotating and summing in float32 move a product by, relative to the lengths
_BLOCK_USERS, _BLOCK_ITEMS = 1_024, 1_024
_MEASURED_USERS = 16_384


def is_fast() -> bool:
    """Whether this processor multiplies int8 matrices faster than float32 ones."""
    known = torch.cpu.get_capabilities()
    return torch.backends.mkldnn.is_available() and any(known.get(name, False) for name in _INSTRUCTIONS)


@dataclass(frozen=True)
class Coarse:
    """Vectors as whole numbers.

    Attributes:
        vectors: (n, d) int8.
        step: (n, 1), or (1, 1) for all: what a whole number stands for.
        length: (n,) of the vectors before they were rounded.
        lost: (n,) length of what was rounded off.
    """

    vectors: torch.Tensor
    step: torch.Tensor
    length: torch.Tensor
    lost: torch.Tensor

    @classmethod
    def of(cls, vectors: torch.Tensor, largest: torch.Tensor) -> Self:
        """Round float32 vectors, of which no number is further from zero than `largest`, (n, 1) or (1, 1)."""
        step = (largest / _LARGEST).clamp_min(_SMALLEST_STEP)
        whole = torch.round(vectors / step).clamp_(-_LARGEST, _LARGEST)
        return cls(whole.to(torch.int8), step, vectors.norm(dim=1), (vectors - whole * step).norm(dim=1))


@dataclass(frozen=True)
class Screen:
    """All items, ready to be multiplied with users.

    Attributes:
        items: taken from their mean, turned, and rounded with one step for all; the longest first.
        order: (V,) which item each of them is.
        rotation: (d, d).
        covariance: (d, d) of the items.
        longest: length of the longest item before the mean was taken off.
    """

    items: Coarse
    order: IntArray
    rotation: torch.Tensor
    covariance: torch.Tensor
    longest: float

    @classmethod
    def of(cls, items: torch.Tensor) -> Self:
        """Prepare items (V, d)."""
        normal = np.random.default_rng(0).standard_normal((items.shape[1], items.shape[1]))
        rotation = torch.from_numpy(np.linalg.qr(normal)[0].astype(np.float32))
        centred = items - items.mean(dim=0)
        order = centred.norm(dim=1).argsort(descending=True)
        turned = centred[order] @ rotation
        coarse = Coarse.of(turned, turned.abs().amax().view(1, 1))
        covariance = centred.T @ centred / len(items)
        return cls(coarse, order.numpy(), rotation, covariance, float(items.norm(dim=1).max()))

    def variance(self, users: torch.Tensor) -> Scores:
        """Variance of the products with the items of users (n, d), were these of length 1: (n,)."""
        variance = (users @ self.covariance * users).sum(dim=1)
        result: Scores = (variance / users.square().sum(dim=1)).numpy()
        return result

    def ask(self, users: torch.Tensor) -> "Asked":
        """Prepare users (n, d)."""
        turned = users @ self.rotation
        asked = Coarse.of(turned, turned.abs().amax(dim=1, keepdim=True))
        length, lost = float(self.items.length.max()), float(self.items.lost.max())
        slack = asked.lost * length + (asked.length + asked.lost) * lost
        slack += _TURNED * users.shape[1] ** 1.5 * asked.length * self.longest
        unit = (asked.step.double() * self.items.step.double())[:, 0]
        margin = (2.002 * slack / unit).ceil()  # the k-th may be that much less, this one that much more
        return Asked(asked.vectors, margin.to(torch.int64).numpy(), (1.001 * asked.length / unit).numpy())


class Asked(NamedTuple):
    """Users of a block.

    Attributes:
        vectors: (n, d) int8.
        margin: (n,) by how much a product of the k best may be less than the k-th.
        length: (n,) such that times an item's length it is more than their product.
    """

    vectors: torch.Tensor
    margin: IntArray
    length: NDArray[np.float64]


def search(users: torch.Tensor, items: torch.Tensor, excluded: Excluded, found: tuple[IntArray, Scores]) -> IntArray:
    """Fill lists of items and scores (n, k), best first.

    Args:
        users: (n, d).
        items: (V, d).
        excluded: what must not be chosen.
        found: are filled.

    Returns:
        The users (m,) whose lists are not filled: so many of their products are alike that they did not fit.
    """
    screen = Screen.of(items)
    length = screen.items.length.numpy()
    is_hidden = np.zeros(len(items), bool)
    is_hidden[excluded.everywhere] = True
    skipped = (excluded.start, excluded.item, is_hidden)
    variance, is_left = np.empty(len(users), np.float32), np.zeros(len(users), bool)

    def measure(part: slice) -> None:
        variance[part] = screen.variance(users[part])

    share_out(measure, len(users), _MEASURED_USERS)
    order = np.argsort(variance)  # users of a block need about as many items

    def fill(part: slice) -> None:
        user = order[part]
        own = users[torch.from_numpy(user)]
        asked = screen.ask(own)
        candidates = Candidates.none(asked.margin, found[0].shape[1])
        buffer = torch.empty(len(user) * _BLOCK_ITEMS, dtype=torch.int32)
        for first in range(0, len(items), _BLOCK_ITEMS):
            if are_full(asked.length * length[first], candidates.margin, candidates.best):
                break
            some = slice(first, first + _BLOCK_ITEMS)
            columns = screen.items.vectors[some].T
            block = buffer[: len(user) * columns.shape[1]].view(len(user), columns.shape[1])
            torch._int_mm(asked.vectors, columns, out=block)
            collect(block.numpy(), screen.order[some], user, skipped, *candidates)
        score(user, own.numpy(), items.numpy(), candidates, *found)
        is_left[user] = candidates.kept > candidates.item.shape[1]

    share_out(fill, len(users), _BLOCK_USERS)
    return np.flatnonzero(is_left)
