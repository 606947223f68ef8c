"""Proof that nothing leaks: everything as of a moment is bit-identical in several futures of the same past."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import polars as pl

from everstay import tables as t
from everstay.features import churn_labels, compute_features, day_tokens
from everstay.features.slices import label_delay
from everstay.lake import Snapshot
from everstay.lake.futures import AS_IT_IS
from everstay.partitions import IN_PROCESS
from everstay.recommender.vocabulary import Vocabulary
from everstay.scoring.churn_scores import compute_churn_scores
from everstay.scoring.digest import digest
from everstay.scoring.recommendations import list_rows, list_rules, recommendations, registered_rows
from everstay.scoring.rows import MAX_TOKENS, history_rows
from everstay.scoring.work import Work
from everstay.settings import Settings
from everstay.storage import Folder

_MIN_ITEM_USERS = 1  # in a sample of users the whole vocabulary is compared, not only its head

TableOf = Callable[[Snapshot], pl.DataFrame]


@dataclass(frozen=True)
class Proof:
    """Digests of every table computed as of a moment, in every future.

    Attributes:
        as_of: what is known before it is the same in all futures.
        rows: of each table.
        digests: table to future to SHA-256.
    """

    as_of: datetime
    rows: Mapping[str, int]
    digests: Mapping[str, Mapping[str, str]]

    @property
    def leaks(self) -> list[str]:
        """Tables that a future changes, and which future does, in words."""
        return [
            f"{table} ({future})"
            for table, by_future in self.digests.items()
            for future, digest in by_future.items()
            if digest != by_future[AS_IT_IS]
        ]


def prove_as_of(
    futures: Mapping[str, Snapshot], champions: Mapping[str, Path], as_of: datetime, settings: Settings, work: Path
) -> Proof:
    """Compute features, day tokens, histories, vocabulary, labels and the champions' tables in every future.

    Args:
        futures: from `lake.futures.write_futures`.
        champions: artifact folders of "churn" and "recommender", as far as they exist.
        as_of: a midnight UTC.
        settings: of the churn definition and the lists.
        work: folder for the parts of tables.
    """
    rows, digests = {}, {}
    for name, table_of in _tables(champions, as_of, settings, work).items():
        tables = {future: table_of(snapshot) for future, snapshot in futures.items()}
        rows[name] = len(tables[AS_IT_IS])
        digests[name] = {future: digest(table) for future, table in tables.items()}
    return Proof(as_of, rows, digests)


def _tables(champions: Mapping[str, Path], as_of: datetime, settings: Settings, work: Path) -> dict[str, TableOf]:
    """How each table is computed from a snapshot, by its name."""
    earlier = as_of - label_delay(settings.churn)  # its labels are known at the as-of

    def features(lake: Snapshot) -> pl.DataFrame:
        return compute_features(lake, [as_of], Folder(str(work / "features")), IN_PROCESS).read_all()

    def tokens(lake: Snapshot, bucket: int) -> pl.DataFrame:
        return day_tokens(lake.read_events(bucket, as_of), as_of, MAX_TOKENS)

    def histories(lake: Snapshot, bucket: int) -> pl.DataFrame:
        return history_rows(lake.read_events(bucket, as_of), as_of)

    def labels(lake: Snapshot, bucket: int) -> pl.DataFrame:
        return churn_labels(lake.read_events(bucket, as_of), earlier, settings.churn, as_of)

    def vocabulary(lake: Snapshot) -> pl.DataFrame:
        return Vocabulary.learn(_over_buckets(histories)(lake), _MIN_ITEM_USERS).items

    def scores(lake: Snapshot) -> pl.DataFrame:
        scored = Work(lake, champions["churn"], "champion", as_of)
        return compute_churn_scores(scored, settings, Folder(str(work / "scores")), IN_PROCESS).read_all()

    def lists(lake: Snapshot, bucket: int) -> pl.DataFrame:
        listed = Work(lake, champions["recommender"], "champion", as_of)
        rows, rules = list_rows(bucket, listed), list_rules(listed, settings.recommender)
        made = recommendations(listed.load_model(), rows, rules, listed.stamp())
        others = registered_rows(bucket, listed, rows)  # all outside the sample: who they are, not their equal lists
        return pl.concat([made, others.select(t.USER_ID, t.AS_OF)], how="diagonal")

    tables: dict[str, TableOf] = {
        t.USER_FEATURES.name: features,
        "day_tokens": _over_buckets(tokens),
        "purchase_history": _over_buckets(histories),
        "vocabulary": vocabulary,
        t.CHURN_LABELS.name: _over_buckets(labels),
    }
    if "churn" in champions:
        tables[t.CHURN_SCORES.name] = scores
    if "recommender" in champions:
        tables[t.RECOMMENDATIONS.name] = _over_buckets(lists)
    return tables


def _over_buckets(compute: Callable[[Snapshot, int], pl.DataFrame]) -> TableOf:
    return lambda lake: pl.concat([compute(lake, bucket) for bucket in lake.buckets])
