"""Exact search for the k largest dot products on processors with int8 matrix products: screened in int8, then scored.

Blocks of products are computed from vectors quantised to int8, several times as fast. The error of such a product is
bounded by the lengths of the vectors and of their rounding errors; what could be among a user's k best is kept, and in
the end the few remaining candidates are scored in float32. Nothing that belongs in a list is missed; users for whom the
bound is too loose are returned, to be searched in float32.

The items' mean does not affect a user's ranking, so it is subtracted. Both sides are turned by one random rotation,
which changes no product but spreads every vector evenly over its dimensions, so that rounding errors are smaller
(QuaRot, Ashkboos et al. 2024, section 3). Items are sorted by length, longest first, and a user is left out of the
products once all remaining items are too short (LEMP, Teflioudi et al. 2015, section 3).

Shapes: n users, k places, d dimensions, V items. A *step* is the scale of the quantisation: one for all items, one per
user. Integer products and margins are in units of user's step times items' step, reaches in user's steps.
"""

from dataclasses import dataclass
from functools import cache, cached_property
from typing import NamedTuple, Self

import numpy as np
import torch

from everstay.recommender.excluded import Excluded, Scores
from everstay.recommender.histories import IntArray
from everstay.recommender.screening_kernels import Candidates, Skipped, collect, score, still_open
from everstay.recommender.threads import share_out

_INSTRUCTIONS = ("amx_int8", "avx512_vnni", "avx_vnni")
_LARGEST = 127
_ERROR_OF_SUMS = 2.0**-21  # times d ** 1.5: float32 error of rotations and sums, relative to the lengths
_SAFE = 1.001  # more than the rounding errors of the bounds themselves
_NO_BOUND = 2**33  # more than twice any product
_USERS_PER_DIMENSION = 4  # with fewer, preparing the items takes longer than the search in float32
_BLOCK_USERS, _BLOCK_ITEMS = 1_024, 1_024
_WORTH_LEAVING_OUT = 7 / 8  # compact the users once so few of them are still open


def pays(users: torch.Tensor, items: torch.Tensor) -> bool:
    """Whether screening is possible and repays its preparation: oneDNN does not multiply vectors of one dimension."""
    dimensions = users.shape[1]
    return is_fast() and dimensions > 1 and len(items) > 0 and len(users) >= _USERS_PER_DIMENSION * dimensions


@cache
def is_fast() -> bool:
    """Whether this processor, as oneDNN uses it, multiplies int8 matrices faster than float32 ones, and exactly."""
    known = torch.cpu.get_capabilities()
    if not torch.backends.mkldnn.is_available() or not any(known.get(name, False) for name in _INSTRUCTIONS):
        return False
    most = torch.full((64, 64), _LARGEST, dtype=torch.int8)  # older instructions saturate at sums of such products
    return bool((torch._int_mm(most, most) == 64 * _LARGEST**2).all())


@dataclass(frozen=True)
class Coarse:
    """Vectors quantised to whole numbers of steps.

    Attributes:
        vectors: (n, d) int8.
        length: (n,) in steps, of the vectors before rounding.
        lost: (n,) in steps, length of the rounding error.
    """

    vectors: torch.Tensor
    length: torch.Tensor
    lost: torch.Tensor

    @classmethod
    def of(cls, exact: torch.Tensor) -> Self:
        """Round vectors given in steps, which are overwritten."""
        length, whole = exact.norm(dim=1), exact.round()
        return cls(whole.to(torch.int8), length, exact.sub_(whole).norm(dim=1))


class Asked(NamedTuple):
    """Users of a block.

    Attributes:
        vectors: (n, d) int8.
        margin: (n,) how far below the k-th largest product that of one of the real k best may be.
        reach: (n,) upper bound of the real product with an item, divided by the item's length.
    """

    vectors: torch.Tensor
    margin: IntArray
    reach: Scores


