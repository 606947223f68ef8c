"""Aggregates of a whole table, merged from those of its parts, for table-level expectations.

Sums, minima, maxima and sets of days merge exactly. Keys that several parts hold are counted on a sample: every part
returns its smallest key hashes, and only hashes up to the smallest bound of a cut-off part are compared. The same key
has the same hash in every part, so keys are sampled, not rows. The sample has all keys of a table of up to `KEY_SAMPLE`
rows in even parts; in a larger one it finds a delivery loaded twice, though not every single duplicate key.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import polars.selectors as cs

from everstay import tables as t
from everstay.validation.hashes import Hashes, hash_rows, smallest
from everstay.validation.recipes import ROWS_OF_USER, recipe_of
from everstay.validation.runs import count_by_run

KEY_SAMPLE = 1 << 21
"""Most key hashes that all parts together return, 16 MB, however many parts there are."""

_LEAST_SAMPLE = 1 << 10  # of a part

KEYS_IN_SEVERAL_PARTS = "keys_in_several_parts"


@dataclass(frozen=True)
class PartAggregates:
    """The aggregates of one part.

    Attributes:
        values: one row; a column for each sum, lowest, highest and distinct of the recipe.
        key_hashes: the smallest distinct hashes of its keys, ascending.
        are_cut_off: whether there are more.
    """

    values: pl.DataFrame
    key_hashes: Hashes
    are_cut_off: bool


def aggregate_names(table: t.Table) -> tuple[str, ...]:
    """The names that a table-level expectation may use."""
    recipe = recipe_of(table)
    return (KEYS_IN_SEVERAL_PARTS, *recipe.sums, *recipe.lowest, *recipe.highest, *recipe.derived)


def aggregate_part(table: t.Table, part: pl.DataFrame, parts: int) -> PartAggregates:
    """Aggregate the rows of one of `parts` parts."""
    recipe = recipe_of(table)
    named = {
        **recipe.sums,
        **recipe.lowest,
        **recipe.highest,
        **{name: expression.unique().implode() for name, expression in recipe.distinct.items()},
    }
    of_users = {name: one for name, one in named.items() if ROWS_OF_USER in one.meta.root_names()}
    values = part.select(**{name: one for name, one in named.items() if name not in of_users})
    if of_users:
        values = values.with_columns(count_by_run(part[t.USER_ID]).rename(ROWS_OF_USER).to_frame().select(**of_users))
    values = values.with_columns(cs.unsigned_integer().cast(pl.Int64))
    size = max(_LEAST_SAMPLE, KEY_SAMPLE // parts)
    hashes = smallest(hash_rows(part, table.key), size)
    return PartAggregates(values, hashes, are_cut_off=len(hashes) == size)


def merge_aggregates(table: t.Table, parts: Sequence[PartAggregates]) -> pl.DataFrame:
    """Merge the aggregates of all parts into one row with the columns of `aggregate_names`."""
    recipe = recipe_of(table)
    merged = pl.concat([part.values for part in parts]).select(
        pl.col(*recipe.sums).sum(),
        *(pl.col(name).min() for name in recipe.lowest),
        *(pl.col(name).max() for name in recipe.highest),
        *(pl.col(name).explode(empty_as_null=False).unique().sort().implode() for name in recipe.distinct),
    )
    shared = pl.lit(len(shared_keys(parts)))
    derived = merged.with_columns(shared.alias(KEYS_IN_SEVERAL_PARTS), **recipe.derived)
    return derived.select(aggregate_names(table))


def shared_keys(parts: Sequence[PartAggregates]) -> Hashes:
    """The sampled key hashes that more than one part holds, ascending."""
    bounds = [part.key_hashes[-1] for part in parts if part.are_cut_off]
    hashes = pl.Series(np.concatenate([part.key_hashes for part in parts])).sort().to_numpy()
    if bounds:
        hashes = hashes[hashes <= min(bounds)]
    return np.unique(hashes[1:][np.diff(hashes) == 0])
