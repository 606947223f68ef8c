"""Tune one recommender candidate: fitted and evaluated as of the validation, and never on the test."""

import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from everstay.errors import SettingsError
from everstay.recommender.candidates import CONFIGS
from everstay.recommender.choose import mean_ndcg
from everstay.recommender.config import HybridConfig
from everstay.recommender.families import FAMILIES
from everstay.recommender.fit import list_model, ranker_maker, vocabularies
from everstay.recommender.hybrid.fit import fit_hybrid_ranker
from everstay.recommender.model import ListModel, Ranker
from everstay.recommender.network_config import NetworkConfig, SequentialConfig
from everstay.recommender.network_fit import fit_network_ranker
from everstay.recommender.rows import BasketRows, with_targets
from everstay.recommender.sequential import SequentialRanker
from everstay.recommender.sequential_fit import fit_sequential, next_items
from everstay.recommender.vocabulary import Vocabulary
from everstay.settings import Settings
from everstay.tuning import Search, search_settings


def tunable() -> Sequence[str]:
    """Candidates that declare a search space."""
    return [name for name, configs in CONFIGS.items() if len({type(one) for one in configs}) == 1 and _space(configs)]


def tune_candidate(name: str, rows_folder: Path, settings: Settings, trials: int) -> Search:
    """Try configurations of one candidate by the NDCG of its lists on the validation baskets.

    Args:
        name: one of `tunable()`.
        rows_folder: from `BasketRows.write`.
        settings: vocabulary, policy, length of the lists, seed and training.
        trials: how many, the default included.

    Raises:
        SettingsError: the candidate has no search space, or there are no trials.
        NotReady: nothing can be learned from the rows.
    """
    if name not in tunable():
        raise SettingsError(f"no settings to search for '{name}': choose one of {', '.join(tunable())}")
    rows = BasketRows.read(rows_folder)
    rows.check()
    knows_unsold = name in FAMILIES and FAMILIES[name].knows_unsold
    vocabulary, _ = vocabularies(rows, settings, with_unsold=knows_unsold)
    asked, k = with_targets(rows.validation), settings.recommender.list_length
    fit = partial(_ranker, name, rows, vocabulary, settings)

    def judge(config: BaseModel) -> float:
        with tempfile.TemporaryDirectory() as folder:
            model: ListModel = list_model(name, settings, fit(config, Path(folder)), vocabulary)
        return mean_ndcg(model, asked, k)

    start = CONFIGS[name][0]
    if isinstance(start, SequentialConfig):
        histories = next_items(rows.validation, vocabulary, settings.recommender.already_bought).sequences
        start = start.for_density(histories.density(vocabulary.size))
    return search_settings(start, _space(CONFIGS[name]), judge, trials=trials, seed=settings.training.seed)


def _ranker(
    name: str, rows: BasketRows, vocabulary: Vocabulary, settings: Settings, config: BaseModel, folder: Path
) -> Ranker:
    """One configuration, fitted as of the validation."""
    early, training, horizon = rows.validation, settings.training, settings.recommender.horizon_days
    if isinstance(config, NetworkConfig):
        return fit_network_ranker(early, vocabulary, config, horizon, training, folder).ranker
    if isinstance(config, HybridConfig):
        return fit_hybrid_ranker(early, vocabulary, config, horizon, training.seed).ranker
    if isinstance(config, SequentialConfig):
        asked = next_items(early, vocabulary, settings.recommender.already_bought)
        fitted = fit_sequential(asked.sequences, vocabulary.size, config, training, folder, validation=asked)
        return SequentialRanker.build(vocabulary, config, [fitted.network])
    return ranker_maker(name, early, vocabulary, settings)(config)


def _space(configs: Sequence[BaseModel]) -> Any:
    return getattr(configs[0], "SEARCH", {})
