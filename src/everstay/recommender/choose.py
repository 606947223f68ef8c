"""Hyperparameters of the baselines, chosen by NDCG on the validation baskets: baselines are tuned too."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import TypeVar

import numpy as np
import polars as pl
from pydantic import BaseModel

from everstay import tables as t
from everstay.recommender.config import (
    IalsConfig,
    ItemNeighboursConfig,
    LinearConfig,
    PersonalFrequencyConfig,
    PopularityConfig,
)
from everstay.recommender.evaluate import judge_lists
from everstay.recommender.families import FAMILIES
from everstay.recommender.model import ListModel
from everstay.recommender.rows import with_targets
from everstay.recommender.vocabulary import WINDOWS

Config = TypeVar("Config", bound=BaseModel)

POPULARITY = tuple(PopularityConfig(window_days=days) for days in WINDOWS)
PERSONAL_FREQUENCY = tuple(
    PersonalFrequencyConfig(window_days=28, half_life_days=half_life, prior_orders=prior)
    for half_life in (56.0, 84.0, 120.0)
    for prior in (30.0, 100.0, 200.0)
)
ITEM_NEIGHBOURS = tuple(
    ItemNeighboursConfig(window_days=28, half_life_days=84.0, prior_orders=prior, neighbour_weight=weight)
    for prior in (30.0, 100.0)
    for weight in (0.1, 0.3, 1.0)
)
_WEIGHED_USERS = 5_000
_RECENCIES = (0.4, 0.6, 0.8, 0.95)
ITEM_ITEM = tuple(LinearConfig(learns="alike", recency=recency) for recency in _RECENCIES)
EASE = tuple(LinearConfig(learns="together", recency=recency) for recency in _RECENCIES)
TRANSITIONS = tuple(LinearConfig(learns="next", recency=recency) for recency in _RECENCIES)
IALS = tuple(
    IalsConfig(factors=factors, regularization=regularization)
    for factors in (64, 128)
    for regularization in (1.0, 30.0)
)
BLEND_WEIGHTS = (0.0, 0.025, 0.05, 0.1, 0.3)
"""Tried for each member but the network, whose weight is 1."""
GRIDS: dict[str, Sequence[BaseModel]] = {
    **{name: family.configs for name, family in FAMILIES.items()},
    "popularity": POPULARITY,
    "personal_frequency": PERSONAL_FREQUENCY,
    "item_neighbours": ITEM_NEIGHBOURS,
    "item_item": ITEM_ITEM,
    "ease": EASE,
    "transitions": TRANSITIONS,
    "ials": IALS,
}
"""Grids; the network's few hyperparameters were chosen the same way, once, and are its configuration's defaults."""


def choose_config(
    configs: Sequence[Config], make: Callable[[Config], ListModel], rows: pl.DataFrame, k: int
) -> tuple[Config, float]:
    """Return the configuration whose lists have the highest mean NDCG, the first if tied, and that mean.

    Args:
        configs: to try.
        make: maps a configuration to the model fitted as of `rows`.
        rows: histories and next baskets of the validation part.
        k: length of the lists.
    """
    asked = with_targets(rows)
    means = [mean_ndcg(make(config), asked, k) for config in configs]
    best = int(np.argmax(means))
    return configs[best], means[best]


def choose_weights(
    start: Config, weights: Sequence[str], make: Callable[[Config], ListModel], rows: pl.DataFrame, k: int
) -> Config:
    """Choose each weight among `BLEND_WEIGHTS` by coordinate ascent, until none changes.

    Args:
        start: the configuration to vary.
        weights: names of its weights, in the order in which they are chosen.
        make: maps a configuration to the model fitted as of `rows`.
        rows: histories and next baskets of the validation part; at most `_WEIGHED_USERS` users are sampled.
        k: length of the lists.
    """
    asked = with_targets(rows)
    asked = asked.sample(min(_WEIGHED_USERS, asked.height), seed=0).sort(t.USER_ID)

    def weighed(chosen: tuple[float, ...]) -> Config:
        return start.model_copy(update=dict(zip(weights, chosen, strict=True)))

    judge = cache(lambda chosen: mean_ndcg(make(weighed(chosen)), asked, k))
    chosen, before = tuple(0.0 for _ in weights), None
    while chosen != before:
        before = chosen
        for place in range(len(weights)):
            chosen = max(((*chosen[:place], weight, *chosen[place + 1 :]) for weight in BLEND_WEIGHTS), key=judge)
    return weighed(chosen)


def mean_ndcg(model: ListModel, asked: pl.DataFrame, k: int) -> float:
    """Mean over users of the NDCG of their lists."""
    return float(np.mean(judge_lists(model.plain_lists(asked, k), asked, k)["ndcg"].to_numpy()))
