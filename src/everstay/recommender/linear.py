"""Linear item-item models, served with recency: a score is a sum over the items of the history."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import polars as pl
from scipy import sparse

from everstay import tables as t
from everstay.recommender.baselines import popularity
from everstay.recommender.config import LinearConfig
from everstay.recommender.histories import Histories, IntArray
from everstay.recommender.links import find_links
from everstay.recommender.model import Scores
from everstay.recommender.reasons import POPULAR, first_known, linked
from everstay.recommender.vocabulary import Vocabulary

_POPULARITY = 1e-6  # only ranks what no weight does


@dataclass(frozen=True)
class LinearRanker:
    """Weights from the items bought to the items recommended.

    Attributes:
        config: how the weights were fitted, and the weight of recency.
        weights: (items, items), row = bought, column = recommended.
        share: (items,) popularity.
        item_ids: shop ids, for reasons.
    """

    config: LinearConfig
    weights: sparse.csr_array
    share: Scores
    item_ids: pl.Series

    @classmethod
    def build(cls, vocabulary: Vocabulary, config: LinearConfig, weights: sparse.csr_array) -> Self:
        """Combine the weights with the vocabulary's popularity and item ids."""
        return cls(config, weights, popularity(vocabulary, 364), vocabulary.items[t.ITEM_ID])

    def scores(self, histories: Histories) -> Scores:
        """Sum of the weights of the user's items, each decayed by the orders since, (n, items)."""
        own = faded_counts(histories, len(self.share), self.config.recency)
        scores: Scores = (own @ self.weights).toarray()
        scores += np.float32(_POPULARITY) * self.share
        return scores

    def explain(self, histories: Histories, user: IntArray, item: IntArray) -> list[str]:
        """The user's item that contributes most to the score, possibly the item itself, or that it is popular."""
        own = faded_counts(histories, len(self.share), self.config.recency)
        source = find_links(own, self.weights, user, item).strongest
        return first_known(linked(histories, (user, item), source, self.item_ids), otherwise=POPULAR)


def faded_counts(histories: Histories, items: int, recency: float) -> sparse.csr_array:
    """Purchases of each user, each weighted by recency ** (orders since): (users, items)."""
    since = histories.user_start[histories.order_user + 1] - 1 - np.arange(len(histories.order_user))
    weight = (recency**since).astype(np.float32)[histories.line_order]
    shape = (histories.user_count, items)
    return sparse.csr_array((weight, (histories.line_user, histories.line_item)), shape=shape)