@dataclass(frozen=True)
class Screen:
    """All items, ready to be multiplied with users.

    Attributes:
        items: centred, rotated and rounded; the longest first.
        order: (V,) original index of each of them.
        rotation: (d, d).
        covariance: (d, d) of the items.
        longest: in steps, length of the longest item before centring.
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
        whole = items / _largest(items)
        longest = float(whole.norm(dim=1).max())
        whole -= whole.mean(dim=0)
        order = whole.norm(dim=1).argsort(descending=True)
        covariance = whole.T @ whole / len(whole)
        turned = whole[order] @ rotation
        step = _largest(turned) / _LARGEST
        return cls(Coarse.of(turned.div_(step)), order.numpy(), rotation, covariance, longest / float(step))

    def variance(self, users: torch.Tensor) -> Scores:
        """Variance of the products of users (n, d) with the items, divided by the users' squared lengths (n,)."""
        whole = users / _largest(users, dim=1)
        variance: Scores = ((whole @ self.covariance * whole).sum(dim=1) / whole.square().sum(dim=1)).numpy()
        return variance

    def ask(self, users: torch.Tensor) -> Asked:
        """Prepare users (n, d)."""
        turned = (users / _largest(users, dim=1)) @ self.rotation
        asked = Coarse.of(turned.mul_(_LARGEST / _largest(turned, dim=1)))
        length, lost = float(self.items.length[0]), float(self.items.lost.max())
        slack = asked.lost * length + (asked.length + asked.lost) * lost
        slack += _ERROR_OF_SUMS * users.shape[1] ** 1.5 * asked.length * self.longest
        margin = (2 * _SAFE * slack).ceil()  # the k-th may be overestimated by the slack, this one underestimated
        capped = margin.double().nan_to_num(_NO_BOUND, _NO_BOUND).clamp_max(_NO_BOUND)
        return Asked(asked.vectors, capped.to(torch.int64).numpy(), (_SAFE * asked.length).numpy())

    def candidates(self, users: torch.Tensor, user: IntArray, skipped: Skipped, k: int) -> Candidates:
        """What could be among the k best of users (n, d), whose rows in `skipped` are `user` (n,)."""
        asked = self.ask(users)
        found, rows, vectors = Candidates.none(asked.margin, k), np.arange(len(users)), asked.vectors
        buffer = torch.empty(len(users) * _BLOCK_ITEMS, dtype=torch.int32)
        for columns, order, longest in self._blocks:
            rest = still_open(rows, asked.reach, longest, found)
            if not len(rest):
                break
            if len(rest) <= _WORTH_LEAVING_OUT * len(rows):
                rows, vectors = rest, asked.vectors[torch.from_numpy(rest)]
            block = buffer[: len(rows) * len(order)].view(len(rows), len(order))
            torch._int_mm(vectors, columns, out=block)  # private, but the only int8 matrix product on CPUs
            collect(block.numpy(), rows, order, user, skipped, found)
        return found

    @cached_property
    def _blocks(self) -> list[tuple[torch.Tensor, IntArray, float]]:
        """Per block: vectors (d, width), their item indices, and the length of the longest."""
        parts = [slice(first, first + _BLOCK_ITEMS) for first in range(0, len(self.order), _BLOCK_ITEMS)]
        return [(self.items.vectors[some].T, self.order[some], float(self.items.length[some][0])) for some in parts]

    def search(
        self, users: torch.Tensor, items: torch.Tensor, excluded: Excluded, lists: tuple[IntArray, Scores]
    ) -> IntArray:
        """Fill lists of items and scores (n, k), best first.

        Args:
            users: (n, d).
            items: (V, d), the original ones.
            excluded: what must not be chosen.
            lists: to fill.

        Returns:
            The users (m,) whose lists are not filled: more products are close to their k-th than candidates fit.
        """
        is_hidden = np.zeros(len(items), bool)
        is_hidden[excluded.everywhere] = True
        skipped = Skipped(excluded.start, excluded.item, is_hidden)
        variance = np.empty(len(users), np.float32)

        def measure(part: slice) -> None:
            variance[part] = self.variance(users[part])

        share_out(measure, len(users), _BLOCK_USERS)
        order = np.argsort(variance)  # users of a block need similar numbers of items
        is_left = np.zeros(len(users), bool)

        def fill(part: slice) -> None:
            user = order[part]
            own = users[torch.from_numpy(user)]
            found = self.candidates(own, user, skipped, lists[0].shape[1])
            score(user, own.numpy(), items.numpy(), found, *lists)
            is_left[user] = found.do_not_fit()

        share_out(fill, len(users), _BLOCK_USERS)
        return np.flatnonzero(is_left)


def _largest(vectors: torch.Tensor, dim: int | None = None) -> torch.Tensor:
    """The largest absolute value of all vectors, or of each (n, 1); 1 where all are zero."""
    largest = vectors.abs().amax() if dim is None else vectors.abs().amax(dim=dim, keepdim=True)
    return torch.where(largest == 0, 1.0, largest)
