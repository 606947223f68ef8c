"""What was decided, when and why: rows of the lake's `promotions` table, and what follows from them."""

from datetime import datetime

import polars as pl

from everstay import tables as t
from everstay.lake import Lake
from everstay.registry.promotion import Decision

ROLLBACK = "rollback"
"""Value of the metric column in a row that records a rollback."""


def history(lake: Lake, model: str, since: datetime | None) -> pl.DataFrame:
    """The rows of one model that refer to the present store, `tables.PROMOTIONS`, oldest first.

    Args:
        lake: holds the table.
        model: "churn" or "recommender".
        since: when the model was first registered in the present store, None for never. Older rows hold version numbers
            of a store that was deleted or replaced; they stay, but refer to none of today's versions.
    """
    stored = lake.read(t.PROMOTIONS)
    if stored is None or since is None:
        return t.PROMOTIONS.empty()
    return stored.filter(pl.col(t.MODEL) == model, pl.col(t.DECIDED_AT) >= since).sort(t.DECIDED_AT)


def is_recorded(rows: pl.DataFrame, decision: Decision) -> bool:
    """Whether the ledger holds this decision: same pair of versions, metric, data and outcome."""
    same = rows.filter(
        pl.col(t.CHALLENGER_VERSION) == decision.challenger_version,
        pl.col(t.CHAMPION_VERSION).eq_missing(pl.lit(decision.champion_version, pl.String)),
        pl.col(t.METRIC) == decision.metric,
        pl.col(t.DATA_VERSION) == decision.data_version,
        pl.col(t.IS_PROMOTED) == decision.is_promoted,
    )
    return len(same) > 0


def decision_row(decision: Decision, decided_at: datetime) -> pl.DataFrame:
    """The decision as one row of `tables.PROMOTIONS`."""
    difference = decision.difference
    row = {
        t.MODEL: decision.model,
        t.DECIDED_AT: decided_at,
        t.CHALLENGER_VERSION: decision.challenger_version,
        t.CHAMPION_VERSION: decision.champion_version,
        t.IS_PROMOTED: decision.is_promoted,
        t.METRIC: decision.metric,
        t.DIFFERENCE: difference.value if difference else None,
        t.DIFFERENCE_LOW: difference.low if difference else None,
        t.DIFFERENCE_HIGH: difference.high if difference else None,
        t.REASONS: list(decision.reasons),
        t.DATA_VERSION: decision.data_version,
    }
    return t.PROMOTIONS.conform(pl.DataFrame([row]))


def champions(rows: pl.DataFrame) -> list[str]:
    """The champions that lead to the present one, oldest first: promotions add, a rollback takes away.

    A row continues from its `CHAMPION_VERSION`, so one whose alias was never moved (the process was killed) drops out
    when the next decision starts from the old champion.

    Args:
        rows: one model's, oldest first.
    """
    versions: list[str] = []
    for row in rows.filter(pl.col(t.IS_PROMOTED)).iter_rows(named=True):
        is_rollback = row[t.METRIC] == ROLLBACK
        versions = _until(versions, row[t.CHALLENGER_VERSION] if is_rollback else row[t.CHAMPION_VERSION])
        if not is_rollback:
            versions.append(row[t.CHALLENGER_VERSION])
    return versions


def rolled_back(rows: pl.DataFrame) -> frozenset[str]:
    """Versions that were rolled back by hand."""
    return frozenset(rows.filter(pl.col(t.METRIC) == ROLLBACK)[t.CHAMPION_VERSION])


def _until(versions: list[str], last: str | None) -> list[str]:
    """The versions up to and including `last`; only `last` if not among them (moved by hand), none for None."""
    if last is None:
        return []
    return versions[: versions.index(last) + 1] if last in versions else [last]
