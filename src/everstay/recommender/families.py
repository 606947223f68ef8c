"""The families whose few settings are chosen from a grid: how each is fitted, stored and loaded."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import BaseModel
from safetensors.numpy import load_file, save_file
from scipy import sparse

from everstay.recommender.association_rules import AssociationRulesRanker, find_rules
from everstay.recommender.baselines import popularity
from everstay.recommender.category_popularity import CategoryPopularityRanker
from everstay.recommender.config import (
    AssociationRulesConfig,
    CategoryPopularityConfig,
    ContentConfig,
    RatingFactorsConfig,
    SegmentPopularityConfig,
    UserNeighboursConfig,
)
from everstay.recommender.content import ContentRanker, read_words
from everstay.recommender.histories import read_histories
from everstay.recommender.model import Ranker
from everstay.recommender.rating_factors import RatingFactorsRanker
from everstay.recommender.segment_popularity import SegmentPopularityRanker
from everstay.recommender.user_neighbours import UserNeighboursRanker
from everstay.recommender.vocabulary import Vocabulary

Make = Callable[[Any], Ranker]
Load = Callable[[Path, dict[str, Any], Vocabulary], Ranker]

_CELLS = "cells-{}.safetensors"


@dataclass(frozen=True)
class Family:
    """One family.

    Attributes:
        ranker: its class.
        configs: what is tried on validation.
        maker: from rows and vocabulary, the function that turns a configuration into a fitted ranker.
        save: writes into an artifact folder what is neither in the card nor in the vocabulary.
        load: reads it.
        knows_unsold: whether its vocabulary holds the whole catalogue.
    """

    ranker: type[Ranker]
    configs: Sequence[BaseModel]
    maker: Callable[[pl.DataFrame, Vocabulary], Make]
    save: Callable[[Any, Path], None]
    load: Load
    knows_unsold: bool = False


def save_cells(folder: Path, **arrays: sparse.csr_array) -> None:
    """Write sparse arrays."""
    for name, cells in arrays.items():
        cells.sort_indices()
        parts = {"data": cells.data, "indices": cells.indices, "indptr": cells.indptr}
        save_file(parts, folder / _CELLS.format(name))


def load_cells(folder: Path, name: str, columns: int) -> sparse.csr_array:
    """Read one of them, with `columns` columns."""
    arrays = load_file(folder / _CELLS.format(name))
    shape = (len(arrays["indptr"]) - 1, columns)
    return sparse.csr_array((arrays["data"], arrays["indices"], arrays["indptr"]), shape=shape)


def _category_maker(rows: pl.DataFrame, vocabulary: Vocabulary) -> Make:  # noqa: ARG001  # all is in the vocabulary
    return partial(CategoryPopularityRanker.fit, vocabulary)


def _save_nothing(ranker: Ranker, folder: Path) -> None:  # noqa: ARG001
    return None


def _load_category(folder: Path, config: dict[str, Any], vocabulary: Vocabulary) -> Ranker:  # noqa: ARG001
    return CategoryPopularityRanker.fit(vocabulary, CategoryPopularityConfig(**config))


def _segments_maker(rows: pl.DataFrame, vocabulary: Vocabulary) -> Make:
    return partial(SegmentPopularityRanker.fit, rows, vocabulary)


def _save_segments(ranker: SegmentPopularityRanker, folder: Path) -> None:
    ranker.save(folder)


def _load_segments(folder: Path, config: dict[str, Any], vocabulary: Vocabulary) -> Ranker:  # noqa: ARG001
    return SegmentPopularityRanker.load(folder, vocabulary)


def _ratings_maker(rows: pl.DataFrame, vocabulary: Vocabulary) -> Make:
    return partial(RatingFactorsRanker.fit, rows, vocabulary)


def _save_ratings(ranker: RatingFactorsRanker, folder: Path) -> None:
    ranker.save(folder)


def _load_ratings(folder: Path, config: dict[str, Any], vocabulary: Vocabulary) -> Ranker:
    return RatingFactorsRanker.load(folder, vocabulary, RatingFactorsConfig(**config))


def _users_maker(rows: pl.DataFrame, vocabulary: Vocabulary) -> Make:
    return partial(UserNeighboursRanker.fit, read_histories(rows, vocabulary), vocabulary)


def _save_users(ranker: UserNeighboursRanker, folder: Path) -> None:
    save_cells(folder, bought=ranker.bought, lately=ranker.lately)


def _load_users(folder: Path, config: dict[str, Any], vocabulary: Vocabulary) -> Ranker:
    bought, lately = (load_cells(folder, name, vocabulary.size) for name in ("bought", "lately"))
    known = UserNeighboursConfig(**config)
    return UserNeighboursRanker(known, popularity(vocabulary, known.window_days), bought, lately)


def _rules_maker(rows: pl.DataFrame, vocabulary: Vocabulary) -> Make:
    rules = find_rules(read_histories(rows, vocabulary), vocabulary.size, AssociationRulesConfig())
    return lambda config: AssociationRulesRanker.build(vocabulary, config, rules)


def _save_rules(ranker: AssociationRulesRanker, folder: Path) -> None:
    save_cells(folder, rules=ranker.rules)


def _load_rules(folder: Path, config: dict[str, Any], vocabulary: Vocabulary) -> Ranker:
    rules = load_cells(folder, "rules", vocabulary.size)
    return AssociationRulesRanker.build(vocabulary, AssociationRulesConfig(**config), rules)


def _content_maker(rows: pl.DataFrame, vocabulary: Vocabulary) -> Make:  # noqa: ARG001
    words = read_words(vocabulary)
    return lambda config: ContentRanker.build(vocabulary, config, words)


def _save_content(ranker: ContentRanker, folder: Path) -> None:
    save_cells(folder, words_of_items=ranker.words.T.tocsr())


def _load_content(folder: Path, config: dict[str, Any], vocabulary: Vocabulary) -> Ranker:
    words = load_cells(folder, "words_of_items", vocabulary.size).T.tocsr()
    words.sort_indices()
    return ContentRanker.build(vocabulary, ContentConfig(**config), words)


FAMILIES: Mapping[str, Family] = {
    "category_popularity": Family(
        CategoryPopularityRanker,
        [CategoryPopularityConfig(prior_orders=prior) for prior in (3.0, 30.0, 100.0)],
        _category_maker,
        _save_nothing,
        _load_category,
    ),
    "segment_popularity": Family(
        SegmentPopularityRanker,
        [
            SegmentPopularityConfig(window_days=days, prior_orders=prior)
            for days in (28, 7, 112)
            for prior in (1_000_000.0, 100_000.0, 10_000.0, 1_000.0)
        ],
        _segments_maker,
        _save_segments,
        _load_segments,
    ),
    "rating_factors": Family(
        RatingFactorsRanker,
        [RatingFactorsConfig()],
        _ratings_maker,
        _save_ratings,
        _load_ratings,
    ),
    "user_neighbours": Family(
        UserNeighboursRanker,
        [UserNeighboursConfig(recency_orders=n, locality=q) for n in (10, 25, 100) for q in (1.0, 5.0, 10.0)],
        _users_maker,
        _save_users,
        _load_users,
    ),
    "association_rules": Family(
        AssociationRulesRanker,
        [AssociationRulesConfig(recent_orders=orders) for orders in (1, 3, 10)],
        _rules_maker,
        _save_rules,
        _load_rules,
    ),
    "content": Family(
        ContentRanker,
        [ContentConfig(half_life_days=days) for days in (28.0, 84.0, 364.0)],
        _content_maker,
        _save_content,
        _load_content,
        knows_unsold=True,
    ),
}
"""By the candidate's name. The rules' own thresholds are not tuned: what they drop is noise."""
