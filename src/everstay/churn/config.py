"""What the churn candidates compute; where and for how long they are trained is in `everstay.settings.Training`."""

from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field

from everstay.configuration import Configuration, Range, Space


def _several(value: object) -> object:
    return value if isinstance(value, tuple | list) else (value,)


Numbers = Annotated[tuple[float, ...], BeforeValidator(_several)]
"""One number, or several to choose from on the validation rows."""
Counts = Annotated[tuple[int, ...], BeforeValidator(_several)]
"""The same for whole numbers."""


class LogisticConfig(Configuration):
    """Logistic regression on normalised features."""

    SEARCH: ClassVar[Space] = {"penalties": Range(1.0, 30_000.0, log=True)}

    penalties: Numbers = (100.0, 300.0, 1000.0, 3000.0)
    """Weights of the squared coefficients to choose from on the validation rows."""


class BoostingConfig(Configuration):
    """Histogram gradient boosting, strongly regularised: few leaves, many rows in each, few features per split."""

    SEARCH: ClassVar[Space] = {
        "rounds": Range(50, 500, log=True),
        "learning_rate": Range(0.01, 0.1, log=True),
        "leaves": Range(3, 16),
        "min_leaf_rows": Range(20, 600, log=True),
        "feature_share": Range(0.05, 1.0),
        "l2": Range(0.1, 100.0, log=True),
    }

    rounds: Counts = (100, 150, 200)
    """Numbers of trees to choose from on the validation rows; more gained nothing on earlier as-ofs."""
    learning_rate: float = Field(default=0.03, gt=0)
    leaves: int = Field(default=6, ge=2)
    min_leaf_rows: int = Field(default=200, gt=0)
    feature_share: float = Field(default=0.2, gt=0, le=1)
    """Share of the features, sampled per split, that a split may choose from."""
    l2: float = Field(default=10.0, ge=0)


class LassoConfig(Configuration):
    """Logistic regression that selects features."""

    SEARCH: ClassVar[Space] = {"penalties": Range(1.0, 1_000.0, log=True)}

    penalties: Numbers = (10.0, 30.0, 100.0)
    """Weights of the absolute coefficients to choose from on the validation rows."""


class TreeConfig(Configuration):
    """One decision tree."""

    SEARCH: ClassVar[Space] = {"leaf_shares": Range(0.002, 0.05, log=True)}

    leaf_shares: Numbers = (0.005, 0.01, 0.02)
    """Smallest share of the rows in a leaf, to choose from on the validation rows."""


class SvmConfig(Configuration):
    """A support vector machine with Gaussian kernel."""

    SEARCH: ClassVar[Space] = {"costs": Range(0.03, 10.0, log=True), "width_scale": Range(0.03, 3.0, log=True)}

    costs: Numbers = (0.3, 1.0)
    """Penalties of margin violations (C), to choose from on the validation rows."""
    width_scale: float = Field(default=0.3, gt=0)
    """The kernel falls to 1/e at a squared distance of (encoded features) / this."""
    max_rows: int = Field(default=4_000, gt=0)
    """Rows in the training sample."""


class LightGbmConfig(BoostingConfig):
    """LightGBM with the same regularisation as `BoostingConfig`; other trees, because it bins and samples otherwise."""


class PurchaseProcessConfig(Configuration):
    """Buy-till-you-die models."""

    processes: tuple[str, ...] = ("pareto_nbd", "bg_nbd", "mbg_nbd", "mbg_nbd_activity")
    """To choose from on the validation rows: names of `purchase_process.PROCESSES` over the order days, or with
    `_activity` over all days on which a user did something."""


class NetworkConfig(Configuration):
    """A network over day tokens, recurrent or a transformer, plus a small one over the activity features."""

    SEARCH: ClassVar[Space] = {
        "token_width": (16, 32, 64),
        "state_width": (16, 32, 64),
        "feature_width": (32, 64, 128),
        "dropout": Range(0.1, 0.6),
        "learning_rate": Range(5e-4, 5e-3, log=True),
        "weight_decay": (0.0, 0.01, 0.05, 0.2),
    }

    reader: Literal["gru", "transformer"] = "gru"
    """Encoder of the day tokens."""
    is_hazard: bool = False
    """Whether the four silences come from one hazard per quarter of the label window, so that they form a curve."""
    reads_weekdays: bool = False
    """Whether tokens encode the day of the week."""
    pretrain_epochs: int = Field(default=0, ge=0)
    """Epochs of next-token prediction before training on churn."""

    max_tokens: int = Field(default=64, gt=0)
    """Number of latest tokens that are read."""
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
    """A small causal transformer with survival curves, pretrained to predict the next token."""

    SEARCH: ClassVar[Space] = {**NetworkConfig.SEARCH, "layers": (1, 2, 3), "pretrain_epochs": (0, 5, 10, 20)}

    reader: Literal["gru", "transformer"] = "transformer"
    is_hazard: bool = True
    reads_weekdays: bool = True
    pretrain_epochs: int = Field(default=10, ge=0)


MAX_TOKENS = 128
"""Minimum number of day tokens that rows must hold: the cadence reads so many, the network the latest of them."""

CONFIGS: dict[str, type[Configuration]] = {
    "logistic": LogisticConfig,
    "boosting": BoostingConfig,
    "network": NetworkConfig,
    "hazard": HazardConfig,
    "transformer": TransformerConfig,
    "purchase_process": PurchaseProcessConfig,
    "lasso": LassoConfig,
    "tree": TreeConfig,
    "svm": SvmConfig,
    "lightgbm": LightGbmConfig,
}
"""Candidate to its configuration; the recency rule and the blend have none."""
