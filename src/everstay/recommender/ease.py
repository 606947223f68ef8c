"""EASE: the linear item-item model that has a closed form, served with recency (Steck, WWW 2019)."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import polars as pl
import torch
from scipy import sparse

from everstay import tables as t
from everstay.recommender.baselines import largest_cells, popularity, strongest_links
from everstay.recommender.config import EaseConfig
from everstay.recommender.histories import Histories, IntArray
from everstay.recommender.model import Scores
from everstay.recommender.reasons import POPULAR, bought_before, first_known
from everstay.recommender.vocabulary import Vocabulary

_KEPT = 200  # largest weights of each item
_POPULARITY = 1e-6  # decides only where no weight does


@dataclass(frozen=True)
class EaseRanker:
    """Weights from the items bought to the items recommended.

    Attributes:
        config: how the weights were made, and what recency weighs.
        weights: (items, items), row = bought, column = recommended.
        share: (items,) popularity.
        item_ids: shop ids, for reasons.
    """

    config: EaseConfig
    weights: sparse.csr_array
    share: Scores
    item_ids: pl.Series

    @classmethod
    def build(cls, vocabulary: Vocabulary, config: EaseConfig, weights: sparse.csr_array) -> Self:
        """Join weights with what the vocabulary knows."""
        return cls(config, weights, popularity(vocabulary, 364), vocabulary.items[t.ITEM_ID])

    def scores(self, histories: Histories) -> Scores:
        """Sum of the weights of the user's items, each faded by the orders since, (n, items)."""
        own = faded_counts(histories, len(self.share), self.config.recency)
        scores: Scores = (own @ self.weights).toarray()
        return scores + np.float32(_POPULARITY) * self.share

    def explain(self, histories: Histories, user: IntArray, item: IntArray) -> list[str]:
        """The user's own purchases of it, or the item of theirs that adds most to its score, or that it is popular."""
        own = faded_counts(histories, len(self.share), self.config.recency)
        pair, source = strongest_links(own, self.weights, user, item)
        names = pl.Series([None] * len(item), dtype=pl.String)
        names = names.scatter(pair, "bought by those who bought " + self.item_ids.gather(source.astype(np.uint32)))
        return first_known(bought_before(histories, user, item), names, otherwise=POPULAR)


def faded_counts(histories: Histories, items: int, recency: float) -> sparse.csr_array:
    """Purchases of each user, each weighted by recency ** (orders since): (users, items)."""
    since = histories.user_start[histories.order_user + 1] - 1 - np.arange(len(histories.order_user))
    weight = (recency**since).astype(np.float32)[histories.line_order]
    shape = (histories.user_count, items)
    return sparse.csr_array((weight, (histories.line_user, histories.line_item)), shape=shape)


def fit_ease(histories: Histories, items: int, config: EaseConfig) -> sparse.csr_array:
    """Find the weights that best rebuild every user's items from the others', the largest of each row, (items, items).

    With G the items' Gram matrix over users and P = inverse(G + regularization): weight i -> j is -P[i, j] / P[j, j],
    and 0 from an item to itself.
    """
    bought = faded_counts(histories, items, 1.0)
    bought.data[:] = 1.0
    modelled = np.sort(np.argsort(-np.bincount(bought.indices, minlength=items), kind="stable")[: config.max_items])
    part = bought[:, modelled]
    gram = torch.from_numpy((part.T @ part).toarray())
    gram.diagonal().add_(config.regularization)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(gram))
    weights = inverse.div_(-inverse.diagonal().clone()).fill_diagonal_(0.0).numpy()
    rows = largest_cells(sparse.csr_array(_without_the_small(weights)), 0, _KEPT).tocoo()
    return sparse.csr_array((rows.data, (modelled[rows.row], modelled[rows.col])), shape=(items, items))


def _without_the_small(weights: Scores) -> Scores:
    """Set to zero in place what is not among the largest `_KEPT` of its row."""
    if weights.shape[1] > _KEPT:
        border = np.partition(weights, -_KEPT, axis=1)[:, -_KEPT, None]
        weights[weights < border] = 0.0
    return weights
