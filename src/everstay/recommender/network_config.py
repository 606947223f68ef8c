"""What the networks compute; `everstay.training` trains them, and the settings say where they run."""

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from everstay.configuration import Configuration, Range, Space

_DENSE = 100.0  # transitions per item; chosen on validations (decision 18)
_DENSE_DROPOUT = 0.2


class NetworkConfig(Configuration):
    """Causal self-attention over orders, mixed with a repeat head over the user's own items."""

    SEARCH: ClassVar[Space] = {
        "dimensions": (8, 16, 32, 64),
        "blocks": (0, 1, 2),
        "dropout": Range(0.1, 0.6),
        "learning_rate": Range(3e-4, 5e-3, log=True),
        "questions_per_user": Range(2, 8),
        "recency_half_life_days": Range(30.0, 365.0, log=True),
    }
    """What `make tune` varies."""

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
    """Width of the repeat head's item embeddings."""
    repeat_width: int = Field(default=32, gt=0)
    """Width of the repeat head's two hidden layers."""
    epochs: int = Field(default=6, gt=0)
    """Passes over all users; the learning rate decays along a cosine over them."""
    learning_rate: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    batch_users: int = Field(default=32, gt=0)
    questions_per_user: int = Field(default=4, gt=0)
    """Earlier as-ofs, sampled per user and epoch, at which the next basket is predicted."""
    list_length: int = Field(default=10, gt=0)
    """Length of the lists whose NDCG the loss approximates."""
    recency_half_life_days: float = Field(default=90.0, gt=0)
    """Age at which an as-of is sampled half as often."""
    max_candidates: int = Field(default=32_768, gt=0)
    """Vocabularies up to this size get a full softmax; larger ones so many negatives, shared by a batch."""

    @model_validator(mode="after")
    def _heads_divide_dimensions(self) -> Self:
        if self.dimensions % self.heads:
            raise ValueError("heads must divide dimensions")
        return self


class SequentialConfig(Configuration):
    """A causal network over the user's sequence of items; scores are cosines divided by a temperature."""

    SEARCH: ClassVar[Space] = {
        "dimensions": (32, 64, 128, 256),
        "blocks": (0, 1, 2, 3),
        "dropout": Range(0.1, 0.6),
        "input_dropout": Range(0.1, 0.7),
        "temperature": Range(0.03, 0.2, log=True),
        "learning_rate": Range(5e-4, 5e-3, log=True),
        "weight_decay": (0.0, 1e-4, 1e-3, 1e-2, 1e-1),
    }
    """What `make tune` varies."""

    members: int = Field(default=1, gt=0)
    """Networks of different seeds whose scores are averaged."""
    encoder: Literal["attention", "gru"] = "attention"
    """What the blocks are: self-attention (SASRec) or gated recurrent units (GRU4Rec)."""
    dimensions: int = Field(default=64, gt=0)
    """Width of the item embeddings."""
    blocks: int = Field(default=1, ge=0)
    """Blocks of the encoder."""
    heads: int = Field(default=1, gt=0)
    """Attention heads; divides `dimensions`. Ignored by `gru`."""
    dropout: float = Field(default=0.3, ge=0, lt=1)
    """Share of activations that are dropped in the blocks, in training."""
    input_dropout: float = Field(default=0.5, ge=0, lt=1)
    """Dropout of the embeddings that enter the blocks, in training."""
    max_items: int = Field(default=50, gt=0)
    """Latest items the blocks see."""
    temperature: float = Field(default=0.07, gt=0)
    """Divides the cosines before the softmax: the smaller, the more the hardest negatives weigh."""
    candidates: int = Field(default=2_048, gt=0)
    """Items in the softmax of a batch: its targets and uniformly sampled negatives, shared by all positions. A
    vocabulary that is not larger is used whole."""
    batch_items: int = Field(default=1_024, gt=0)
    """Maximum number of transitions in a batch; more than `max_items`."""
    epochs: int = Field(default=40, gt=0)
    """Maximum passes over all sequences; the best on validation is kept."""
    learning_rate: float = Field(default=2e-3, gt=0)
    weight_decay: float = Field(default=0.0, ge=0)

    @model_validator(mode="after")
    def _heads_divide_dimensions(self) -> Self:
        if self.dimensions % self.heads:
            raise ValueError("heads must divide dimensions")
        return self

    @model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        if not self.max_items < self.batch_items <= self.candidates:
            raise ValueError("a batch holds a window, candidates hold a batch: max_items < batch_items <= candidates")
        return self

    def for_density(self, density: float) -> Self:
        """The same with less dropout if there are so many transitions per item that overfitting is unlikely.

        Args:
            density: transitions per item of the vocabulary.
        """
        if density < _DENSE:
            return self
        return self.model_copy(update={"dropout": _DENSE_DROPOUT, "input_dropout": _DENSE_DROPOUT})


SEQUENTIAL = {"sequential": SequentialConfig(), "gru": SequentialConfig(encoder="gru")}
"""The sequential networks, by the candidate's name."""
