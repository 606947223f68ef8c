"""Fit a candidate twice: as of the validation, where its settings are chosen, then with these as of the test."""

from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import BaseModel
from scipy import sparse

from everstay import tables as t
from everstay.recommender.baselines import (
    ItemNeighboursRanker,
    PersonalFrequencyRanker,
    PopularityRanker,
    find_neighbours,
)
from everstay.recommender.blend import BlendRanker
from everstay.recommender.choose import GRIDS, choose_config, choose_weights
from everstay.recommender.cold_users import without_segments
from everstay.recommender.config import BLENDED, BlendConfig, HybridConfig, IalsConfig, LinearConfig
from everstay.recommender.families import FAMILIES
from everstay.recommender.fitted import Fitted
from everstay.recommender.histories import Histories, read_histories
from everstay.recommender.hybrid.fit import fit_hybrid_ranker
from everstay.recommender.ials import IalsRanker, fit_ials
from everstay.recommender.linear import LinearRanker
from everstay.recommender.linear_fit import fit_linear
from everstay.recommender.model import ListModel, Ranker, Scores
from everstay.recommender.network_config import SEQUENTIAL, NetworkConfig
from everstay.recommender.network_fit import fit_network_ranker
from everstay.recommender.rows import BasketRows
from everstay.recommender.sequences import Sequences
from everstay.recommender.sequential import SequentialRanker
from everstay.recommender.sequential_fit import FittedSequential, fit_sequential, next_items
from everstay.recommender.vocabulary import Vocabulary
from everstay.settings import Settings
from everstay.training import count_parameters

Make = Callable[[Any], Ranker]


def fit_candidate(name: str, rows: BasketRows, settings: Settings, folder: Path) -> Fitted:
    """Choose the settings of one candidate and fit it.

    Args:
        name: one of `settings.recommender.candidates`, except the blend, which is made of others.
        rows: of validation and test.
        settings: vocabulary, policy, seed and training.
        folder: of checkpoints, from which a killed call resumes.

    Raises:
        NotReady: nothing can be learned from the rows.
    """
    if name == "network":
        return _fit_network(rows, settings, folder)
    if name == "hybrid":
        return _fit_hybrid(rows, settings)
    if name in SEQUENTIAL:
        return _fit_sequential(name, rows, settings, folder)
    is_content = name in FAMILIES and FAMILIES[name].knows_unsold
    early_vocabulary, vocabulary = vocabularies(rows, settings, with_unsold=is_content)
    make = partial(list_model, name, settings)
    early_ranker = ranker_maker(name, rows.validation, early_vocabulary, settings)
    chosen, _ = choose_config(
        GRIDS[name],
        lambda config: make(early_ranker(config), early_vocabulary),
        rows.validation,
        settings.recommender.list_length,
    )
    model = make(ranker_maker(name, rows.test, vocabulary, settings)(chosen), vocabulary)
    return Fitted(model, make(early_ranker(chosen), early_vocabulary), _params(chosen, vocabulary, settings), {})


_WEIGHTS = ("follows_weight", "alike_weight", "together_weight", "factors_weight")


def fit_blend(fitted: Mapping[str, Fitted], rows: BasketRows, settings: Settings) -> Fitted:
    """Choose on validation the other members' weights beside the network.

    Args:
        fitted: the candidates `BLENDED`.
        rows: that they were fitted on.
        settings: length of the lists and policy.
    """
    early, final = (
        [without_segments(getattr(fitted[name], part).ranker) for name in BLENDED] for part in ("early", "model")
    )
    parts = ("sequential", "follows", "alike", "together", "factors")
    start = BlendConfig(**{part: ranker.config for part, ranker in zip(parts, early, strict=True)})
    vocabulary, early_vocabulary = (fitted["ease"].model.vocabulary, fitted["ease"].early.vocabulary)

    def make(config: BlendConfig) -> ListModel:
        return list_model("blend", settings, BlendRanker(config, *early), early_vocabulary)

    chosen = choose_weights(start, _WEIGHTS, make, rows.validation, settings.recommender.list_length)
    params = {
        **{weight: getattr(chosen, weight) for weight in _WEIGHTS},
        **{f"sequential_{key}": value for key, value in fitted["sequential"].params.items()},
    }
    model = list_model("blend", settings, BlendRanker(chosen, *final), vocabulary)
    return Fitted(model, make(chosen), params, fitted["sequential"].curves)


def ranker_maker(name: str, rows: pl.DataFrame, vocabulary: Vocabulary, settings: Settings) -> Make:
    """The function that turns a configuration into a ranker fitted as of `rows`; shared work is done once."""
    if name in FAMILIES:
        return FAMILIES[name].maker(rows, vocabulary)
    if name == "popularity":
        return partial(PopularityRanker.fit, vocabulary)
    if name == "personal_frequency":
        return partial(PersonalFrequencyRanker.fit, vocabulary)
    histories = read_histories(rows, vocabulary)
    if name in ("item_item", "ease", "transitions"):
        return _linear_maker(histories, vocabulary)
    if name == "ials":
        return _ials_maker(histories, vocabulary, settings.training.seed)
    near = find_neighbours(histories, vocabulary.size)
    return lambda config: ItemNeighboursRanker.build(vocabulary, config, near)


