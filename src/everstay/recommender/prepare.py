"""Rows for training and evaluation from the computed baskets; comparison of two stored models on the test baskets."""

from dataclasses import replace
from pathlib import Path
from typing import Protocol

import polars as pl

from everstay import tables as t
from everstay.errors import SettingsError
from everstay.features.sequences import TARGET_ITEM
from everstay.metrics.comparison import Interval, JudgedUsers, paired_mean_difference
from everstay.partitions import Parts
from everstay.recommender.artifact import load_artifact
from everstay.recommender.evaluate import per_user_metrics
from everstay.recommender.rows import CATALOGUE, BasketRows, with_attribute, with_targets
from everstay.recommender.vocabulary import Vocabulary
from everstay.settings import Settings, UserAttribute


class TableReader(Protocol):
    """Source of the tables; `everstay.lake.Snapshot` is one."""

    def read(self, table: t.Table) -> pl.DataFrame:
        """A small table; empty if it was never written."""


def prepare_rows(
    tables: TableReader, validation: Parts, test: Parts, folder: Path, segment_by: UserAttribute | None = None
) -> Path:
    """Put the baskets of both as-ofs and the catalogue together in `folder`.

    Args:
        tables: the lake's small tables.
        validation: baskets of the earlier as-of.
        test: baskets of the later one.
        folder: created.
        segment_by: the user attribute added to the rows as a column; no other one is read.

    Raises:
        NotReady: nothing can be learned from them, or evaluated on them.
        SettingsError: no user declares the attribute.
    """
    catalogue = tables.read(t.ITEMS).select(CATALOGUE)
    rows = BasketRows(validation.read_all(), test.read_all(), catalogue)
    if segment_by:
        users = tables.read(t.USERS)
        if users[segment_by].null_count() == users.height:
            raise SettingsError(f"recommender.segment_by: no user declares {segment_by}; map it, or delete the setting")
        rows = replace(
            rows,
            validation=with_attribute(rows.validation, users, segment_by),
            test=with_attribute(rows.test, users, segment_by),
        )
    rows.check()
    rows.write(folder.with_name(f"{folder.name}.partial")).rename(folder)  # a folder that exists is complete
    validation.remove()
    test.remove()
    return folder


def check_rows(folder: Path, settings: Settings) -> None:
    """Check, before any training, that models can be learned from stored rows under the settings.

    Raises:
        NotReady: no item was bought by `min_item_users` users, at one of the two as-ofs.
    """
    rows = BasketRows.read(folder)
    for part in (rows.validation, rows.test):
        Vocabulary.learn(part, settings.recommender.min_item_users)


def compare_models(challenger: Path, rival: Path, rows: Path, settings: Settings) -> Interval:
    """Load two artifacts and compare their lists for the same users with the next baskets after the test as-of.

    Both use the policy of the settings, whatever each was trained under: the winner's lists will be made with it.

    Args:
        challenger: artifact folder.
        rival: artifact folder.
        rows: from `prepare_rows`.
        settings: metric, policy on items bought before, length of the lists, and the interval.

    Returns:
        Challenger minus rival in the gate's metric, paired over users.
    """
    test, k, policy = BasketRows.read(rows).test, settings.recommender.list_length, settings.promotion
    histories, targets = test.drop(TARGET_ITEM), test.select(t.USER_ID, TARGET_ITEM)
    bought = settings.recommender.already_bought
    models = [replace(load_artifact(folder), already_bought=bought) for folder in (challenger, rival)]
    values = [per_user_metrics(model, histories, targets, k)[policy.recommender_metric] for model in models]
    return paired_mean_difference(
        *values, resamples=policy.resamples, confidence=policy.confidence, seed=settings.training.seed
    )


def count_judged(rows: Path) -> JudgedUsers:
    """The test users that `compare_models` compares on: those with a next basket."""
    return JudgedUsers(with_targets(BasketRows.read(rows).test).height)
