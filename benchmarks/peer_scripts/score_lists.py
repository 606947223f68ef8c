"""A peer's own batch recommendation from ready vectors: `score_lists.py NAME FOLDER`; prints users and seconds."""

import json
import sys
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Vectors = NDArray[np.float32]
Lists = NDArray[np.int64]

K = 10


def main(name: str, folder: Path) -> None:
    """Load vectors and seen items, recommend, write the lists (users, K)."""
    users, items = np.load(folder / "users.npy"), np.load(folder / "items.npy")
    start, item = np.load(folder / "seen_start.npy"), np.load(folder / "seen_item.npy")
    seen = sparse.csr_matrix((np.ones(len(item), np.float32), item, start), shape=(len(users), len(items)))
    lists, seconds = PEERS[name](users, items, seen)
    np.save(folder / f"{name}.npy", lists)
    print(json.dumps({"seconds": seconds, "users": len(users)}))


def implicit_lists(users: Vectors, items: Vectors, seen: sparse.csr_matrix) -> tuple[Lists, float]:
    """`recommend` of implicit's factorisation, with our vectors."""
    from implicit.cpu.als import AlternatingLeastSquares

    model = AlternatingLeastSquares(factors=users.shape[1])
    model.user_factors, model.item_factors = users, items
    began = time.perf_counter()
    lists, _ = model.recommend(np.arange(len(users)), seen, N=K, filter_already_liked_items=True)
    return lists, time.perf_counter() - began


def rectools_ranker(users: Vectors, items: Vectors, seen: sparse.csr_matrix) -> tuple[Lists, float]:
    """The part of RecTools that ranks, without its frames."""
    from rectools.models.rank import Distance, ImplicitRanker

    ranker = ImplicitRanker(Distance.DOT, users, items)
    began = time.perf_counter()
    _, lists, _ = ranker.rank(np.arange(len(users)), k=K, filter_pairs_csr=seen)
    return np.asarray(lists).reshape(len(users), K), time.perf_counter() - began


def rectools_als(users: Vectors, items: Vectors, seen: sparse.csr_matrix) -> tuple[Lists, float]:
    """`recommend` of RecTools' model around implicit's, with our vectors."""
    import pandas as pd
    from implicit.cpu.als import AlternatingLeastSquares
    from rectools import Columns
    from rectools.dataset import Dataset
    from rectools.models import ImplicitALSWrapperModel

    pairs = seen.tocoo()
    missing = np.setdiff1d(np.arange(len(items)), pairs.col)  # so that it knows every item
    frame = pd.DataFrame(
        {
            Columns.User: np.concatenate([pairs.row, np.full(len(missing), len(users))]),
            Columns.Item: np.concatenate([pairs.col, missing]),
            Columns.Weight: 1.0,
            Columns.Datetime: pd.Timestamp("2024-01-01"),
        }
    )
    dataset = Dataset.construct(frame)
    model = ImplicitALSWrapperModel(AlternatingLeastSquares(factors=users.shape[1], iterations=0))
    model.fit(dataset)
    order = dataset.item_id_map.external_ids.astype(np.int64)
    rows = dataset.user_id_map.external_ids.astype(np.int64)
    model.model.item_factors = items[order]
    model.model.user_factors = np.concatenate([users, np.zeros((1, users.shape[1]), np.float32)])[rows]
    began = time.perf_counter()
    table = model.recommend(np.arange(len(users)), dataset, k=K, filter_viewed=True)
    seconds = time.perf_counter() - began
    return table.sort_values([Columns.User, Columns.Rank])[Columns.Item].to_numpy().reshape(len(users), K), seconds


def faiss_lists(users: Vectors, items: Vectors, seen: sparse.csr_matrix) -> tuple[Lists, float]:
    """An approximate index: inverted lists of the items, a sixteenth of which is searched; seen items are removed."""
    import faiss

    cells = 1_024
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(items.shape[1]), items.shape[1], cells, faiss.METRIC_INNER_PRODUCT)
    index.train(items[:: max(1, len(items) // 50_000)])
    index.add(items)
    index.nprobe = cells // 16
    began = time.perf_counter()
    most = int(np.diff(seen.indptr).max())
    _, found = index.search(users, K + most)
    row = np.repeat(np.arange(len(users)), found.shape[1])
    is_seen = np.asarray(seen[row, np.maximum(found.ravel(), 0)]).reshape(found.shape) > 0
    order = np.argsort(is_seen, axis=1, kind="stable")[:, :K]
    return np.take_along_axis(found, order, axis=1), time.perf_counter() - began


PEERS = {
    "implicit": implicit_lists,
    "rectools_ranker": rectools_ranker,
    "rectools_als": rectools_als,
    "faiss": faiss_lists,
}


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
