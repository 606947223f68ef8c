"""Lists by predicted rating, for shops whose users rate what they bought.

It cannot be champion in a shop without ratings, and seldom is with them: what a user would like best is not what they
buy next, and users without ratings get what is rated best overall.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import polars as pl
from safetensors.numpy import load_file, save_file

from everstay.errors import NotReady
from everstay.recommender.baselines import popularity
from everstay.recommender.config import RatingFactorsConfig
from everstay.recommender.histories import FloatArray, Histories, IntArray, read_histories
from everstay.recommender.model import Scores
from everstay.recommender.rating_fit import RatingFactors, fit_ratings, predict, solve_users
from everstay.recommender.reasons import POPULAR
from everstay.recommender.vocabulary import Vocabulary

OWN = "you may rate it {:.1f} of 5"
OTHERS = "others rate it about {:.1f} of 5"

_ARRAYS = "ratings.safetensors"
_SEED = 1  # of the initial factors
_UNRATED = -10.0  # below all rated items; ordered among themselves by popularity
_TIE = 1e-3  # weight of popularity, to break ties


@dataclass(frozen=True)
class RatingFactorsRanker:
    """Mean + biases + dot product of factors; a user's are solved for at serving time, from the ratings of that time.

    Attributes:
        config: how the items' factors were fitted.
        known: mean of the ratings, and bias and factors of the items.
        share: (V,) popularity.
    """

    config: RatingFactorsConfig
    known: RatingFactors
    share: Scores

    @classmethod
    def fit(cls, rows: pl.DataFrame, vocabulary: Vocabulary, config: RatingFactorsConfig) -> Self:
        """Learn from all ratings of the rows.

        Raises:
            NotReady: nobody rated an item that the vocabulary knows.
        """
        ratings = read_histories(rows, vocabulary).ratings
        if ratings is None or not len(ratings.value):
            raise NotReady("nobody rated an item that the model knows: rating_factors needs events with a rating")
        return cls(config, fit_ratings(ratings, vocabulary.size, config, _SEED), popularity(vocabulary, 364))

    def scores(self, histories: Histories) -> Scores:
        """Predicted ratings, (n, V), not clipped to the scale; negative for items that nobody rated."""
        scores: Scores = self.user_vectors(histories) @ self.item_vectors().T
        return scores

    def user_vectors(self, histories: Histories) -> Scores:
        """(n, d + 2): factors, the user's bias, and 1 for the item's."""
        users = self._users(histories)
        return np.column_stack([users[:, 1:], users[:, 0], np.ones(len(users))]).astype(np.float32)

    def item_vectors(self) -> Scores:
        """(V, d + 2): factors, 1 for the user's bias, and mean + the item's."""
        items = self.known.of_items
        level = np.where(self.known.rated > 0, self.known.mean + items[:, 0], _UNRATED) + _TIE * self.share
        return np.column_stack([items[:, 1:], np.ones(len(items)), level]).astype(np.float32)

    def explain(self, histories: Histories, user: IntArray, item: IntArray) -> list[str]:
        """The predicted rating, personal if the user rated anything; that it is popular, if nobody rated the item."""
        of_users = self._users(histories)
        words = np.where(of_users[user].any(axis=1), OWN, OTHERS)
        stars, is_rated = predict(self.known, of_users, user, item), self.known.rated[item] > 0
        return [
            str(text).format(value) if rated else POPULAR
            for text, value, rated in zip(words, stars, is_rated, strict=True)
        ]

    def save(self, folder: Path) -> None:
        """Write what `load` reads."""
        known = self.known
        arrays = {"of_items": known.of_items, "rated": known.rated, "mean": np.array([known.mean])}
        save_file(arrays, folder / _ARRAYS)

    @classmethod
    def load(cls, folder: Path, vocabulary: Vocabulary, config: RatingFactorsConfig) -> Self:
        """Read what `save` wrote."""
        arrays = load_file(folder / _ARRAYS)
        known = RatingFactors(float(arrays["mean"][0]), arrays["of_items"], arrays["rated"])
        return cls(config, known, popularity(vocabulary, 364))

    def _users(self, histories: Histories) -> FloatArray:
        """Bias and factors of each user (n, d + 1), zeros without a rating."""
        if histories.ratings is None:
            return np.zeros((histories.user_count, self.config.factors + 1))
        return solve_users(histories.ratings, self.known.of_items, self.known.mean, self.config)
