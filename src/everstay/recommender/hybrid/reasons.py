"""Reasons of the boosted trees: exact contributions (TreeSHAP) of kinds of features to a pair's score, in words."""

from collections.abc import Sequence

import lightgbm
import numpy as np
import polars as pl
from numpy.typing import NDArray

from everstay import tables as t
from everstay.recommender import repeats
from everstay.recommender.baselines import decayed_counts
from everstay.recommender.histories import Histories, IntArray
from everstay.recommender.hybrid import facts as item_facts
from everstay.recommender.hybrid import prices
from everstay.recommender.hybrid.facts import ItemFacts
from everstay.recommender.hybrid.pairs import FloatMatrix, feature_names
from everstay.recommender.links import find_links
from everstay.recommender.reasons import POPULAR, bought_before, due_again, first_known, heaviest, linked
from everstay.recommender.vocabulary import Vocabulary

_HALF_LIFE_DAYS = 84.0  # of a purchase's weight in nearness
_NEAR = ("near", "near_last")
_TIMING = ("overdue_of_item", "overdue_smoothed", "since_to_order_gap")
_DISCOUNTS = (*prices.DISCOUNT_COLUMNS, "discount_fit")
_PRICES = (*prices.LEVEL_COLUMNS, "price_place", "price_fit")
_LEAST_REDUCED = 0.05  # smallest share taken off that is mentioned
_AT_LEVEL = 0.15  # largest distance from the user's price level


def pair_reasons(
    booster: lightgbm.Booster,
    features: FloatMatrix,
    asked: tuple[Histories, IntArray, IntArray],
    facts: ItemFacts,
    vocabulary: Vocabulary,
    groupings: Sequence[str],
) -> list[str]:
    """Name the kind of feature that adds most to the log-odds of each pair.

    Args:
        booster: gave the scores.
        features: (n, F) of the pairs.
        asked: the histories, user (n,) and item (n,) of the pairs.
        facts: neighbours of the items.
        vocabulary: ids and attributes of the items.
        groupings: the attributes by which items are grouped.
    """
    names = feature_names(len(groupings))
    parts = _contributions(booster, features, names, len(groupings))
    histories, user, item = asked
    own = decayed_counts(histories, vocabulary.size, _HALF_LIFE_DAYS)
    source = find_links(own, facts.neighbours, user, item).strongest
    bought = pl.Series(first_known(due_again(*asked), bought_before(*asked), otherwise=""))
    is_own = np.asarray(own[user, item]).ravel() > 0
    told: list[tuple[NDArray[np.floating], pl.Series | str]] = [
        (parts[:, 0], bought.zip_with(pl.Series(is_own), pl.Series([None] * len(item), dtype=pl.String))),
        (parts[:, 1], linked(histories, (user, item), source, vocabulary.items[t.ITEM_ID])),
    ]
    for number, name in enumerate(groupings):
        kind = vocabulary.items[name].gather(item.astype(np.uint32))
        told.append((parts[:, 2 + number], "popular in your category " + kind))
    told += [(parts[:, -3], _reduced(features, names)), (parts[:, -2], _at_level(features, names))]
    return heaviest([*told, (parts[:, -1], POPULAR)])


def _reduced(features: FloatMatrix, names: list[str]) -> pl.Series:
    """Reason for items that were sold at a discount in the last days; null for the others."""
    off = pl.Series(features[:, names.index("discount_7d")])
    told = pl.format("recently reduced by {}%", (off * 100).round().cast(pl.Int64))
    return pl.select(pl.when(off >= _LEAST_REDUCED).then(told)).to_series()


def _at_level(features: FloatMatrix, names: list[str]) -> pl.Series:
    """Reason for items about as expensive within their group as what the user buys; null for the others."""
    is_near = pl.Series(np.abs(features[:, names.index("price_fit")]) <= _AT_LEVEL)
    return pl.select(pl.when(is_near).then(pl.lit("at your usual price level"))).to_series()


def _contributions(
    booster: lightgbm.Booster, features: FloatMatrix, names: list[str], groupings: int
) -> NDArray[np.float64]:
    """Sums over the columns of each kind (n, 2 + G + 3): own items, nearness, groupings, discounts, price, demand."""
    parts = np.asarray(booster.predict(features, pred_contrib=True, num_threads=1))[:, : len(names)]
    kinds = [(*repeats.FEATURES, *_TIMING), _NEAR]
    kinds += [tuple(name for name in names if name.startswith(f"group_{number}_")) for number in range(groupings)]
    kinds += [_DISCOUNTS, _PRICES, item_facts.DEMAND_COLUMNS]
    return np.stack([parts[:, [names.index(name) for name in kind]].sum(axis=1) for kind in kinds], axis=1)
