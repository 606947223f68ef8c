"""The two-stage candidate as files: trees in LightGBM's text format, facts as arrays."""

from pathlib import Path
from typing import Any

import lightgbm
from safetensors.numpy import load_file, save_file
from scipy import sparse

from everstay.errors import EverstayError
from everstay.recommender.config import HybridConfig
from everstay.recommender.hybrid.facts import ItemFacts
from everstay.recommender.hybrid.pairs import feature_names
from everstay.recommender.hybrid.ranker import HybridRanker, known_groupings
from everstay.recommender.vocabulary import Vocabulary

_TREES = "trees.txt"
_FACTS = "facts.safetensors"


def save_hybrid(ranker: HybridRanker, folder: Path) -> None:
    """Write what is neither in the card nor in the vocabulary."""
    (folder / _TREES).write_text(ranker.booster.model_to_string(), encoding="utf-8")
    near = ranker.facts.neighbours
    arrays = {"data": near.data, "indices": near.indices, "indptr": near.indptr, "columns": ranker.facts.columns}
    save_file(arrays, folder / _FACTS)


def load_hybrid(folder: Path, config: dict[str, Any], vocabulary: Vocabulary) -> HybridRanker:
    """Read what `save_hybrid` wrote.

    Raises:
        EverstayError: the trees were grown on different features from those this code computes.
    """
    arrays = load_file(folder / _FACTS)
    shape = (vocabulary.size, vocabulary.size)
    near = sparse.csr_array((arrays["data"], arrays["indices"], arrays["indptr"]), shape=shape)
    booster = lightgbm.Booster(model_str=(folder / _TREES).read_text(encoding="utf-8"))
    if booster.feature_name() != feature_names(len(known_groupings(vocabulary))):
        raise EverstayError(f"{folder / _TREES} was trained on other features by another version: retrain the hybrid")
    return HybridRanker(HybridConfig(**config), booster, ItemFacts(arrays["columns"], near), vocabulary)
