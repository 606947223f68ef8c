"""Aggregates of a whole table, merged from those of its parts: what expectations of the table level are about.

Sums, lowest and highest values and sets of days merge exactly. Keys that several parts hold are counted on a sample:
every part hands over its smallest key hashes, and only hashes up to the smallest bound of a cut-off part are compared.
The same key has the same hash in every part, so the sample is one of keys, not of rows; it is all keys of a table
whose parts hold at most `KEY_SAMPLE` each, and finds a doubled delivery, though not each single key, of a larger one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
import polars as pl
import polars.selectors as cs

from everstay import tables as t

KEY_SAMPLE = 1 << 17
"""Key hashes that a part hands over at most: one megabyte."""

ROW_COUNT = "row_count"
KEYS_IN_SEVERAL_PARTS = "keys_in_several_parts"
SECONDS_PER_DAY = 86_400

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


@dataclass(frozen=True)
class PartAggregates:
    """The aggregates of one part.

    Attributes:
        values: one row; a column for each sum, lowest, highest and distinct of the recipe.
        key_hashes: the smallest `KEY_SAMPLE` different hashes of its keys, ascending.
    """

    values: pl.DataFrame
    key_hashes: npt.NDArray[np.uint64]


def aggregate_names(table: t.Table) -> tuple[str, ...]:
    """What an expectation of the table level may be about."""
    recipe = _recipe(table)
    return (KEYS_IN_SEVERAL_PARTS, *recipe.sums, *recipe.lowest, *recipe.highest, *recipe.derived)


def aggregate_part(table: t.Table, part: pl.DataFrame) -> PartAggregates:
    """Aggregate the rows of one part."""
    recipe = _recipe(table)
    values = part.select(
        **recipe.sums,
        **recipe.lowest,
        **recipe.highest,
        **{name: expression.unique().implode() for name, expression in recipe.distinct.items()},
    ).with_columns(cs.unsigned_integer().cast(pl.Int64))
    hashes = part.select(pl.struct(table.key).hash(seed=0).unique().sort().head(KEY_SAMPLE)).to_series().to_numpy()
    return PartAggregates(values, hashes)


def merge_aggregates(table: t.Table, parts: Sequence[PartAggregates]) -> pl.DataFrame:
    """Merge the aggregates of all parts into one row with the columns of `aggregate_names`."""
    recipe = _recipe(table)
    merged = pl.concat([part.values for part in parts]).select(
        pl.col(*recipe.sums).sum(),
        *(pl.col(name).min() for name in recipe.lowest),
        *(pl.col(name).max() for name in recipe.highest),
        *(pl.col(name).explode(empty_as_null=False).unique().sort().implode() for name in recipe.distinct),
    )
    shared = pl.lit(_count_shared([part.key_hashes for part in parts]))
    derived = merged.with_columns(shared.alias(KEYS_IN_SEVERAL_PARTS), **recipe.derived)
    return derived.select(aggregate_names(table))


def _count_shared(samples: Sequence[npt.NDArray[np.uint64]]) -> int:
    """Count sampled key hashes that more than one part holds."""
    bounds = [sample[-1] for sample in samples if len(sample) == KEY_SAMPLE]
    hashes = np.sort(np.concatenate(samples))
    if bounds:
        hashes = hashes[hashes <= min(bounds)]
    return int(np.count_nonzero(np.diff(hashes) == 0))


def _recipe(table: t.Table) -> Recipe:
    """The recipe of a table: row and user counts, and what is special to it."""
    sums: dict[str, pl.Expr] = {ROW_COUNT: pl.len()}
    if t.USER_ID in table.columns:
        sums["user_count"] = pl.col(t.USER_ID).n_unique()  # a user's rows are all in one part
    special = _SPECIAL.get(table.name, Recipe)()
    return Recipe({**sums, **special.sums}, special.lowest, special.highest, special.distinct, special.derived)


def _share(part: str) -> pl.Expr:
    """Share of the rows; null when there are none."""
    return pl.when(pl.col(ROW_COUNT) > 0).then(pl.col(part) / pl.col(ROW_COUNT))


def _events() -> Recipe:
    rows = {f"{kind}_rows": (pl.col(t.EVENT_TYPE) == kind).sum() for kind in t.EVENT_TYPES}
    until_now = pl.col("last_recorded_at") - pl.lit(datetime.now(UTC), t.TIME)
    return Recipe(
        sums=rows,
        lowest={"first_occurred_at": pl.col(t.OCCURRED_AT).min()},
        highest={
            "last_occurred_at": pl.col(t.OCCURRED_AT).max(),
            "last_recorded_at": pl.col(t.RECORDED_AT).max(),
            "largest_user_rows": pl.col(t.USER_ID).unique_counts().max(),
        },
        distinct={"days": pl.col(t.OCCURRED_AT).dt.date()},
        derived={
            **{f"{kind}_share": _share(f"{kind}_rows") for kind in t.EVENT_TYPES},
            "largest_user_share": _share("largest_user_rows"),
            "largest_silence_days": pl.col("days").list.diff().list.max().dt.total_days(),
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
