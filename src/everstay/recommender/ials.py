"""Matrix factorisation of implicit feedback (Hu, Koren and Volinsky, ICDM 2008), trained by `implicit`."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Self

import numpy as np
import polars as pl
from implicit.cpu.als import AlternatingLeastSquares
from numba import njit
from scipy import sparse
from threadpoolctl import threadpool_limits

from everstay import tables as t
from everstay.recommender.baselines import popularity
from everstay.recommender.config import IalsConfig
from everstay.recommender.histories import FloatArray, Histories, IntArray
from everstay.recommender.linear import faded_counts
from everstay.recommender.model import Scores
from everstay.recommender.reasons import POPULAR, first_known, linked
from everstay.recommender.threads import share_out
from everstay.recommender.vocabulary import Vocabulary

_POPULARITY = 1e-6  # only ranks what no factor does
_RIDGE = 1e-6  # so that a system has a solution without any regularization
_USERS_AT_ONCE = 256


@dataclass(frozen=True)
class IalsRanker:
    """Item factors; a user's factors are solved for at serving time, from the history of that time.

    Attributes:
        config: how the factors were fitted, and the weight of recency.
        item_factors: (items, factors).
        share: (items,) popularity.
        item_ids: shop ids, for reasons.
    """

    config: IalsConfig
    item_factors: Scores
    share: Scores
    item_ids: pl.Series

    @classmethod
    def build(cls, vocabulary: Vocabulary, config: IalsConfig, factors: Scores) -> Self:
        """Combine the factors with the vocabulary's popularity and item ids."""
        return cls(config, factors, popularity(vocabulary, 364), vocabulary.items[t.ITEM_ID])

    def scores(self, histories: Histories) -> Scores:
        """Products of user and item factors, (n, items)."""
        scores: Scores = self.user_vectors(histories) @ self.item_vectors().T
        return scores

    def user_vectors(self, histories: Histories) -> Scores:
        """(n, factors + 1), the weight of popularity last."""
        own, systems = self._own(histories), self._systems
        users = np.empty((own.shape[0], self.item_factors.shape[1] + 1), np.float32)
        users[:, -1] = _POPULARITY

        def solve(part: slice) -> None:
            _solve_users(own.indptr[part.start : part.stop + 1], own.indices, own.data, systems, users[part, :-1])

        with threadpool_limits(1, "blas"):
            share_out(solve, len(users), _USERS_AT_ONCE)
        return users

    def item_vectors(self) -> Scores:
        """(items, factors + 1), popularity last."""
        return np.column_stack([self.item_factors, self.share])

    def explain(self, histories: Histories, user: IntArray, item: IntArray) -> list[str]:
        """The user's item that contributes most to the score, possibly the item itself, or that it is popular.

        A score is a sum over the user's items (section 4 of the paper).
        """
        own, systems, source = self._own(histories), self._systems, np.full(len(item), -1)
        order = np.argsort(user, kind="stable")
        rows, first = np.unique(user[order], return_index=True)
        start, goal, strongest = np.append(first, len(order)), item[order], np.empty_like(source)

        def trace(part: slice) -> None:
            begins = start[part.start : part.stop + 1]
            _trace_items(rows[part], begins, goal, (own.indptr, own.indices, own.data), systems, strongest)

        with threadpool_limits(1, "blas"):
            share_out(trace, len(rows), _USERS_AT_ONCE)
        source[order] = strongest
        return first_known(linked(histories, (user, item), source, self.item_ids), otherwise=POPULAR)

    def _own(self, histories: Histories) -> sparse.csr_array:
        own = faded_counts(histories, len(self.share), self.config.recency)
        own.data *= self.config.confidence
        return own

    @cached_property
    def _systems(self) -> "_Systems":
        items = self.item_factors.astype(np.float64)
        common = items.T @ items + (self.config.regularization + _RIDGE) * np.eye(items.shape[1])
        return _Systems(items, common, np.linalg.inv(common).astype(np.float64))


class _Systems(NamedTuple):
    """What all users' normal equations have in common.

    Attributes:
        items: (items, d) factors.
        common: (d, d) the equations of a user without items.
        inverse: (d, d) of `common`.
    """

    items: FloatArray
    common: FloatArray
    inverse: FloatArray


@njit(cache=True, nogil=True)
def _solve_users(start: IntArray, bought: IntArray, weight: Scores, systems: _Systems, users: Scores) -> None:
    """Write the factors of consecutive users (n, d), whose purchases are given as CSR rows."""
    for row in range(len(users)):
        cells = slice(start[row], start[row + 1])
        own, extra = systems.items[bought[cells]], weight[cells].astype(np.float64)
        right = np.ascontiguousarray(own.T) @ (1.0 + extra).reshape(-1, 1)
        users[row] = _solve(systems, own, extra, right)[:, 0]


@njit(cache=True, nogil=True)
def _trace_items(
    rows: IntArray, start: IntArray, goal: IntArray, bought: tuple[IntArray, IntArray, Scores], systems: _Systems,
    strongest: IntArray,
) -> None:  # fmt: skip
    """Write, for each item of `goal`, the user's item that contributes most to its score, -1 if none does."""
    first, item, weight = bought
    for place, row in enumerate(rows):
        cells, asked = slice(first[row], first[row + 1]), slice(start[place], start[place + 1])
        own, extra = systems.items[item[cells]], weight[cells].astype(np.float64)
        wanted = np.ascontiguousarray(systems.items[goal[asked]].T)
        parts = (1.0 + extra).reshape(-1, 1) * (own @ _solve(systems, own, extra, wanted))
        for number in range(parts.shape[1]):
            largest, strongest[start[place] + number] = 0.0, -1
            for other in range(parts.shape[0]):
                if parts[other, number] > largest:
                    largest, strongest[start[place] + number] = parts[other, number], item[cells][other]


@njit(nogil=True)
def _solve(systems: _Systems, own: FloatArray, extra: FloatArray, right: FloatArray) -> FloatArray:
    """Solve the normal equations of a user with m items (m, d) of extra weights (m,) for right-hand sides (d, r).

    With m unknowns if m < d (Woodbury's identity), else with d.
    """
    if len(extra) == 0:
        return systems.inverse @ right
    across = np.ascontiguousarray(own.T)
    if len(extra) >= len(systems.common):
        system = systems.common + across @ (extra.reshape(-1, 1) * own)
        return np.ascontiguousarray(np.linalg.solve(system, right))
    near = own @ systems.inverse
    system = np.eye(len(extra)) + extra.reshape(-1, 1) * (near @ across)
    less = np.ascontiguousarray(np.linalg.solve(system, extra.reshape(-1, 1) * (near @ right)))
    return systems.inverse @ right - np.ascontiguousarray(near.T) @ less


def fit_ials(histories: Histories, items: int, config: IalsConfig, seed: int) -> Scores:
    """Factorise the binary matrix of users and items: item factors (items, factors)."""
    bought = faded_counts(histories, items, 1.0)
    bought.data[:] = 1.0
    with threadpool_limits(1, "blas"):  # implicit has its own threads over the users
        model = AlternatingLeastSquares(
            factors=config.factors,
            regularization=config.regularization,
            alpha=1.0 + config.confidence,
            iterations=config.iterations,
            random_state=seed,
        )
        model.fit(sparse.csr_matrix(bought), show_progress=False)
    factors: Scores = model.item_factors
    return factors
