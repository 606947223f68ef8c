"""How fast are lists made as a shop gets them, with reasons: of every candidate of the lake, or of a sequence file.

This includes what a model does for a user besides the search: read the history, make the query, and give reasons.
`batch_scoring` measures the search alone.
"""

import argparse
import sys
import time
from pathlib import Path

import polars as pl

from benchmarks.result import Row, count, measured, parse_arguments, show
from benchmarks.sequence_quality import fit_candidates
from everstay import tables as t
from everstay.errors import EverstayError
from everstay.features.sequences import TARGET_ITEM
from everstay.recommender import BasketRows, ListModel, load_artifact
from everstay.recommender.sequence_file import read_sequence_rows
from everstay.registry.store import Registry
from everstay.registry.versions import download
from everstay.settings import load_settings
from flows.ingest_events import ingest_events
from flows.train_recommender import train_recommender

_WARM = 500  # users, before the clock runs: kernels are compiled


def main() -> None:
    """Measure one model after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sequences", type=Path, metavar="FILE", help="lines of a user, then items in order")
    parser.add_argument("--folder", type=Path, help="keep what is fitted there")
    parser.add_argument(
        "--users", type=count, default=20_000, help="at least so many; users are asked again if need be"
    )
    arguments = parse_arguments("", parser)
    try:
        if arguments.sequences is not None:
            rows, models = _of_sequences(arguments.sequences, arguments.folder)
        else:
            rows, models = _of_lake()
    except EverstayError as error:
        sys.exit(str(error))
    asked, k = _repeated(rows, arguments.users), load_settings().recommender.list_length
    told = [row for name, model in models.items() for row in _timed(name, model, asked, k)]
    items = max(model.vocabulary.size for model in models.values())
    show(f"Lists of {k} of up to {items:,} items for {asked.height:,} users", told, arguments.json)


def _of_lake() -> tuple[pl.DataFrame, dict[str, ListModel]]:
    settings = load_settings()
    ingest_events()
    training = train_recommender()
    registry = Registry(settings.mlflow)
    models = {run.candidate: load_artifact(download(registry, run)) for run in training.runs}
    return BasketRows.read(training.rows).test.drop(TARGET_ITEM), models


def _of_sequences(file: Path, folder: Path | None) -> tuple[pl.DataFrame, dict[str, ListModel]]:
    rows = read_sequence_rows(file)
    return rows.test.drop(TARGET_ITEM), {name: fitted.model for name, fitted, _ in fit_candidates(file, rows, folder)}


def _repeated(rows: pl.DataFrame, users: int) -> pl.DataFrame:
    """The users, over and over under other names, until there are enough."""
    copies = -(-users // rows.height)
    return pl.concat([rows.with_columns(pl.col(t.USER_ID) + f" {copy}") for copy in range(copies)])


def _timed(name: str, model: ListModel, rows: pl.DataFrame, k: int) -> list[Row]:
    told = []
    for metric, make in (("without reasons", model.plain_lists), ("with reasons", model.recommend)):
        make(rows.head(_WARM), k)
        began = time.perf_counter()
        make(rows, k)
        told.append(measured(name, f"users/s, {metric}", rows.height / (time.perf_counter() - began), ""))
    return told


if __name__ == "__main__":
    main()
