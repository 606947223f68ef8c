"""Everstay's part of `benchmarks.recommender_training`, in a process of its own."""

import argparse
import json
import logging
import tempfile
import time
from pathlib import Path

import numpy as np

from everstay.recommender.network_config import SequentialConfig
from everstay.recommender.sequence_file import read_sequence_rows
from everstay.recommender.sequences import Sequences
from everstay.recommender.sequential_fit import fit_sequential, next_items
from everstay.recommender.sequential_module import NextItems
from everstay.recommender.vocabulary import Vocabulary
from everstay.settings import Training
from everstay.training import watch_epochs


def main() -> None:
    """Train on a file, or on random sequences over a catalogue of a given size, and report every epoch."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sequences", type=Path)
    parser.add_argument("--items", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=2)
    for name, default in (("dimensions", 64), ("blocks", 1), ("heads", 1), ("max-items", 50)):
        parser.add_argument(f"--{name}", type=int, default=default)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO)
    config = SequentialConfig(
        dimensions=arguments.dimensions, blocks=arguments.blocks, heads=arguments.heads,
        max_items=arguments.max_items, epochs=arguments.epochs,
    )  # fmt: skip
    told = train_made(arguments.items, config) if arguments.items else train_file(arguments.sequences, config)
    print(json.dumps(told))


def train_file(file: Path, config: SequentialConfig) -> dict[str, object]:
    """Learn from all but the last two items; judged on the last but one after each epoch, by full ranking."""
    rows = read_sequence_rows(file).validation
    vocabulary = Vocabulary.learn(rows, 1)
    asked = next_items(rows, vocabulary, "remove")
    training = Training(accelerator="cpu", max_epochs=config.epochs)
    ends: list[float] = []
    with tempfile.TemporaryDirectory() as folder, watch_epochs(lambda _: ends.append(time.perf_counter())):
        began = time.perf_counter()
        fitted = fit_sequential(asked.sequences, vocabulary.size, config, training, Path(folder), validation=asked)
        seconds = time.perf_counter() - began
    learned = int((asked.sequences.lengths > 1).sum())
    return {
        "seconds": seconds,
        "sequences": learned,
        "items": vocabulary.size,
        "ndcg": fitted.curves["validation_ndcg"],
        "ends": [end - began for end in ends],
    }


def train_made(items: int, config: SequentialConfig) -> dict[str, object]:
    """One epoch over random sequences of 20 items, one for every 50 items; a thousand are judged after it."""
    users = max(1_000, items // 50)
    item = np.random.default_rng(5).integers(0, items, users * 20)
    sequences = Sequences(item, np.arange(users + 1) * 20)
    asked = NextItems(sequences, np.arange(1_000), item[:1_000], seen_is_hidden=False)
    training = Training(accelerator="cpu", max_epochs=1)
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        fit_sequential(sequences, items, config, training, Path(folder), validation=asked)
        seconds = time.perf_counter() - began
    return {"seconds": seconds, "sequences": users, "items": items, "ndcg": [], "ends": [seconds]}


if __name__ == "__main__":
    main()
