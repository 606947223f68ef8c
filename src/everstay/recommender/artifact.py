"""The artifact folder of a recommender: `artifact.json` beside Parquet, safetensors and text files. No pickle."""

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from safetensors.torch import load_file as load_tensors
from safetensors.torch import save_file as save_tensors
from scipy import sparse
from torch import nn

from everstay.errors import EverstayError
from everstay.recommender.baselines import ItemNeighboursRanker, PersonalFrequencyRanker, PopularityRanker
from everstay.recommender.blend import BlendRanker
from everstay.recommender.cold_users import ColdUserRanker, with_segments, without_segments
from everstay.recommender.config import (
    BlendConfig,
    IalsConfig,
    ItemNeighboursConfig,
    LinearConfig,
    PersonalFrequencyConfig,
    PopularityConfig,
)
from everstay.recommender.families import FAMILIES
from everstay.recommender.hybrid.ranker import HybridRanker
from everstay.recommender.hybrid.store import load_hybrid, save_hybrid
from everstay.recommender.ials import IalsRanker
from everstay.recommender.linear import LinearRanker
from everstay.recommender.model import ListModel, Ranker
from everstay.recommender.network import RepeatNetwork
from everstay.recommender.network_config import NetworkConfig, SequentialConfig
from everstay.recommender.ranker import NetworkRanker
from everstay.recommender.segment_popularity import SegmentPopularityRanker
from everstay.recommender.sequential import SequentialRanker
from everstay.recommender.sequential_network import SequentialNetwork
from everstay.recommender.trends import current_trends
from everstay.recommender.vocabulary import Vocabulary
from everstay.settings import AlreadyBought
from everstay.storage import Folder

CARD = "artifact.json"
LOADER = "everstay.recommender.artifact:load_artifact"

_VOCABULARY = "vocabulary.parquet"
_ARRAYS = "arrays.safetensors"
_LINEAR_PARTS, _FACTORS = ("follows", "alike", "together"), "factors"  # of a blend
_WEIGHTS = "weights.safetensors"


