"""The ten best items for every user, without seen ones: Everstay beside RecTools, implicit and a FAISS index.

Scores are dot products. All are exact except the index, whose recall is reported. Peers get all items, but only the
first users, as many as asked for; rates are compared. The peak is the fastest plain matrix product of the same vectors
in the same run.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers import peer_command
from benchmarks.process_tree import Watched, watch
from benchmarks.result import Row, count, measured, parse_arguments, show

_SEEN = 20  # items of each user
_EXACT = (
    ("RecTools, implicit ALS", "rectools_als"),
    ("RecTools, ranker alone", "rectools_ranker"),
    ("implicit", "implicit"),
)
_INDEX = ("FAISS, IVF", "faiss")
_CHECKED = 500
_GROWTH = (100_000, 50_000)


def main() -> None:
    """Run everything on the same vectors."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=count, default=1_000_000)
    parser.add_argument("--items", type=count, default=100_000)
    parser.add_argument("--dimensions", type=count, default=128)
    parser.add_argument("--peer-users", type=count, default=10_000)
    parser.add_argument("--growth", action="store_true", help="also: twice the users, twice the items")
    arguments = parse_arguments(__doc__ or "", parser)
    rows: list[Row] = []
    if arguments.users:
        with tempfile.TemporaryDirectory() as name:
            make_vectors(Path(name), arguments.users, arguments.items, arguments.dimensions)
            rows += _everstay(Path(name))
        with tempfile.TemporaryDirectory() as name:
            make_vectors(Path(name), arguments.peer_users, arguments.items, arguments.dimensions)
            rows += _peers(Path(name), next(row.value for row in rows if row.metric == "users/s"))
    if arguments.growth:
        rows += _growth(arguments.dimensions)
    title = f"Lists of 10 of {arguments.items:,} items, {arguments.dimensions} dimensions, {_SEEN} items seen"
    show(title, rows, arguments.json)


def make_vectors(folder: Path, users: int, items: int, dimensions: int) -> None:
    """Write vectors whose dimensions have decreasing weight, as in a factorisation, and the seen items."""
    generator = np.random.default_rng(17)
    scale = (1.0 / np.sqrt(1.0 + np.arange(dimensions))).astype(np.float32)
    np.save(folder / "items.npy", generator.standard_normal((items, dimensions), dtype=np.float32) * scale)
    np.save(folder / "users.npy", generator.standard_normal((users, dimensions), dtype=np.float32) * scale)
    np.save(folder / "seen_item.npy", np.sort(generator.integers(0, items, (users, _SEEN)), axis=1).ravel())
    np.save(folder / "seen_start.npy", np.arange(users + 1) * _SEEN)


def _everstay(folder: Path) -> Iterator[Row]:
    done = watch([sys.executable, "-m", "benchmarks.everstay_scoring", str(folder)])
    case = f"Everstay, {int(done.told['users']):,} users"
    yield from _described(case, done)
    yield measured(case, "GFLOP/s", done.told["flops"] / 1e9, "")
    yield measured(case, "plain product, GFLOP/s", done.told["peak_flops"] / 1e9, "")
    yield measured(case, "share of it", done.told["flops"] / done.told["peak_flops"], "")
    yield measured(case, "right", _right(folder, np.load(folder / "everstay.npy", mmap_mode="r")), "")


def _peers(folder: Path, ours: float) -> Iterator[Row]:
    again = watch([sys.executable, "-m", "benchmarks.everstay_scoring", str(folder)])
    yield from _described(f"Everstay, {int(again.told['users']):,} users", again)
    exact = np.load(folder / "everstay.npy")
    for case, name in (*_EXACT, _INDEX):
        done = watch(peer_command("score_lists.py", name, str(folder), environment="recommender_peers"))
        yield from _described(case, done)
        yield measured(case, "Everstay is faster by", ours * done.told["seconds"] / done.told["users"], "×")
        if (folder / f"{name}.npy").exists():
            found = np.load(folder / f"{name}.npy")
            recall = np.mean([np.isin(one, other).mean() for one, other in zip(exact, found, strict=True)])
            yield measured(case, "recall of the exact lists", float(recall), "")


def _growth(dimensions: int) -> Iterator[Row]:
    """Seconds with twice the users and with twice the items, relative to the base case."""
    users, items = _GROWTH
    seconds = []
    for shape in ((users, items), (2 * users, items), (users, 2 * items)):
        with tempfile.TemporaryDirectory() as name:
            make_vectors(Path(name), *shape, dimensions)
            seconds.append(watch([sys.executable, "-m", "benchmarks.everstay_scoring", name]).told["seconds"])
    yield measured("Everstay: twice the users", "× seconds", seconds[1] / seconds[0], "")
    yield measured("Everstay: twice the items", "× seconds", seconds[2] / seconds[0], "")


def _described(case: str, done: Watched) -> Iterator[Row]:
    yield measured(case, "seconds", done.told["seconds"], "s")
    yield measured(case, "users/s", done.told["users"] / done.told["seconds"], "")
    yield measured(case, "peak memory", done.peak_bytes / 2**30, "GiB")


def _right(folder: Path, lists: NDArray[np.int64]) -> float:
    """Share of some users whose list is that of a full sort in double precision; ties may swap places."""
    names = ("users", "items", "seen_item")
    users, items, seen = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in names)
    asked = np.linspace(0, len(users) - 1, _CHECKED).astype(np.int64)
    scores = users[asked].astype(np.float64) @ items.T.astype(np.float64)
    np.put_along_axis(scores, np.asarray(seen).reshape(len(users), -1)[asked], -np.inf, axis=1)
    best = -np.sort(-scores, axis=1)[:, : lists.shape[1]]
    return float(np.isclose(np.take_along_axis(scores, lists[asked], axis=1), best, rtol=1e-5).all(axis=1).mean())


if __name__ == "__main__":
    main()
