"""What is aggregated for each table, and how: the vocabulary of table-level expectations."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import polars as pl

from everstay import tables as t
from everstay.validation.runs import distinct_days

ROW_COUNT = "row_count"
SECONDS_PER_DAY = 86_400

ROWS_OF_USER = "rows_of_user"
"""Rows per user: a column with one value per user, which aggregates may use like the table's own columns."""

Expressions = Mapping[str, pl.Expr]


@dataclass(frozen=True)
class Recipe:
    """Named aggregates of one table, by the way they merge.

    Attributes:
        sums: added up.
        lowest: the least of all.
        highest: the greatest of all.
        distinct: sets, united; intermediate, never seen by an expectation.
        derived: computed at last, from the merged others.
    """

    sums: Expressions = field(default_factory=dict)
    lowest: Expressions = field(default_factory=dict)
    highest: Expressions = field(default_factory=dict)
    distinct: Expressions = field(default_factory=dict)
    derived: Expressions = field(default_factory=dict)


def recipe_of(table: t.Table) -> Recipe:
    """The recipe of a table: row and user counts, and what is special to it."""
    sums: dict[str, pl.Expr] = {ROW_COUNT: pl.len()}
    if t.USER_ID in table.columns:
        sums["user_count"] = pl.col(ROWS_OF_USER).len()  # a user's rows are all in one part
    special = _SPECIAL.get(table.name, Recipe)()
    return Recipe({**sums, **special.sums}, special.lowest, special.highest, special.distinct, special.derived)


def _share(part: str) -> pl.Expr:
    """Share of the rows; null when there are none."""
    return pl.when(pl.col(ROW_COUNT) > 0).then(pl.col(part) / pl.col(ROW_COUNT))


def _events() -> Recipe:
    rows = {f"{kind}_rows": (pl.col(t.EVENT_TYPE) == kind).sum() for kind in t.EVENT_TYPES}
    after = pl.col("days").list.diff().list.arg_max().cast(pl.Int64)  # place of the first day after the longest silence
    until_now = pl.col("last_recorded_at") - pl.lit(datetime.now(UTC), t.TIME)
    return Recipe(
        sums=rows,
        lowest={"first_occurred_at": pl.col(t.OCCURRED_AT).min()},
        highest={
            "last_occurred_at": pl.col(t.OCCURRED_AT).max(),
            "last_recorded_at": pl.col(t.RECORDED_AT).max(),
            "largest_user_rows": pl.col(ROWS_OF_USER).max(),
        },
        distinct={"days": pl.col(t.OCCURRED_AT).map_batches(distinct_days, return_dtype=pl.Date)},
        derived={
            **{f"{kind}_share": _share(f"{kind}_rows") for kind in t.EVENT_TYPES},
            "largest_user_share": _share("largest_user_rows"),
            "largest_silence_days": pl.col("days").list.diff().list.max().dt.total_days(),
            "silence_begins_on": pl.col("days").list.get(after - 1, null_on_oob=True),
            "silence_ends_on": pl.col("days").list.get(after, null_on_oob=True),
            "days_in_future": until_now.dt.total_seconds() / SECONDS_PER_DAY,
        },
    )


def _churn_labels() -> Recipe:
    return Recipe(sums={"churned_rows": pl.col(t.CHURNED).sum()}, derived={"churned_share": _share("churned_rows")})


def _churn_scores() -> Recipe:
    return Recipe(
        sums={"probability_sum": pl.col(t.CHURN_PROBABILITY).sum()},
        lowest={"lowest_probability": pl.col(t.CHURN_PROBABILITY).min()},
        highest={"highest_probability": pl.col(t.CHURN_PROBABILITY).max()},
        derived={
            "mean_probability": _share("probability_sum"),
            "probability_range": pl.col("highest_probability") - pl.col("lowest_probability"),
        },
    )


def _recommendations() -> Recipe:
    one_list = [t.USER_ID, t.AS_OF]
    length = pl.len().over(one_list)
    return Recipe(
        sums={"rows_in_lists_with_gaps": (length != pl.col(t.RANK).max().over(one_list)).sum()},
        lowest={"shortest_list": length.min()},
        highest={"longest_list": length.max()},
        distinct={"items": pl.col(t.ITEM_ID)},
        derived={
            "list_length_range": pl.col("longest_list") - pl.col("shortest_list"),
            "distinct_items": pl.col("items").list.len(),
        },
    )


_SPECIAL = {
    t.EVENTS.name: _events,
    t.CHURN_LABELS.name: _churn_labels,
    t.CHURN_SCORES.name: _churn_scores,
    t.RECOMMENDATIONS.name: _recommendations,
}
