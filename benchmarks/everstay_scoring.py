"""Everstay's part of `benchmarks.batch_scoring`, in a process of its own: the k best items of many users."""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from everstay.recommender.excluded import Excluded
from everstay.recommender.top_k import ExactIndex

_PEAK_SECONDS = 0.7
_PEAK_SHAPES = ((2_048, 100_000), (4_096, 4_096), (1_024, 16_384), (512, 4_096), (256, 2_048))


def main() -> None:
    """Measure the product's peak, then score; the lists are written for comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--k", type=int, default=10)
    arguments = parser.parse_args()
    names = ("users", "items", "seen_start", "seen_item")
    users, items, start, seen = (np.load(arguments.folder / f"{name}.npy", mmap_mode="r") for name in names)
    excluded = Excluded(np.array(start), np.array(seen), np.empty(0, np.int64))
    nearly_nothing = Excluded.from_pairs(np.zeros(1, np.int64), np.zeros(1, np.int64), 512)
    ExactIndex.of(items[:512]).search(users[:512], arguments.k, nearly_nothing)  # compiles
    peak = max(product_flops(users, items, shape) for shape in _PEAK_SHAPES)
    began = time.perf_counter()
    lists, _ = ExactIndex.of(items).search(users, arguments.k, excluded)
    seconds = time.perf_counter() - began
    peak = max(peak, *(product_flops(users, items, shape) for shape in _PEAK_SHAPES))
    np.save(arguments.folder / "everstay.npy", lists)
    flops = 2.0 * len(users) * len(items) * users.shape[1]
    print(json.dumps({"seconds": seconds, "users": len(users), "flops": flops / seconds, "peak_flops": peak}))


def product_flops(users: NDArray[np.float32], items: NDArray[np.float32], shape: tuple[int, int]) -> float:
    """The fastest plain product of `shape` users and items, in operations per second; the result is overwritten."""
    left = torch.from_numpy(np.array(users[: shape[0]]))
    right = torch.from_numpy(np.array(items[: shape[1]])).T
    out = torch.empty(len(left), right.shape[1])
    fastest, until = np.inf, time.perf_counter() + _PEAK_SECONDS
    while time.perf_counter() < until:
        began = time.perf_counter()
        torch.mm(left, right, out=out)
        fastest = min(fastest, time.perf_counter() - began)
    return float(2.0 * left.numel() * right.shape[1] / fastest)


if __name__ == "__main__":
    main()
