"""Weights of the linear models: which items share buyers (cosine), reconstruct histories (EASE), or follow (SLIT).

Sources: EASE, Steck, WWW 2019; SLIT, the transition part of SLIST, Choi et al., WWW 2021.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse

from everstay.recommender.baselines import largest_cells
from everstay.recommender.config import LinearConfig
from everstay.recommender.histories import Histories, IntArray
from everstay.recommender.linear import faded_counts
from everstay.recommender.sequences import Sequences

_KEPT = 200  # largest weights of each item
_ITEMS_AT_ONCE = 2_048
_ELEMENTS_AT_ONCE = 1_000_000  # of sequences; each gives up to 23 cells
_COSINE_POWER = 0.4
_ITEMS_BEFORE, _ITEMS_AFTER = 20, 3  # SLIT's window around a position


def fit_linear(histories: Histories, items: int, config: LinearConfig) -> sparse.csr_array:
    """Find the weights from items bought to items recommended, the largest of each row, (items, items)."""
    bought = faded_counts(histories, items, 1.0)
    bought.data[:] = 1.0
    if config.learns == "alike":
        return _alike(bought, config.shrinkage)
    modelled = np.sort(np.argsort(-np.bincount(bought.indices, minlength=items), kind="stable")[: config.max_items])
    part = bought[:, modelled]
    regularization = config.regularization * part.nnz / len(modelled)
    if config.learns == "together":
        weights = _together(part, regularization)
    else:
        weights = _next(Sequences.of(histories), items, modelled, config, regularization)
    rows = largest_cells(sparse.csr_array(_without_the_small(weights)), 0, _KEPT).tocoo()
    return sparse.csr_array((rows.data, (modelled[rows.row], modelled[rows.col])), shape=(items, items))


def _alike(bought: sparse.csr_array, shrinkage: float) -> sparse.csr_array:
    """Shared buyers, divided by (buyers + shrinkage) ** .4 of both items: a cosine that favours popular items."""
    scale = (np.bincount(bought.indices, minlength=bought.shape[1]) + shrinkage) ** -_COSINE_POWER
    scaled = (bought @ sparse.diags_array(scale.astype(np.float32))).tocsr()
    columns = scaled.tocsc()
    parts = [
        largest_cells((columns[:, start : start + _ITEMS_AT_ONCE].T @ scaled).tocsr(), start, _KEPT)
        for start in range(0, bought.shape[1], _ITEMS_AT_ONCE)
    ]
    return sparse.vstack(parts, format="csr")


def _together(bought: sparse.csr_array, regularization: float) -> NDArray[np.float32]:
    """Weights that best reconstruct each of a user's items from the others.

    With P = inverse(G + regularization), G the items' Gram matrix over users, the weight i -> j is -P[i, j] / P[j, j],
    and 0 from an item to itself.
    """
    inverse = _inverse((bought.T @ bought).tocsr(), regularization)
    weights: NDArray[np.float32] = inverse.div_(-inverse.diagonal().clone()).fill_diagonal_(0.0).numpy()
    return weights


def _next(
    sequences: Sequences, items: int, modelled: IntArray, config: LinearConfig, regularization: float
) -> NDArray[np.float32]:
    """Weights that best predict the items after a position from those before: inverse(B'B + regularization) B'A."""
    gram, following = (sparse.csr_array((len(modelled), len(modelled)), dtype=np.float32) for _ in range(2))
    part = sequences.start[:-1] // _ELEMENTS_AT_ONCE
    for number in np.unique(part):
        found = places(sequences.select(np.flatnonzero(part == number)), items, config)
        before, after = (side[:, modelled] for side in found)
        gram += before.T @ before
        following += after.T @ before
    weights: NDArray[np.float32] = (following @ _inverse(gram, regularization).numpy()).T
    np.fill_diagonal(weights, 0.0)
    return weights


def _inverse(gram: sparse.csr_array, regularization: float) -> torch.Tensor:
    dense = torch.from_numpy(gram.toarray())
    dense.diagonal().add_(regularization)
    return torch.cholesky_inverse(torch.linalg.cholesky(dense))


def places(sequences: Sequences, items: int, config: LinearConfig) -> tuple[sparse.csr_array, sparse.csr_array]:
    """Items before and after each position between two items of a sequence, decayed by distance: (places, items).

    Args:
        sequences: of the users.
        items: size of the vocabulary.
        config: decay per item in between.
    """
    sequence = np.repeat(np.arange(len(sequences.lengths)), sequences.lengths)
    is_place = np.diff(sequence, prepend=-1) == 0  # marked at the item that follows it
    number = np.cumsum(is_place) - 1
    before = _shifted(sequences.item, sequence, is_place, range(1, _ITEMS_BEFORE + 1), config.learned_recency)
    after = _shifted(sequences.item, sequence, is_place, range(0, -_ITEMS_AFTER, -1), config.future_recency)
    shape = (int(is_place.sum()), items)
    found = (sparse.csr_array((value, (number[place], item)), shape=shape) for place, item, value in (before, after))
    return next(found), next(found)


def _shifted(
    item: IntArray, sequence: IntArray, is_place: NDArray[np.bool_], distances: range, recency: float
) -> tuple[IntArray, IntArray, NDArray[np.float32]]:
    """Positions, the items at these distances before them in the same sequence, and recency ** (items between)."""
    elements = np.flatnonzero(is_place)
    parts = []
    for between, distance in enumerate(distances):
        source = elements - distance
        inside = (source >= 0) & (source < len(item))
        inside[inside] = sequence[source[inside]] == sequence[elements[inside]]
        value = np.full(int(inside.sum()), recency**between, np.float32)
        parts.append((elements[inside], item[source[inside]], value))
    place, found, weight = (np.concatenate(column) for column in zip(*parts, strict=True))
    return place, found, weight


def _without_the_small(weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Zero, in place, all but the largest `_KEPT` of each row."""
    if weights.shape[1] > _KEPT:
        border = np.partition(weights, -_KEPT, axis=1)[:, -_KEPT, None]
        weights[weights < border] = 0.0
    return weights
