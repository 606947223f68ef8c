"""Training rows from the stored features, labels and day tokens; comparison of two stored models on the test rows."""

from dataclasses import replace
from pathlib import Path
from typing import Protocol

import polars as pl

from everstay import tables as t
from everstay.churn.artifact import load_artifact
from everstay.churn.evaluate import METRICS
from everstay.churn.rows import ChurnRows, join_rows, outcomes, write_attributes
from everstay.errors import NotReady
from everstay.features import TimeSplit, is_sampled
from everstay.metrics.comparison import Interval, JudgedUsers, paired_statistic_difference
from everstay.partitions import Parts
from everstay.settings import Settings


class TableReader(Protocol):
    """Source of the tables; `everstay.lake.Lake` is one."""

    def read(self, table: t.Table, *, where: pl.Expr | None = None) -> pl.DataFrame | None:
        """A stored table, or the rows of it that `where` keeps; None if there is none."""


def prepare_rows(tables: TableReader, tokens: Parts, split: TimeSplit, folder: Path, share: float) -> Path:
    """Join the stored tables of a share of the users into the parts of `split` and write them to `folder`.

    Args:
        tables: with features and labels.
        tokens: from `compute_tokens`, of the same share; removed afterwards.
        split: by time.
        folder: to write the parts to.
        share: see `is_sampled`.

    Raises:
        NotReady: features or labels are not stored yet, or a part cannot be learned from.
    """
    features, labels = (_stored(tables, table, is_sampled(share)) for table in (t.USER_FEATURES, t.CHURN_LABELS))
    sequences = tokens.read_all()
    readable = features.filter(pl.col(t.AS_OF).is_in([split.train[-1], split.refit[-1]]))
    rows = ChurnRows.split(join_rows(features, sequences, labels), split, join_rows(readable, sequences))
    rows = replace(rows, share=share)
    rows.check()
    partial = rows.write(folder.with_name(f"{folder.name}.partial"))
    write_attributes(tables.read(t.USERS), partial)
    partial.rename(folder)  # a folder that exists is complete
    tokens.remove()
    return folder


def _stored(tables: TableReader, table: t.Table, where: pl.Expr | None = None) -> pl.DataFrame:
    found = tables.read(table, where=where)
    if found is None:
        raise NotReady("there are no features or labels yet: run `make features`")
    return found


def compare_models(challenger: Path, rival: Path, rows: Path, settings: Settings) -> Interval:
    """Load two artifacts and score the same matured test users.

    Args:
        challenger: artifact folder.
        rival: artifact folder.
        rows: from `prepare_rows`.
        settings: metric and the interval.

    Returns:
        Challenger minus rival in the gate's metric, paired over users.
    """
    test, policy = ChurnRows.read(rows).test, settings.promotion
    statistic = next(metric for metric in METRICS if metric.__name__ == policy.churn_metric)
    return paired_statistic_difference(
        statistic,
        outcomes(test),
        load_artifact(challenger).predict_probability(test),
        load_artifact(rival).predict_probability(test),
        resamples=policy.resamples,
        confidence=policy.confidence,
        seed=settings.training.seed,
    )


def count_judged(rows: Path) -> JudgedUsers:
    """The test users that `compare_models` compares on; `rarer`: of those who left and those who stayed, the fewer."""
    left = outcomes(ChurnRows.read(rows).test)
    churned = int(left.sum())
    return JudgedUsers(len(left), min(churned, len(left) - churned))