def _linear_maker(histories: Histories, vocabulary: Vocabulary) -> Make:
    """Fit weights once per configuration apart from `recency`, which only serving uses."""

    @cache
    def weights(trained: LinearConfig) -> sparse.csr_array:
        return fit_linear(histories, vocabulary.size, trained)

    return lambda config: LinearRanker.build(vocabulary, config, weights(config.model_copy(update={"recency": 1.0})))


def _ials_maker(histories: Histories, vocabulary: Vocabulary, seed: int) -> Make:
    """Fit factors once per configuration apart from `recency`, which only serving uses."""

    @cache
    def factors(trained: IalsConfig) -> Scores:
        return fit_ials(histories, vocabulary.size, trained, seed)

    return lambda config: IalsRanker.build(vocabulary, config, factors(config.model_copy(update={"recency": 1.0})))


def _fit_network(rows: BasketRows, settings: Settings, folder: Path) -> Fitted:
    """Train until the validation loss is smallest; then again, as of the test, for as many epochs."""
    config = NetworkConfig()
    horizon, training = settings.recommender.horizon_days, settings.training
    early_vocabulary, vocabulary = vocabularies(rows, settings)
    early = fit_network_ranker(rows.validation, early_vocabulary, config, horizon, training, folder / "early")
    final = fit_network_ranker(rows.test, vocabulary, config, horizon, training, folder / "final", early.epochs)
    params = {
        **_params(config, vocabulary, settings),
        "best_epochs": early.epochs,
        "parameters": count_parameters(final.ranker.network),
        "seed": training.seed,
    }
    return Fitted(
        list_model("network", settings, final.ranker, vocabulary),
        list_model("network", settings, early.ranker, early_vocabulary),
        params,
        early.curves,
    )


def _fit_hybrid(rows: BasketRows, settings: Settings) -> Fitted:
    """Grow trees until the validation loss is smallest; then as many, as of the test."""
    config, horizon, seed = HybridConfig(), settings.recommender.horizon_days, settings.training.seed
    early_vocabulary, vocabulary = vocabularies(rows, settings)
    early = fit_hybrid_ranker(rows.validation, early_vocabulary, config, horizon, seed)
    final = fit_hybrid_ranker(rows.test, vocabulary, config, horizon, seed, early.trees)
    return Fitted(
        list_model("hybrid", settings, final.ranker, vocabulary),
        list_model("hybrid", settings, early.ranker, early_vocabulary),
        {**_params(config, vocabulary, settings), "trees": early.trees, "seed": seed},
        early.curves,
    )


def _fit_sequential(name: str, rows: BasketRows, settings: Settings, folder: Path) -> Fitted:
    """Train each member until its validation NDCG is largest; then again, as of the test, for as many epochs."""
    early_vocabulary, vocabulary = vocabularies(rows, settings)
    asked = next_items(rows.validation, early_vocabulary, settings.recommender.already_bought)
    several = SEQUENTIAL[name].model_copy(update={"members": settings.recommender.members})
    config = several.for_density(asked.sequences.density(early_vocabulary.size))
    sequences, first = Sequences.of(read_histories(rows.test, vocabulary)), settings.training.seed
    early, final = [], []
    for member in range(config.members):
        training, place = settings.training.model_copy(update={"seed": first + member}), folder / str(member)
        early.append(
            fit_sequential(asked.sequences, early_vocabulary.size, config, training, place / "early", validation=asked)
        )
        epochs = early[-1].epochs
        final.append(fit_sequential(sequences, vocabulary.size, config, training, place / "final", epochs=epochs))
    params = {
        **_params(config, vocabulary, settings),
        "best_epochs": ", ".join(str(one.epochs) for one in early),
        "parameters": sum(count_parameters(one.network) for one in final),
        "seed": first,
    }

    def model(fitted: list[FittedSequential], words: Vocabulary) -> ListModel:
        return list_model(name, settings, SequentialRanker.build(words, config, [f.network for f in fitted]), words)

    return Fitted(model(final, vocabulary), model(early, early_vocabulary), params, early[0].curves)


def vocabularies(rows: BasketRows, settings: Settings, *, with_unsold: bool = False) -> tuple[Vocabulary, Vocabulary]:
    """Vocabularies as of the validation and as of the test; texts are kept only where they are used."""
    least = settings.recommender.min_item_users
    catalogue = rows.catalogue if with_unsold else rows.catalogue.select(t.ITEM_ID, t.CATEGORY, t.SUBCATEGORY)
    early, late = (
        Vocabulary.learn(part, least, catalogue, with_unsold=with_unsold) for part in (rows.validation, rows.test)
    )
    return early, late


def list_model(name: str, settings: Settings, ranker: Ranker, vocabulary: Vocabulary) -> ListModel:
    """A ranker with the settings' policy on items already bought."""
    return ListModel(name, ranker, vocabulary, settings.recommender.already_bought)


def _params(config: BaseModel, vocabulary: Vocabulary, settings: Settings) -> dict[str, str | int | float | bool]:
    return {
        **config.model_dump(mode="json"),
        "vocabulary_items": vocabulary.size,
        "min_item_users": settings.recommender.min_item_users,
        "already_bought": settings.recommender.already_bought,
    }
