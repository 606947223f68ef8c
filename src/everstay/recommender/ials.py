"""Matrix factorisation of implicit feedback (Hu, Koren and Volinsky, ICDM 2008), trained by `implicit`."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import polars as pl
from implicit.cpu.als import AlternatingLeastSquares
from numpy.typing import NDArray
from scipy import sparse
from threadpoolctl import threadpool_limits

from everstay import tables as t
from everstay.recommender.baselines import popularity
from everstay.recommender.config import IalsConfig
from everstay.recommender.histories import Histories, IntArray
from everstay.recommender.linear import faded_counts
from everstay.recommender.model import Scores
from everstay.recommender.reasons import POPULAR, first_known, linked
from everstay.recommender.vocabulary import Vocabulary

_POPULARITY = 1e-6  # decides only where no factor does


@dataclass(frozen=True)
class IalsRanker:
    """Item factors; a user's are solved for when a list is wanted, from the history as it is then.

    Attributes:
        config: how the factors were made, and what recency weighs.
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
        """Join factors with what the vocabulary knows."""
        return cls(config, factors, popularity(vocabulary, 364), vocabulary.items[t.ITEM_ID])

    def scores(self, histories: Histories) -> Scores:
        """Products of user and item factors, (n, items)."""
        users, items = self.factors(histories)
        scores: Scores = users @ items.T
        return scores

    def factors(self, histories: Histories) -> tuple[Scores, Scores]:
        """User (n, factors + 1) and item (items, factors + 1) vectors; the last column is popularity."""
        own = self._own(histories)
        wanted = own.copy()
        wanted.data = 1.0 + wanted.data
        users = np.linalg.solve(self._systems(own), (wanted @ self.item_factors)[:, :, None])[:, :, 0]
        share = np.full(len(users), _POPULARITY, np.float32)
        return np.column_stack([users, share]), np.column_stack([self.item_factors, self.share])

    def explain(self, histories: Histories, user: IntArray, item: IntArray) -> list[str]:
        """The item of the user that adds most to its score, which may be itself, or that it is popular.

        A score is a sum over the user's items (section 4 of the paper).
        """
        own = self._own(histories)
        systems = self._systems(own)
        source = np.full(len(item), -1)
        for pair, (row, goal) in enumerate(zip(user, item, strict=True)):
            cells = slice(own.indptr[row], own.indptr[row + 1])
            bought = own.indices[cells]
            towards = self.item_factors[bought] @ np.linalg.solve(systems[row], self.item_factors[goal])
            parts = (1.0 + own.data[cells]) * towards
            if len(bought) and parts.max() > 0:
                source[pair] = bought[parts.argmax()]
        known = np.flatnonzero(source >= 0)
        words = "because you bought " + self.item_ids.gather(source[known].astype(np.uint32))
        return first_known(linked(histories, (user, item), known, source[known], words), otherwise=POPULAR)

    def _own(self, histories: Histories) -> sparse.csr_array:
        own = faded_counts(histories, len(self.share), self.config.recency)
        own.data *= self.config.confidence
        return own

    def _systems(self, own: sparse.csr_array) -> NDArray[np.float32]:
        """The normal equations' matrices of the users, (n, factors, factors)."""
        common = self.item_factors.T @ self.item_factors
        common[np.diag_indices_from(common)] += np.float32(self.config.regularization + _RIDGE)
        systems = np.tile(common, (own.shape[0], 1, 1))
        for row in range(own.shape[0]):
            cells = slice(own.indptr[row], own.indptr[row + 1])
            bought = self.item_factors[own.indices[cells]]
            systems[row] += bought.T @ (own.data[cells, None] * bought)
        return systems


_RIDGE = 1e-6  # so that a system has a solution without any regularization


def fit_ials(histories: Histories, items: int, config: IalsConfig, seed: int) -> Scores:
    """Factorise who bought what: item factors (items, factors)."""
    bought = faded_counts(histories, items, 1.0)
    bought.data[:] = 1.0
    with threadpool_limits(1, "blas"):  # it divides the users among threads of its own
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
