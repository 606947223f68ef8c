"""The tabular candidates on a labelled churn table, in five folds, beside LightGBM and logistic regression."""

import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks.churn_comparison import CHOSEN, PEERS, Scored
from benchmarks.peers import run_peer
from benchmarks.result import tell_progress
from everstay.churn.labelled_table import (
    LabelledTable,
    columns_that_tell,
    read_labelled_table,
)
from everstay.churn.table_candidates import TABLE_CANDIDATES, choose_per_fold, cross_validate
from everstay.churn.table_folds import check_folds, group_folds

log = logging.getLogger(__name__)

_FOLDS, _SEED = 5, 17


def judge_table(file: Path, label: str, group: Sequence[str]) -> Scored:
    """Out-of-fold probabilities of all rows by every candidate and peer, on the same folds.

    Chosen is in each fold the candidate of the lowest log-loss that was expected from the other folds.

    Raises:
        EverstayError: a column cannot be used.
    """
    tell_progress()
    table = read_labelled_table(file, label, group)
    for column in columns_that_tell(table):
        log.warning("WARNING: '%s' alone decides '%s' in every row: if it restates the label, drop it", column, label)
    folds = group_folds(table.groups, _FOLDS, _SEED)
    check_folds(table.churned, table.groups, folds)
    log.info("%s: %d folds", ", ".join(PEERS), _FOLDS)
    probabilities = _score_peers(table, folds)
    judged = {name: cross_validate(table, folds, name, _SEED) for name in TABLE_CANDIDATES}
    probabilities |= {name: each.probabilities for name, each in judged.items()}
    chosen, probabilities[CHOSEN] = choose_per_fold(judged, folds)
    left = (*table.ids, *table.constants, *table.texts)
    left_out = f", without {', '.join(left)}" if left else ""
    together = f"{len(np.unique(table.groups)):,} groups"
    title = f"{file.name} in {_FOLDS} folds, {together}{left_out}"
    users = table.groups if group else None  # rows that happen to be alike are not one user's
    return Scored(title, table.churned, probabilities, CHOSEN, users=users, chosen_in_folds=chosen)


def _score_peers(table: LabelledTable, folds: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    with tempfile.TemporaryDirectory() as folder:
        given, output = Path(folder, "table.parquet"), Path(folder, "predicted.parquet")
        outcome = pl.DataFrame({"churned": table.churned, "fold": folds})
        numbered = table.features.rename(lambda name: f"{table.features.get_column_index(name)}")  # for LightGBM
        pl.concat([numbered, outcome], how="horizontal").write_parquet(given)
        run_peer("table_churn.py", str(given), str(output))
        predicted = pl.read_parquet(output)
    return {name: predicted[column].to_numpy() for name, column in PEERS.items()}
