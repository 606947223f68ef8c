"""Users without a known purchase get what is popular in their segment, whatever the model."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from everstay.recommender.config import RatingFactorsConfig
from everstay.recommender.histories import Histories, IntArray
from everstay.recommender.model import FactorRanker, Ranker, Scores
from everstay.recommender.segment_popularity import SegmentPopularityRanker


@dataclass(frozen=True)
class ColdUserRanker:
    """A ranker for users with a known purchase (or rating, if it uses them); popularity in the segment for others.

    Attributes:
        ranker: of the model.
        segments: popularity per segment.
    """

    ranker: Ranker
    segments: SegmentPopularityRanker

    @property
    def config(self) -> BaseModel:
        """The model's configuration."""
        return self.ranker.config

    @property
    def attribute(self) -> str:
        """The attribute whose values are the segments."""
        return self.segments.attribute

    def is_served(self, histories: Histories) -> NDArray[np.bool_]:
        """Users (n,) who get what is popular in their segment."""
        is_cold = histories.order_counts == 0
        if histories.ratings is not None and isinstance(self.config, RatingFactorsConfig):
            is_cold &= np.bincount(histories.ratings.user, minlength=histories.user_count) == 0
        return is_cold & self.segments.is_served(histories)

    def scores(self, histories: Histories) -> Scores:
        """The ranker's scores, except for users served by their segment, (n, items)."""
        scores, served = self.ranker.scores(histories), self.is_served(histories)
        if served.any():
            place = self.segments.place(histories)[served]
            scores[served] = self._stretched(scores[served.argmax()], np.arange(len(self.segments.names)))[place]
        return scores

    def explain(self, histories: Histories, user: IntArray, item: IntArray) -> list[str]:
        """The ranker's reasons, except for users served by their segment."""
        served, reasons = self.is_served(histories)[user], self.ranker.explain(histories, user, item)
        pairs = np.flatnonzero(served)
        for pair, there in zip(pairs, self.segments.explain(histories, user[pairs], item[pairs]), strict=True):
            reasons[pair] = there
        return reasons

    def _stretched(self, own: Scores, place: IntArray) -> Scores:
        """Scale shares of segments (n, items) to the range of the ranker's own scores of a cold user (items,).

        Keeps scores comparable across users: some rankers give probabilities, others their logarithms.
        """
        shares, low = self.segments.shares(place), own.min()
        stretched: Scores = low + (own.max() - low) * shares / shares.max(axis=1, keepdims=True)
        return stretched


@dataclass(frozen=True)
class ColdUserFactorRanker(ColdUserRanker):
    """The same for a ranker whose scores are dot products: each segment is one more factor."""

    def user_vectors(self, histories: Histories) -> Scores:
        """(n, d + S); users served by their segment have nothing but its indicator."""
        served, place = self.is_served(histories)[:, None], np.arange(len(self.segments.names))
        is_there = served & (self.segments.place(histories)[:, None] == place)
        users = np.where(served, 0.0, self._factors.user_vectors(histories))
        return np.column_stack([users, is_there]).astype(np.float32)

    def item_vectors(self) -> Scores:
        """(items, d + S)."""
        items = self._factors.item_vectors()
        cold = self._factors.user_vectors(Histories.of_nobody_known())[0] @ items.T
        there = self._stretched(cold, np.arange(len(self.segments.names)))
        return np.column_stack([items, there.T]).astype(np.float32)

    @property
    def _factors(self) -> FactorRanker:
        assert isinstance(self.ranker, FactorRanker)
        return self.ranker


def with_segments(ranker: Ranker, segments: SegmentPopularityRanker) -> Ranker:
    """Let a ranker serve cold users by their segment."""
    kind = ColdUserFactorRanker if isinstance(ranker, FactorRanker) else ColdUserRanker
    return kind(ranker, segments)


def without_segments(ranker: Ranker) -> Any:
    """The ranker itself, as it was fitted."""
    return ranker.ranker if isinstance(ranker, ColdUserRanker) else ranker
