"""What users with the same items bought lately: UP-CF (Faggioli, Polato and Aiolli, UMAP 2020)."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy import sparse

from everstay.recommender.baselines import popularity
from everstay.recommender.config import UserNeighboursConfig
from everstay.recommender.histories import Histories, IntArray
from everstay.recommender.model import Scores
from everstay.recommender.reasons import POPULAR, bought_before, heaviest
from everstay.recommender.vocabulary import Vocabulary

LIKE_YOU = "bought by users like you"

_ASYMMETRY = 0.25
_FILL = 1e-6  # popularity only ranks items that no neighbour bought
_THE_SAME = 1.0 - 1e-4  # similarity of the same purchases, but for rounding


@dataclass(frozen=True)
class UserNeighboursRanker:
    """Similar users' last orders.

    Attributes:
        config: recency and locality.
        share: (V,) popularity.
        bought: (U, V) one where a known user ever bought the item.
        lately: (U, V) share of the user's last orders that hold the item.
    """

    config: UserNeighboursConfig
    share: Scores
    bought: sparse.csr_array
    lately: sparse.csr_array

    @classmethod
    def fit(cls, histories: Histories, vocabulary: Vocabulary, config: UserNeighboursConfig) -> Self:
        """Store at most `config.max_users` users, every n-th of those who bought."""
        known = np.flatnonzero(histories.order_counts > 0)
        known = known[:: -(-len(known) // config.max_users) or 1]
        bought = ever_bought(histories, vocabulary.size)[known]
        lately = last_orders(histories, vocabulary.size, config.recency_orders)[known]
        return cls(config, popularity(vocabulary, config.window_days), bought, lately)

    def scores(self, histories: Histories) -> Scores:
        """Similarity-weighted shares of last orders, (n, V)."""
        return self._weighted(self._similarity(histories)) + np.float32(_FILL) * self.share

    def explain(self, histories: Histories, user: IntArray, item: IntArray) -> list[str]:
        """The part of the score that weighs most: the user's own last orders, other users' or popularity.

        A user whose purchases are exactly those of a stored one is taken for that user.
        """
        similar = self._similarity(histories)
        is_stored = similar.max(axis=1, initial=0.0) > _THE_SAME
        own = last_orders(histories, len(self.share), self.config.recency_orders)[user, item] * is_stored[user]
        others = self._weighted(similar)[user, item] - own
        fill = np.float32(_FILL) * self.share[item]
        return heaviest([(own, bought_before(histories, user, item)), (others, LIKE_YOU), (fill, POPULAR)])

    def _weighted(self, similar: Scores) -> Scores:
        """Sum over stored users of similarity (n, U) times share of last orders, (n, V)."""
        scores: Scores = (self.lately.T @ similar.T).T
        return scores

    def _similarity(self, histories: Histories) -> Scores:
        """Asymmetric cosine to the power of the locality, (n, U)."""
        own = ever_bought(histories, len(self.share))
        sizes = [np.maximum(np.asarray(part.sum(axis=1)).ravel(), 1.0) for part in (own, self.bought)]
        norm = np.outer(sizes[0] ** _ASYMMETRY, sizes[1] ** (1.0 - _ASYMMETRY))
        similar: Scores = ((own @ self.bought.T).toarray() / norm).astype(np.float32)
        return similar**self.config.locality


def ever_bought(histories: Histories, items: int) -> sparse.csr_array:
    """One where the user ever bought the item, (n, V)."""
    cells = np.unique(histories.line_user * items + histories.line_item)
    shape = (histories.user_count, items)
    return sparse.csr_array((np.ones(len(cells), np.float32), (cells // items, cells % items)), shape=shape)


def last_orders(histories: Histories, items: int, recency_orders: int) -> sparse.csr_array:
    """Share of the user's last orders that hold the item, (n, V)."""
    user = histories.line_user
    is_late = histories.user_start[user + 1] - histories.line_order <= recency_orders
    orders = np.minimum(histories.order_counts, recency_orders)[user[is_late]]
    cells = (user[is_late], histories.line_item[is_late])
    return sparse.csr_array(((1.0 / orders).astype(np.float32), cells), shape=(histories.user_count, items))
