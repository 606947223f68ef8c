"""What is popular in the categories that the user buys from; overall popularity for users without purchases."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import polars as pl
from scipy import sparse

from everstay import tables as t
from everstay.recommender.baselines import decayed_counts, popularity
from everstay.recommender.config import CategoryPopularityConfig
from everstay.recommender.histories import FloatArray, Histories, IntArray
from everstay.recommender.model import Scores
from everstay.recommender.reasons import POPULAR, heaviest
from everstay.recommender.vocabulary import Vocabulary


@dataclass(frozen=True)
class CategoryPopularityRanker:
    """P(category | user) P(item | category); without a catalogue all items are one category.

    Attributes:
        config: its weights.
        share: (V,) popularity.
        group: (V,) category of each item.
        names: (V,) the category's name, null without one.
    """

    config: CategoryPopularityConfig
    share: Scores
    group: IntArray
    names: pl.Series

    @classmethod
    def fit(cls, vocabulary: Vocabulary, config: CategoryPopularityConfig) -> Self:
        """Count the purchases in the window."""
        share = popularity(vocabulary, config.window_days)
        if t.CATEGORY not in vocabulary.items.columns:
            return cls(config, share, np.zeros(vocabulary.size, np.int64), pl.Series([None] * vocabulary.size))
        return cls(config, share, vocabulary.codes(t.CATEGORY), vocabulary.items[t.CATEGORY])

    def scores(self, histories: Histories) -> Scores:
        """Probabilities, (n, V)."""
        total = self._total()
        taste = self._bought(histories) + self._prior(total)
        taste /= taste.sum(axis=1, keepdims=True)
        return (taste / np.maximum(total, 1e-12))[:, self.group].astype(np.float32) * self.share

    def explain(self, histories: Histories, user: IntArray, item: IntArray) -> list[str]:
        """The category if the user's own purchases in it weigh more than everybody's, else that the item is popular."""
        category = self.group[item]
        in_category = "popular in " + self.names.gather(item.astype(np.uint32)).cast(pl.String)
        own, everybody = self._bought(histories)[user, category], self._prior(self._total())[category]
        return heaviest([(own, in_category), (everybody, POPULAR)])

    def _total(self) -> FloatArray:
        """Popularity of each category, (categories,)."""
        return np.bincount(self.group, weights=self.share).astype(np.float64)

    def _prior(self, total: FloatArray) -> FloatArray:
        """Purchases in each category that everybody is credited with, (categories,)."""
        return np.asarray(self.config.prior_orders * total / total.sum())

    def _bought(self, histories: Histories) -> Scores:
        """Decayed purchases of each user in each category, (n, categories)."""
        items = len(self.group)
        belongs = sparse.csr_array((np.ones(items, np.float32), (np.arange(items), self.group)))
        bought: Scores = (decayed_counts(histories, items, self.config.half_life_days) @ belongs).toarray()
        return bought
