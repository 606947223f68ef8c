"""What each candidate computes; how it is trained is `everstay.training`'s, where it runs is the settings'."""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from everstay.recommender.vocabulary import WINDOWS


class _Config(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class PopularityConfig(_Config):
    """What everybody bought lately."""

    window_days: int = 28
    """Days before the as-of that count; one of `vocabulary.WINDOWS`."""

    @model_validator(mode="after")
    def _window_is_counted(self) -> Self:
        if self.window_days not in WINDOWS:
            raise ValueError(f"window_days is one of {', '.join(map(str, WINDOWS))}")
        return self


class PersonalFrequencyConfig(PopularityConfig):
    """What the user bought often and lately, filled up with popularity."""

    half_life_days: float = Field(default=84.0, gt=0)
    """Days in which a purchase loses half of its weight."""
    prior_orders: float = Field(default=100.0, ge=0)
    """Orders of the average user that are added to the user's own: how much popularity weighs."""


class ItemNeighboursConfig(PersonalFrequencyConfig):
    """What is bought by those who buy what the user bought."""

    neighbour_weight: float = Field(default=0.3, ge=0)
    """Weight of a neighbour of cosine 1, beside a purchase of the item itself."""


class CategoryPopularityConfig(PersonalFrequencyConfig):
    """What is popular in the categories the user buys from."""


class UserNeighboursConfig(PopularityConfig):
    """What users with the same items bought in their last orders."""

    recency_orders: int = Field(default=25, gt=0)
    """Last orders of a user that count."""
    locality: float = Field(default=5.0, gt=0)
    """Power of the similarity: larger values listen to fewer users."""
    max_users: int = Field(default=20_000, gt=0)
    """Most users that are remembered."""


class AssociationRulesConfig(PopularityConfig):
    """What is often in the same orders as the user's last items."""

    recent_orders: int = Field(default=3, gt=0)
    """Last orders whose items fire rules."""
    min_orders: int = Field(default=5, gt=0)
    """Orders that must hold both items."""
    min_lift: float = Field(default=1.5, gt=0)
    """How much more often than usual the second item must be there."""


class ContentConfig(PopularityConfig):
    """What resembles, in its words, what the user bought."""

    half_life_days: float = Field(default=84.0, gt=0)
    """Days in which a purchase loses half of its weight."""


class NetworkConfig(_Config):
    """Causal self-attention over orders, mixed with a repeat head over the user's own items."""

    dimensions: int = Field(default=16, gt=0)
    """Width of item and order embeddings."""
    blocks: int = Field(default=1, ge=0)
    """Self-attention blocks."""
    heads: int = Field(default=1, gt=0)
    """Attention heads; divides `dimensions`."""
    dropout: float = Field(default=0.4, ge=0, lt=1)
    """Share of activations that are dropped in training."""
    max_orders: int = Field(default=50, gt=0)
    """Latest orders the attention sees; the repeat head sees all."""
    item_dimensions: int = Field(default=8, gt=0)
    """Width of what the repeat head learns about each item."""
    repeat_width: int = Field(default=32, gt=0)
    """Width of the repeat head's two hidden layers."""
    epochs: int = Field(default=6, gt=0)
    """Passes over all users; the learning rate falls to zero over them."""
    learning_rate: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    batch_users: int = Field(default=32, gt=0)
    questions_per_user: int = Field(default=4, gt=0)
    """Earlier as-ofs, drawn per user and epoch, at which the next basket is asked."""
    list_length: int = Field(default=10, gt=0)
    """Places of the lists whose NDCG the loss stands for."""
    recency_half_life_days: float = Field(default=90.0, gt=0)
    """How much rarer as-ofs of long ago are drawn."""
    max_candidates: int = Field(default=32_768, gt=0)
    """Up to this size of the vocabulary the softmax is full; beyond, it takes so many negatives shared by a batch."""

    @model_validator(mode="after")
    def _heads_divide_dimensions(self) -> Self:
        if self.dimensions % self.heads:
            raise ValueError("heads must divide dimensions")
        return self


class HybridConfig(PopularityConfig):
    """Candidates from several sources, ranked again by boosted trees (LightGBM)."""

    own_candidates: int = Field(default=100, gt=0)
    """Most items the user bought before."""
    popular_candidates: int = Field(default=30, gt=0)
    """Popular items that are new to the user."""
    near_candidates: int = Field(default=30, gt=0)
    """New items that are near to what the user buys."""
    moments: int = Field(default=8, gt=0)
    """Weeks before the as-of at whose beginnings the past's questions are asked."""
    max_questions: int = Field(default=16_384, gt=0)
    """Most questions that are learned from."""
    max_trees: int = Field(default=300, gt=0)
    leaves: int = Field(default=31, gt=1)
    learning_rate: float = Field(default=0.08, gt=0)
    min_leaf_pairs: int = Field(default=100, gt=0)
    feature_share: float = Field(default=0.5, gt=0, le=1)
    """Share of the features that a tree may use."""
    pair_share: float = Field(default=0.8, gt=0, le=1)
    """Share of the pairs that a tree sees."""
    leaf_penalty: float = Field(default=5.0, ge=0)
    """L2 penalty of the leaves' values."""
