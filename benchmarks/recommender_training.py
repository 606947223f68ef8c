"""How fast does the sequential network learn, beside RecTools' SASRec of the same size on the same sequences?

Same width, blocks, heads, longest sequence, data and number of epochs, both on the CPU with all its cores; each with
its own batches and loss. `--items N` instead trains an epoch over a synthetic catalogue of that size and reports the
memory.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl

from benchmarks.peers import peer_command
from benchmarks.process_tree import Watched, watch
from benchmarks.result import Row, count, measured, parse_arguments, show
from everstay.errors import EverstayError
from everstay.features.sequences import HISTORY_ITEM, TARGET_ITEM
from everstay.recommender.sequence_file import read_sequence_rows

_SIZES = ("dimensions", "blocks", "heads", "max_items")


def main() -> None:
    """Train both, or one on a large catalogue."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sequences", type=Path, help="file of `user item item ...` lines")
    parser.add_argument("--items", type=count, help="items of a made catalogue")
    parser.add_argument("--epochs", type=count, default=2)
    for name, default in zip(_SIZES, (64, 1, 1, 50), strict=True):
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=default)
    arguments = parse_arguments(__doc__ or "", parser)
    if (arguments.sequences is None) == (arguments.items is None):
        parser.error("name --sequences FILE or --items N")
    sizes = [getattr(arguments, name) for name in _SIZES]
    if arguments.items:
        rows = list(_large(arguments.items, sizes))
        title = f"An epoch over a catalogue of {arguments.items:,} items"
    else:
        try:
            rows = list(_compared(arguments.sequences, arguments.epochs, sizes))
        except EverstayError as error:
            sys.exit(str(error))
        title = f"{arguments.epochs} epochs over {arguments.sequences.name}: width, blocks, heads, length = {sizes}"
    show(title, rows, arguments.json)


def _everstay(sizes: Sequence[int], *words: str) -> Watched:
    options = [f"--{name.replace('_', '-')}={size}" for name, size in zip(_SIZES, sizes, strict=True)]
    return watch([sys.executable, "-m", "benchmarks.everstay_training", *words, *options])


def _large(items: int, sizes: Sequence[int]) -> Iterator[Row]:
    done = _everstay(sizes, "--items", str(items))
    yield measured("Everstay", "seconds", done.told["seconds"], "s")
    yield measured("Everstay", "sequences/s", done.told["sequences"] / done.told["seconds"], "")
    yield measured("Everstay", "peak memory", done.peak_bytes / 2**30, "GiB")


def _compared(file: Path, epochs: int, sizes: Sequence[int]) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        numbered = _numbered(file, Path(folder) / "sequences.txt")
        ours = _everstay(sizes, "--sequences", numbered, "--epochs", str(epochs))
        words = [numbered, *map(str, (epochs, *sizes))]
        theirs = watch(peer_command("train_sasrec.py", *words, environment="recommender_peers"))
    for case, done in (("Everstay", ours), ("RecTools SASRec", theirs)):
        curve, ends = _list(done, "ndcg"), _list(done, "ends")
        yield measured(case, "seconds per epoch", ends[-1] / len(ends), "s")
        yield measured(case, "sequences/s", done.told["sequences"] * len(ends) / ends[-1], "")
        yield measured(case, "peak memory", done.peak_bytes / 2**30, "GiB")
        for epoch, value in enumerate(curve, 1):
            yield measured(case, f"NDCG@10 × 1000, epoch {epoch}", 1_000 * value, "")
    speed = [done.told["sequences"] * epochs / _list(done, "ends")[-1] for done in (ours, theirs)]
    yield measured("Everstay", "× RecTools' sequences/s", speed[0] / speed[1], "")
    goal = _list(theirs, "ndcg")[-1]
    reached = [end for end, value in zip(_list(ours, "ends"), _list(ours, "ndcg"), strict=True) if value >= goal]
    case = "Everstay, to RecTools' last NDCG"
    yield measured(case, "seconds", reached[0] if reached else float("nan"), "s")
    yield measured(case, "RecTools' seconds", _list(theirs, "ends")[-1], "s")


def _numbered(file: Path, copy: Path) -> str:
    """Write the sequences with numbers as ids, which both read whatever the file's own are; gives the copy's name."""
    items = pl.concat_list(HISTORY_ITEM, pl.col(TARGET_ITEM).fill_null([]))
    lines = read_sequence_rows(file).test.with_row_index("user").select("user", items.alias("item")).explode("item")
    numbers = lines.with_columns(pl.col("item").rank("dense")).group_by("user", maintain_order=True).agg("item")
    words = pl.concat_str("user", pl.col("item").cast(pl.List(pl.String)).list.join(" "), separator=" ")
    copy.write_text("\n".join(numbers.select(words).to_series()) + "\n")
    return str(copy)


def _list(done: Watched, name: str) -> list[float]:
    values: object = done.told[name]
    assert isinstance(values, list)
    return values


if __name__ == "__main__":
    main()
