"""What the churn candidates compute; where and for how long they are trained is in `everstay.settings.Training`."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class _Config(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class LogisticConfig(_Config):
    """Logistic regression on normalised features."""

    penalties: tuple[float, ...] = (100.0, 300.0, 1000.0, 3000.0)
    """Weights of the squared coefficients to choose from on the validation rows."""


class BoostingConfig(_Config):
    """Histogram gradient boosting, strongly regularised: few leaves, many rows in each, few features per split."""

    rounds: tuple[int, ...] = (100, 150, 200)
    """Numbers of trees to choose from on the validation rows; more gained nothing on earlier as-ofs."""
    learning_rate: float = Field(default=0.03, gt=0)
    leaves: int = Field(default=6, ge=2)
    min_leaf_rows: int = Field(default=200, gt=0)
    feature_share: float = Field(default=0.2, gt=0, le=1)
    """Share of the features, drawn anew, that a split may choose from."""
    l2: float = Field(default=10.0, ge=0)


class LassoConfig(_Config):
    """Logistic regression that selects features."""

    penalties: tuple[float, ...] = (10.0, 30.0, 100.0)
    """Weights of the absolute coefficients to choose from on the validation rows."""


class TreeConfig(_Config):
    """One decision tree."""

    leaf_shares: tuple[float, ...] = (0.005, 0.01, 0.02)
    """Smallest share of the rows in a leaf, to choose from on the validation rows."""


class SvmConfig(_Config):
    """A support vector machine with Gaussian kernel."""

    costs: tuple[float, ...] = (0.3, 1.0)
    """Of a row on the wrong side, to choose from on the validation rows."""
    width_scale: float = Field(default=0.3, gt=0)
    """The kernel falls to 1/e at a squared distance of (encoded features) / this."""
    max_rows: int = Field(default=4_000, gt=0)
    """Rows in the sample that is learned from."""


class LightGbmConfig(BoostingConfig):
    """LightGBM with the same regularisation as `BoostingConfig`; other trees, for it bins and samples otherwise."""


class PurchaseProcessConfig(_Config):
    """Buy-till-you-die models."""

    processes: tuple[str, ...] = ("pareto_nbd", "bg_nbd", "mbg_nbd")
    """To choose from on the validation rows; names of `purchase_process.PROCESSES`."""


class NetworkConfig(_Config):
    """A network over day tokens, recurrent or a transformer, beside a small one over the activity features."""

    reader: Literal["gru", "transformer"] = "gru"
    """What reads the day tokens."""
    is_hazard: bool = False
    """Whether the four silences are made of one hazard per quarter of the label window, so that they are a curve."""
    reads_weekdays: bool = False
    """Whether a token tells the day of the week."""
    pretrain_epochs: int = Field(default=0, ge=0)
    """Epochs of foretelling the next token before anything is learned of leaving."""

    max_tokens: int = Field(default=64, gt=0)
    """The latest tokens that are read."""
    token_width: int = Field(default=32, gt=0)
    state_width: int = Field(default=32, gt=0)
    feature_width: int = Field(default=64, gt=0)
    dropout: float = Field(default=0.3, ge=0, lt=1)
    learning_rate: float = Field(default=2e-3, gt=0)
    weight_decay: float = Field(default=0.05, ge=0)
    batch_rows: int = Field(default=512, gt=0)
    max_epochs: int = Field(default=6, gt=0)
    """At most this many, and at most `Training.max_epochs`: later ones gained nothing on earlier as-ofs."""
    patience: int = Field(default=4, gt=0)
    """Epochs without a lower validation loss before training stops."""
    layers: int = Field(default=2, gt=0)
    """Of the transformer."""
    heads: int = Field(default=4, gt=0)
    """Of attention in each layer."""
    members: int = Field(default=2, gt=0)
    """Networks of different seeds whose log-odds are averaged."""


class HazardConfig(NetworkConfig):
    """The recurrent network with a hazard per quarter of the window: survival curves."""

    is_hazard: bool = True


class TransformerConfig(NetworkConfig):
    """A small causal transformer with survival curves, which first learns to foretell the next token."""

    reader: Literal["gru", "transformer"] = "transformer"
    is_hazard: bool = True
    reads_weekdays: bool = True
    pretrain_epochs: int = Field(default=10, ge=0)


MAX_TOKENS = 128
"""Day tokens that rows need to hold at least: the cadence reads so many, the network the latest of them."""
