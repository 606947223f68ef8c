"""Configurations of the candidates, including the blend, except the networks: see `network_config` for those."""

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from everstay.configuration import Configuration, Range, Space
from everstay.recommender.network_config import SequentialConfig
from everstay.recommender.vocabulary import WINDOWS


class PopularityConfig(Configuration):
    """What everybody bought lately."""

    window_days: int = 28
    """Days before the as-of that count; one of `vocabulary.WINDOWS`."""

    @model_validator(mode="after")
    def _window_is_counted(self) -> Self:
        if self.window_days not in WINDOWS:
            raise ValueError(f"window_days must be one of {', '.join(map(str, WINDOWS))}")
        return self


class PersonalFrequencyConfig(PopularityConfig):
    """What the user bought often and recently, smoothed with popularity."""

    SEARCH: ClassVar[Space] = {
        "half_life_days": Range(14.0, 365.0, log=True),
        "prior_orders": Range(1.0, 1_000.0, log=True),
        "window_days": WINDOWS,
    }
    """What `make tune` varies."""

    half_life_days: float = Field(default=84.0, gt=0)
    """Days in which a purchase loses half of its weight."""
    prior_orders: float = Field(default=100.0, ge=0)
    """Orders of the average user that are added to the user's own: how much popularity weighs."""


class ItemNeighboursConfig(PersonalFrequencyConfig):
    """What is bought by those who buy what the user bought."""

    SEARCH: ClassVar[Space] = {
        "half_life_days": Range(14.0, 365.0, log=True),
        "prior_orders": Range(1.0, 1_000.0, log=True),
        "neighbour_weight": Range(0.03, 3.0, log=True),
    }
    """What `make tune` varies."""

    neighbour_weight: float = Field(default=0.3, ge=0)
    """Weight of a neighbour of cosine 1, relative to a purchase of the item itself."""


class CategoryPopularityConfig(PersonalFrequencyConfig):
    """What is popular in the categories the user buys from."""


class SegmentPopularityConfig(PopularityConfig):
    """What users with the same declared attribute bought lately, shrunk to what everybody bought."""

    prior_orders: float = Field(default=10_000.0, gt=0)
    """Pseudo-orders, distributed as those of all users, added to a segment's own: how strongly it is shrunk."""
    min_users: int = Field(default=50, gt=0)
    """Fewest buyers of a segment; users of a smaller one get what everybody bought."""


class UserNeighboursConfig(PopularityConfig):
    """What users with the same items bought in their last orders."""

    recency_orders: int = Field(default=25, gt=0)
    """Number of last orders of a user that count."""
    locality: float = Field(default=5.0, gt=0)
    """Exponent of the similarity: larger values concentrate on fewer neighbours."""
    max_users: int = Field(default=20_000, gt=0)
    """Maximum number of users stored."""


class AssociationRulesConfig(PopularityConfig):
    """What is often in the same orders as the user's last items."""

    recent_orders: int = Field(default=3, gt=0)
    """Number of last orders whose items fire rules."""
    min_orders: int = Field(default=5, gt=0)
    """Minimum support: orders with both items."""
    min_lift: float = Field(default=1.5, gt=0)
    """Minimum lift: confidence relative to the second item's share of all orders."""


class ContentConfig(PopularityConfig):
    """Items whose text resembles that of what the user bought."""

    half_life_days: float = Field(default=84.0, gt=0)
    """Days in which a purchase loses half of its weight."""


class HybridConfig(PopularityConfig):
    """Candidates from several sources, re-ranked by boosted trees (LightGBM)."""

    SEARCH: ClassVar[Space] = {
        "leaves": Range(7, 127, log=True),
        "learning_rate": Range(0.02, 0.2, log=True),
        "min_leaf_pairs": Range(20, 1_000, log=True),
        "feature_share": Range(0.3, 1.0),
        "leaf_penalty": Range(0.1, 50.0, log=True),
        "moments": Range(4, 16),
    }
    """What `make tune` varies."""

    own_candidates: int = Field(default=100, gt=0)
    """Maximum number of items the user bought before."""
    popular_candidates: int = Field(default=30, gt=0)
    """Maximum number of popular items that are new to the user."""
    near_candidates: int = Field(default=30, gt=0)
    """Maximum number of new items that are similar to what the user buys."""
    tried_candidates: int = Field(default=60, gt=0)
    """Maximum number of new items of subcategories in which the user tries new items."""
    moments: int = Field(default=8, gt=0)
    """Number of weekly moments before the as-of at which training questions are asked."""
    max_questions: int = Field(default=8_192, gt=0)
    """Maximum number of training questions."""
    max_trees: int = Field(default=300, gt=0)
    leaves: int = Field(default=31, gt=1)
    learning_rate: float = Field(default=0.1, gt=0)
    min_leaf_pairs: int = Field(default=100, gt=0)
    feature_share: float = Field(default=0.5, gt=0, le=1)
    """Share of the features that a tree may use."""
    pair_share: float = Field(default=0.8, gt=0, le=1)
    """Share of the pairs that a tree sees."""
    leaf_penalty: float = Field(default=5.0, ge=0)
    """L2 penalty of the leaves' values."""


