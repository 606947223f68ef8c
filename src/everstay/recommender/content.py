"""Items whose text resembles that of the user's: TF-IDF of category, brand, title and description.

It covers every item of the catalogue, including those that nobody bought yet: the answer for cold items.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import polars as pl
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer

from everstay import tables as t
from everstay.recommender.baselines import decayed_counts, popularity
from everstay.recommender.config import ContentConfig
from everstay.recommender.histories import Histories, IntArray
from everstay.recommender.links import find_links
from everstay.recommender.model import Scores
from everstay.recommender.reasons import POPULAR, bought_before, first_known
from everstay.recommender.vocabulary import Vocabulary

TEXTS = (t.CATEGORY, t.SUBCATEGORY, t.BRAND, t.TITLE, t.DESCRIPTION)
"""Attributes whose words are read."""

RESEMBLES = "resembles what you bought"

_FILL = 1e-6  # popularity only ranks items that resemble nothing


@dataclass(frozen=True)
class ContentRanker:
    """Cosine of items to what the user bought, recent purchases weighing more.

    Attributes:
        config: its half-life.
        share: (V,) popularity.
        words: (V, W) TF-IDF of each item, L2-normalised.
    """

    config: ContentConfig
    share: Scores
    words: sparse.csr_array

    @classmethod
    def build(cls, vocabulary: Vocabulary, config: ContentConfig, words: sparse.csr_array) -> Self:
        """Combine the words with the vocabulary's popularity."""
        return cls(config, popularity(vocabulary, config.window_days), words)

    def scores(self, histories: Histories) -> Scores:
        """Cosines, (n, V)."""
        taste = self._taste(histories)
        length = np.sqrt(np.asarray(taste.multiply(taste).sum(axis=1)).ravel())
        taste.data /= np.repeat(np.maximum(length, 1e-12), np.diff(taste.indptr))
        alike: Scores = (self.words @ taste.T.toarray()).T  # an item has few words, a user many
        return alike + np.float32(_FILL) * self.share

    def explain(self, histories: Histories, user: IntArray, item: IntArray) -> list[str]:
        """The user's own purchases of it, or that it resembles them, or that it is popular."""
        alike = find_links(self.words, self._taste(histories).T.tocsr(), item, user).total > 0
        return first_known(bought_before(histories, user, item), (alike, RESEMBLES), otherwise=POPULAR)

    def _taste(self, histories: Histories) -> sparse.csr_array:
        """Sum of the words of the user's items, (n, W)."""
        return decayed_counts(histories, len(self.share), self.config.half_life_days) @ self.words


def read_words(vocabulary: Vocabulary) -> sparse.csr_array:
    """TF-IDF of the items' words (V, W); zeros (V, 1) where no item has a word."""
    known = [name for name in TEXTS if name in vocabulary.items.columns]
    texts = pl.concat_str([pl.col(name).fill_null("") for name in known], separator=" ") if known else pl.lit("")
    joined = vocabulary.items.select(text=texts.str.to_lowercase())["text"].to_list()
    vectorizer = TfidfVectorizer(token_pattern=r"(?u)\b\w+\b", sublinear_tf=True, dtype=np.float32)
    if not any(map(vectorizer.build_analyzer(), joined)):
        return sparse.csr_array((vocabulary.size, 1), dtype=np.float32)
    words = sparse.csr_array(vectorizer.fit_transform(joined))
    words.sort_indices()
    return words
