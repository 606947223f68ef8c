"""What the boosted trees saw in a pair: contributions of kinds of features to its score, exact (TreeSHAP), in words."""

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
from everstay.recommender.hybrid.facts import ItemFacts
from everstay.recommender.hybrid.pairs import FloatMatrix, feature_names
from everstay.recommender.links import find_links
from everstay.recommender.reasons import POPULAR, bought_before, due_again, first_known, heaviest, linked
from everstay.recommender.vocabulary import Vocabulary

_HALF_LIFE_DAYS = 84.0  # with which purchases weigh where nearness is measured
_NEAR = ("near", "near_last")
_TIMING = ("overdue_of_item", "overdue_smoothed", "since_to_order_gap")


def pair_reasons(
    booster: lightgbm.Booster,
    features: FloatMatrix,
    asked: tuple[Histories, IntArray, IntArray],
    facts: ItemFacts,
    vocabulary: Vocabulary,
    groupings: Sequence[str],
) -> list[str]:
    """The kind of feature that adds most to the log-odds of each pair.

    Args:
        booster: gave the scores.
        features: (n, F) of the pairs.
        asked: the histories, user (n,) and item (n,) of the pairs.
        facts: neighbours of the items.
        vocabulary: ids and attributes of the items.
        groupings: the attributes by which items are grouped.
    """
    parts = _contributions(booster, features, len(groupings))
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
    return heaviest([*told, (parts[:, -1], POPULAR)])


def _contributions(booster: lightgbm.Booster, features: FloatMatrix, groupings: int) -> NDArray[np.float64]:
    """Sums over the columns of each kind (n, 2 + G + 1): own purchases, nearness, each grouping, the item itself."""
    names = feature_names(groupings)
    parts = np.asarray(booster.predict(features, pred_contrib=True, num_threads=1))[:, : len(names)]
    kinds = [(*repeats.FEATURES, *_TIMING), _NEAR]
    kinds += [tuple(name for name in names if name.startswith(f"group_{number}_")) for number in range(groupings)]
    kinds.append(item_facts.COLUMNS)
    return np.stack([parts[:, [names.index(name) for name in kind]].sum(axis=1) for kind in kinds], axis=1)