def save_artifact(
    model: ListModel, folder: Path, *, as_of: datetime, data_version: str, params: Mapping[str, Any]
) -> Path:
    """Write a model to `folder`, the card last, so that a folder with a card is complete.

    Args:
        model: to store.
        folder: created; must not hold another model.
        as_of: the time up to which purchases were known when it was fitted.
        data_version: of the lake.
        params: chosen settings, for human readers.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ranker = without_segments(model.ranker)
    kind, save = next((kind, save) for kind, (owner, save, _) in _KINDS.items() if type(ranker) is owner)
    model.vocabulary.items.write_parquet(folder / _VOCABULARY)
    save(ranker, folder)
    if isinstance(model.ranker, ColdUserRanker):
        model.ranker.segments.save(folder)
    card = {
        "kind": kind,
        "model": "recommender",
        "name": model.name,
        "loader": LOADER,
        "as_of": as_of.isoformat(),
        "data_version": data_version,
        "config": ranker.config.model_dump(mode="json"),
        "params": dict(params),
        "vocabulary": _VOCABULARY,
        "already_bought": model.already_bought,
        "segment_by": model.segment_by,
    }
    (folder / CARD).write_text(json.dumps(card, indent=1, allow_nan=False), encoding="utf-8")
    return folder


def load_artifact(folder: Path) -> ListModel:
    """Load a model; its lists equal those before saving.

    Raises:
        EverstayError: the folder is not a recommender artifact, or its `already_bought` is unknown.
    """
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
        load, policy = _KINDS[card["kind"]][2], card["already_bought"]
    except (FileNotFoundError, KeyError):
        raise EverstayError(
            f"{folder} is not a recommender artifact: {CARD} is missing or names an unknown kind"
        ) from None
    if policy not in get_args(AlreadyBought):
        raise EverstayError(
            f"{folder / CARD}: already_bought is '{policy}', not one of {', '.join(get_args(AlreadyBought))}"
        )
    vocabulary = Vocabulary(Folder(str(folder)).read_parquet(_VOCABULARY))
    ranker = load(folder, card["config"], vocabulary)
    if card.get("segment_by") and not isinstance(ranker, SegmentPopularityRanker):
        ranker = with_segments(ranker, SegmentPopularityRanker.load(folder, vocabulary))
    return ListModel(card["name"], ranker, vocabulary, policy)


def _save_nothing(ranker: Ranker, folder: Path) -> None:  # noqa: ARG001  # all is in the card and the vocabulary
    return None


def _load_popularity(folder: Path, config: dict[str, Any], vocabulary: Vocabulary) -> Ranker:  # noqa: ARG001
    return PopularityRanker.fit(vocabulary, PopularityConfig(**config))


def _load_personal_frequency(folder: Path, config: dict[str, Any], vocabulary: Vocabulary) -> Ranker:  # noqa: ARG001
    return PersonalFrequencyRanker.fit(vocabulary, PersonalFrequencyConfig(**config))


def _save_neighbours(ranker: ItemNeighboursRanker, folder: Path) -> None:
    _save_cells(ranker.neighbours, folder)


def _load_neighbours(folder: Path, config: dict[str, Any], vocabulary: Vocabulary) -> Ranker:
    return ItemNeighboursRanker.build(vocabulary, ItemNeighboursConfig(**config), _load_cells(folder, vocabulary))


def _save_linear(ranker: LinearRanker, folder: Path) -> None:
    _save_cells(ranker.weights, folder)


def _load_linear(folder: Path, config: dict[str, Any], vocabulary: Vocabulary) -> Ranker:
    return LinearRanker.build(vocabulary, LinearConfig(**config), _load_cells(folder, vocabulary))


def _save_cells(cells: sparse.csr_array, folder: Path) -> None:
    save_file(_arrays(cells), folder / _ARRAYS)


def _load_cells(folder: Path, vocabulary: Vocabulary) -> sparse.csr_array:
    return _cells(load_file(folder / _ARRAYS), vocabulary)


def _arrays(cells: sparse.csr_array, name: str = "") -> dict[str, np.ndarray]:
    return {f"{name}data": cells.data, f"{name}indices": cells.indices, f"{name}indptr": cells.indptr}


def _cells(arrays: Mapping[str, np.ndarray], vocabulary: Vocabulary, name: str = "") -> sparse.csr_array:
    parts = tuple(arrays[f"{name}{part}"] for part in ("data", "indices", "indptr"))
    return sparse.csr_array(parts, shape=(vocabulary.size, vocabulary.size))


def _save_ials(ranker: IalsRanker, folder: Path) -> None:
    save_file({_FACTORS: ranker.item_factors}, folder / _ARRAYS)


def _load_ials(folder: Path, config: dict[str, Any], vocabulary: Vocabulary) -> Ranker:
    return IalsRanker.build(vocabulary, IalsConfig(**config), load_file(folder / _ARRAYS)[_FACTORS])


def _save_sequential(ranker: SequentialRanker, folder: Path) -> None:
    save_tensors(nn.ModuleList(ranker.networks).state_dict(), folder / _WEIGHTS)


def _load_sequential(folder: Path, config: dict[str, Any], vocabulary: Vocabulary) -> SequentialRanker:
    sizes = SequentialConfig(**config)
    with torch.random.fork_rng(devices=[]):  # initial weights, overwritten at once, must not advance the RNG
        networks = [SequentialNetwork(sizes, vocabulary.size) for _ in range(sizes.members)]
    weights = load_tensors(folder / _WEIGHTS)
    if "embedding.weight" in weights:  # a single network, written before there were members
        weights = {f"0.{name}": value for name, value in weights.items()}
    nn.ModuleList(networks).load_state_dict(weights)
    return SequentialRanker.build(vocabulary, sizes, [network.eval() for network in networks])


def _save_network(ranker: NetworkRanker, folder: Path) -> None:
    save_tensors(ranker.network.state_dict(), folder / _WEIGHTS)


def _load_network(folder: Path, config: dict[str, Any], vocabulary: Vocabulary) -> Ranker:
    sizes = NetworkConfig(**config)
    with torch.random.fork_rng(devices=[]):  # initial weights, overwritten at once, must not advance the RNG
        network = RepeatNetwork(sizes, vocabulary.size)
    network.load_state_dict(load_tensors(folder / _WEIGHTS))
    return NetworkRanker(sizes, network.eval(), np.ascontiguousarray(current_trends(vocabulary)[None]))


def _save_blend(ranker: BlendRanker, folder: Path) -> None:
    _save_sequential(ranker.sequential, folder)
    arrays: dict[str, NDArray[Any]] = {_FACTORS: ranker.factors.item_factors}
    for part in _LINEAR_PARTS:
        arrays |= _arrays(getattr(ranker, part).weights, f"{part}.")
    save_file(arrays, folder / _ARRAYS)


def _load_blend(folder: Path, config: dict[str, Any], vocabulary: Vocabulary) -> Ranker:
    blend, arrays = BlendConfig(**config), load_file(folder / _ARRAYS)
    linear = (
        LinearRanker.build(vocabulary, getattr(blend, part), _cells(arrays, vocabulary, f"{part}."))
        for part in _LINEAR_PARTS
    )
    network = _load_sequential(folder, config["sequential"], vocabulary)
    follows, alike, together = linear
    factors = IalsRanker.build(vocabulary, blend.factors, arrays[_FACTORS])
    return BlendRanker(blend, network, follows, alike, together, factors)


_KINDS: dict[
    str, tuple[type[Ranker], Callable[[Any, Path], None], Callable[[Path, dict[str, Any], Vocabulary], Ranker]]
]
_KINDS = {
    "popularity": (PopularityRanker, _save_nothing, _load_popularity),
    "personal_frequency": (PersonalFrequencyRanker, _save_nothing, _load_personal_frequency),
    "item_neighbours": (ItemNeighboursRanker, _save_neighbours, _load_neighbours),
    **{name: (family.ranker, family.save, family.load) for name, family in FAMILIES.items()},
    "hybrid": (HybridRanker, save_hybrid, load_hybrid),
    "linear": (LinearRanker, _save_linear, _load_linear),
    "blend": (BlendRanker, _save_blend, _load_blend),
    "ials": (IalsRanker, _save_ials, _load_ials),
    "network": (NetworkRanker, _save_network, _load_network),
    "sequential": (SequentialRanker, _save_sequential, _load_sequential),
}
