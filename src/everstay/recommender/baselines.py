"""The baselines of the network: recent popularity, personal frequency with recency, item neighbours."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import sparse

from everstay import tables as t
from everstay.recommender.config import ItemNeighboursConfig, PersonalFrequencyConfig, PopularityConfig
from everstay.recommender.histories import Histories, IntArray
from everstay.recommender.links import find_links
from everstay.recommender.model import Scores
from everstay.recommender.reasons import POPULAR, bought_before, heaviest, linked
from everstay.recommender.vocabulary import Vocabulary

_ITEMS_AT_ONCE = 2_048
_NEIGHBOURS = 50
_SIMILARITY_HALF_LIFE_DAYS = 364.0
_SHRINKAGE = 5.0  # pseudo-orders added to every item, so that rare pairs do not look similar


def popularity(vocabulary: Vocabulary, window_days: int) -> Scores:
    """Share of each item in the orders of the window (items,); ties are broken by the last 364 days."""
    recent, year = vocabulary.purchases(window_days), vocabulary.purchases(364)
    share = recent / max(recent.sum(), 1) + 1e-6 * year / max(year.sum(), 1)
    return share.astype(np.float32)


def decayed_counts(histories: Histories, items: int, half_life_days: float) -> sparse.csr_array:
    """Orders of each user with each item, each weighted by 2 ** (-days ago / half-life): (users, items)."""
    weight = 2.0 ** (-histories.line_days_ago / half_life_days)
    shape = (histories.user_count, items)
    return sparse.csr_array((weight.astype(np.float32), (histories.line_user, histories.line_item)), shape=shape)


@dataclass(frozen=True)
class PopularityRanker:
    """The same list for everybody."""

    config: PopularityConfig
    share: Scores

    @classmethod
    def fit(cls, vocabulary: Vocabulary, config: PopularityConfig) -> Self:
        """Count the purchases in the window."""
        return cls(config, popularity(vocabulary, config.window_days))

    def scores(self, histories: Histories) -> Scores:
        """Shares, (n, items)."""
        return np.tile(self.share, (histories.user_count, 1))

    def explain(self, histories: Histories, user: IntArray, item: IntArray) -> list[str]:  # noqa: ARG002
        """Always that it is popular."""
        return [POPULAR] * len(item)


@dataclass(frozen=True)
class PersonalFrequencyRanker:
    """The user's own decayed counts plus those of the average user."""

    config: PersonalFrequencyConfig
    share: Scores

    @classmethod
    def fit(cls, vocabulary: Vocabulary, config: PersonalFrequencyConfig) -> Self:
        """Count the average user's purchases in the window."""
        return cls(config, popularity(vocabulary, config.window_days))

    def scores(self, histories: Histories) -> Scores:
        """Decayed counts, (n, items)."""
        own = decayed_counts(histories, len(self.share), self.config.half_life_days)
        return own.toarray() + np.float32(self.config.prior_orders) * self.share

    def explain(self, histories: Histories, user: IntArray, item: IntArray) -> list[str]:
        """How often and how recently it was bought, or that it is popular: the larger part of the score."""
        own = decayed_counts(histories, len(self.share), self.config.half_life_days)
        bought = np.asarray(own[user, item]).ravel()
        prior = self.config.prior_orders * self.share[item]
        return heaviest([(bought, bought_before(histories, user, item)), (prior, POPULAR)])


@dataclass(frozen=True)
class ItemNeighboursRanker:
    """Personal frequency, propagated to items that share orders with the user's.

    Attributes:
        config: its weights.
        share: (items,) popularity.
        neighbours: (items, items) cosine of the neighbours of each row's item.
        item_ids: shop ids, for reasons.
    """

    config: ItemNeighboursConfig
    share: Scores
    neighbours: sparse.csr_array
    item_ids: pl.Series

    @classmethod
    def build(cls, vocabulary: Vocabulary, config: ItemNeighboursConfig, neighbours: sparse.csr_array) -> Self:
        """Combine the neighbours with the vocabulary's popularity and item ids."""
        share = popularity(vocabulary, config.window_days)
        return cls(config, share, neighbours, vocabulary.items[t.ITEM_ID])

    def scores(self, histories: Histories) -> Scores:
        """Decayed counts of the item and, weighted by cosine, of its neighbours, (n, items)."""
        own = decayed_counts(histories, len(self.share), self.config.half_life_days)
        near = (own @ self.neighbours).toarray()
        scores: Scores = own.toarray() + np.float32(self.config.neighbour_weight) * near
        return scores + np.float32(self.config.prior_orders) * self.share

    def explain(self, histories: Histories, user: IntArray, item: IntArray) -> list[str]:
        """The largest part of the score: own purchases of the item, the strongest of its neighbours, or popularity.

        The neighbours' part is the sum over all of them.
        """
        own = decayed_counts(histories, len(self.share), self.config.half_life_days)
        near = find_links(own, self.neighbours, user, item)
        parts: list[tuple[NDArray[np.floating], pl.Series | str]] = [
            (np.asarray(own[user, item]).ravel(), bought_before(histories, user, item)),
            (self.config.neighbour_weight * near.total, linked(histories, (user, item), near.strongest, self.item_ids)),
            (self.config.prior_orders * self.share[item], POPULAR),
        ]
        return heaviest(parts)


def find_neighbours(histories: Histories, items: int) -> sparse.csr_array:
    """Cosine of items over orders, recent orders weighing more; the largest `_NEIGHBOURS` of each row, (items, items).

    Row = item bought, column = item recommended. Source: item-based neighbours, Linden et al. (2003); shrunk.
    """
    weight = 2.0 ** (-histories.line_days_ago / (2 * _SIMILARITY_HALF_LIFE_DAYS))
    shape = (len(histories.order_user), items)
    bought = sparse.csr_array((weight.astype(np.float32), (histories.line_order, histories.line_item)), shape=shape)
    norm = np.sqrt(np.asarray(bought.multiply(bought).sum(axis=0)).ravel() + _SHRINKAGE).astype(np.float32)
    scaled = (bought @ sparse.diags_array(1.0 / norm)).tocsr()
    columns = scaled.tocsc()
    parts = [
        largest_cells((columns[:, start : start + _ITEMS_AT_ONCE].T @ scaled).tocsr(), start, _NEIGHBOURS)
        for start in range(0, items, _ITEMS_AT_ONCE)
    ]
    return sparse.vstack(parts, format="csr")


def largest_cells(rows: sparse.csr_array, first_item: int, keep: int) -> sparse.csr_array:
    """The `keep` largest cells of each row, without an item's cosine with itself."""
    row = np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))
    is_other = rows.indices != row + first_item
    row, column, value = row[is_other], rows.indices[is_other], rows.data[is_other]
    order = np.lexsort((column, -value, row))
    row = row[order]
    place = np.arange(len(row)) - np.searchsorted(row, row)
    order, row = order[place < keep], row[place < keep]
    return sparse.csr_array((value[order], (row, column[order])), shape=rows.shape)