class LinearConfig(Configuration):
    """Linear item-item weights."""

    SEARCH: ClassVar[Space] = {
        "regularization": Range(1.0, 10_000.0, log=True),
        "recency": Range(0.3, 1.0),
    }
    """What `make tune` varies."""

    learns: Literal["alike", "together", "next"] = "together"
    """Which items share buyers (cosine), reconstruct histories (EASE), or follow each other (SLIT)."""
    regularization: float = Field(default=6.0, gt=0)
    """Added to the diagonal of the Gram matrix, in multiples of an item's mean number of buyers."""
    shrinkage: float = Field(default=3.0, ge=0)
    """Pseudo-buyers that the cosine adds to every item."""
    recency: float = Field(default=0.8, gt=0, le=1)
    """Weight of an order relative to the user's next one, at serving."""
    learned_recency: float = Field(default=0.8, gt=0, le=1)
    """Weight of an item relative to the one bought after it, where weights of `next` are learned."""
    future_recency: float = Field(default=0.5, gt=0, le=1)
    """Weight of a following item relative to the one before it, where weights of `next` are learned."""
    max_items: int = Field(default=20_000, gt=0)
    """Weights are solved for only so many most-bought items: time is cubic, memory quadratic. The cosine covers all."""


class IalsConfig(Configuration):
    """Matrix factorisation of implicit feedback by alternating least squares."""

    SEARCH: ClassVar[Space] = {
        "factors": (32, 64, 128, 256),
        "regularization": Range(1e-3, 10.0, log=True),
        "confidence": Range(1.0, 100.0, log=True),
        "recency": Range(0.5, 1.0),
    }
    """What `make tune` varies."""

    factors: int = Field(default=64, gt=0)
    regularization: float = Field(default=1.0, ge=0)
    confidence: float = Field(default=20.0, gt=0)
    """Extra weight of a purchase; an item that was not bought weighs 1."""
    iterations: int = Field(default=12, gt=0)
    recency: float = Field(default=0.8, gt=0, le=1)
    """Weight of an order relative to the user's next one, at serving."""


class RatingFactorsConfig(Configuration):
    """Matrix factorisation of explicit ratings with biases, by alternating least squares."""

    SEARCH: ClassVar[Space] = {
        "factors": (4, 8, 16, 32),
        "regularization": Range(3.0, 50.0, log=True),
        "bias_regularization": Range(1.0, 20.0, log=True),
    }
    """What `make tune` varies."""

    factors: int = Field(default=8, gt=0)
    regularization: float = Field(default=12.0, gt=0)
    """L2 penalty of the factors, in squared errors of one rating."""
    bias_regularization: float = Field(default=3.0, gt=0)
    """L2 penalty of the biases."""
    iterations: int = Field(default=10, gt=0)
    """Alternations between solving for users and for items."""


class BlendConfig(Configuration):
    """The sequential network, SLIT, the cosine, EASE and iALS, summed after standardising over a user's items."""

    sequential: SequentialConfig
    follows: LinearConfig
    alike: LinearConfig
    together: LinearConfig
    factors: IalsConfig
    follows_weight: float = Field(default=0.0, ge=0)
    """Of SLIT; the network's weight is 1."""
    alike_weight: float = Field(default=0.0, ge=0)
    """Of the cosine, the only linear member that covers every item of a large catalogue."""
    together_weight: float = Field(default=0.0, ge=0)
    """Of EASE."""
    factors_weight: float = Field(default=0.0, ge=0)
    """Of iALS."""


BLENDED = ("sequential", "transitions", "item_item", "ease", "ials")
"""Candidates that the blend is made of."""
