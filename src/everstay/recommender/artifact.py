"""The artifact folder of a recommender: `artifact.json` beside Parquet and safetensors files. No pickle."""

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from safetensors.numpy import load_file, save_file
from safetensors.torch import load_file as load_tensors
from safetensors.torch import save_file as save_tensors
from scipy import sparse

from everstay.errors import EverstayError
from everstay.recommender.baselines import ItemNeighboursRanker, PersonalFrequencyRanker, PopularityRanker
from everstay.recommender.config import (
    ItemNeighboursConfig,
    NetworkConfig,
    PersonalFrequencyConfig,
    PopularityConfig,
)
from everstay.recommender.model import ListModel, Ranker
from everstay.recommender.network import RepeatNetwork
from everstay.recommender.ranker import NetworkRanker
from everstay.recommender.trends import current_trends
from everstay.recommender.vocabulary import Vocabulary
from everstay.settings import AlreadyBought
from everstay.storage import Folder

CARD = "artifact.json"
LOADER = "everstay.recommender.artifact:load_artifact"

_VOCABULARY = "vocabulary.parquet"
_ARRAYS = "arrays.safetensors"
_WEIGHTS = "weights.safetensors"


def save_artifact(
    model: ListModel, folder: Path, *, as_of: datetime, data_version: str, params: Mapping[str, Any]
) -> Path:
    """Write a model to `folder`, the card last, so that a folder with a card is complete.

    Args:
        model: to store.
        folder: is made; must not hold another model.
        as_of: up to which purchases were known when it was fitted.
        data_version: of the lake.
        params: choices, for people.
    """
    folder.mkdir(parents=True, exist_ok=True)
    kind, save = next((kind, save) for kind, (owner, save, _) in _KINDS.items() if type(model.ranker) is owner)
    model.vocabulary.items.write_parquet(folder / _VOCABULARY)
    save(model.ranker, folder)
    card = {
        "kind": kind,
        "model": "recommender",
        "name": model.name,
        "loader": LOADER,
        "as_of": as_of.isoformat(),
        "data_version": data_version,
        "config": model.ranker.config.model_dump(mode="json"),
        "params": dict(params),
        "vocabulary": _VOCABULARY,
        "already_bought": model.already_bought,
    }
    (folder / CARD).write_text(json.dumps(card, indent=1, allow_nan=False), encoding="utf-8")
    return folder


def load_artifact(folder: Path) -> ListModel:
    """Load a model; its lists equal those before saving.

    Raises:
        EverstayError: the folder is no recommender artifact.
    """
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
        load, policy = _KINDS[card["kind"]][2], card["already_bought"]
    except (FileNotFoundError, KeyError):
        raise EverstayError(f"{folder} is no recommender artifact: {CARD} is missing or names no known kind") from None
    if policy not in get_args(AlreadyBought):
        raise EverstayError(
            f"{folder / CARD}: already_bought is '{policy}', not one of {', '.join(get_args(AlreadyBought))}"
        )
    vocabulary = Vocabulary(Folder(str(folder)).read_parquet(_VOCABULARY))
    return ListModel(card["name"], load(folder, card["config"], vocabulary), vocabulary, policy)


def _save_nothing(ranker: Ranker, folder: Path) -> None:  # noqa: ARG001  # all is in the card and the vocabulary
    return None


def _load_popularity(folder: Path, config: dict[str, Any], vocabulary: Vocabulary) -> Ranker:  # noqa: ARG001
    return PopularityRanker.fit(vocabulary, PopularityConfig(**config))


def _load_personal_frequency(folder: Path, config: dict[str, Any], vocabulary: Vocabulary) -> Ranker:  # noqa: ARG001
    return PersonalFrequencyRanker.fit(vocabulary, PersonalFrequencyConfig(**config))


def _save_neighbours(ranker: ItemNeighboursRanker, folder: Path) -> None:
    near = ranker.neighbours
    save_file({"data": near.data, "indices": near.indices, "indptr": near.indptr}, folder / _ARRAYS)


def _load_neighbours(folder: Path, config: dict[str, Any], vocabulary: Vocabulary) -> Ranker:
    arrays = load_file(folder / _ARRAYS)
    shape = (vocabulary.size, vocabulary.size)
    near = sparse.csr_array((arrays["data"], arrays["indices"], arrays["indptr"]), shape=shape)
    return ItemNeighboursRanker.build(vocabulary, ItemNeighboursConfig(**config), near)


def _save_network(ranker: NetworkRanker, folder: Path) -> None:
    save_tensors(ranker.network.state_dict(), folder / _WEIGHTS)


def _load_network(folder: Path, config: dict[str, Any], vocabulary: Vocabulary) -> Ranker:
    sizes = NetworkConfig(**config)
    with torch.random.fork_rng(devices=[]):  # initial weights, overwritten at once, shall not move the seed
        network = RepeatNetwork(sizes, vocabulary.size)
    network.load_state_dict(load_tensors(folder / _WEIGHTS))
    return NetworkRanker(sizes, network.eval(), np.ascontiguousarray(current_trends(vocabulary)[None]))


_KINDS: dict[
    str, tuple[type[Ranker], Callable[[Any, Path], None], Callable[[Path, dict[str, Any], Vocabulary], Ranker]]
]
_KINDS = {
    "popularity": (PopularityRanker, _save_nothing, _load_popularity),
    "personal_frequency": (PersonalFrequencyRanker, _save_nothing, _load_personal_frequency),
    "item_neighbours": (ItemNeighboursRanker, _save_neighbours, _load_neighbours),
    "network": (NetworkRanker, _save_network, _load_network),
}
