"""A churn table that somebody else labelled, one row per user and no history: read, checked, folded, learned from.

Columns are numbers or categories, nothing is known of their time. Rows that belong together stay on one side.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from everstay.errors import EverstayError

FloatArray = NDArray[np.float64]

_SUFFIXES = (".parquet", ".csv")
_MOST_CATEGORIES = 100
_LEFT = {"1", "1.0", "true", "yes", "y", "churned", "left"}
_STAYED = {"0", "0.0", "false", "no", "n", "stayed", "retained"}


@dataclass(frozen=True)
class LabelledTable:
    """N users.

    Attributes:
        features: Float64 and String columns; undefined is null.
        churned: (N,) of 0 and 1.
        groups: (N,) numbers; rows with the same number must not be parted.
        ids: columns left out because every row has a value of its own.
        constants: columns left out because every row has the same value, or none.
    """

    features: pl.DataFrame
    churned: FloatArray
    groups: NDArray[np.int64]
    ids: tuple[str, ...]
    constants: tuple[str, ...] = ()


def read_labelled_table(file: Path, label: str, group: Sequence[str] = ()) -> LabelledTable:
    """Read a `.csv` or `.parquet` file.

    Args:
        file: with a header.
        label: column that says who left: booleans, 0 and 1, words like yes and no, true and false.
        group: rows alike in these columns are kept together; none: rows alike in every feature and the label.

    Raises:
        EverstayError: names the file, the column and what to do.
    """
    if file.suffix not in _SUFFIXES or not file.is_file():
        raise EverstayError(f"{file} is no .csv or .parquet file that can be read")
    table = pl.read_parquet(file) if file.suffix == ".parquet" else pl.read_csv(file, infer_schema_length=None)
    for column in (label, *group):
        if column not in table.columns:
            near = get_close_matches(column, table.columns, n=1, cutoff=0.4)
            hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(table.columns)}"
            raise EverstayError(f"{file} has no column '{column}'; {hint}")
    churned = _read_label(file, table[label])
    others = [column for column in table.get_columns() if column.name != label and column.name not in group]
    ids = tuple(column.name for column in others if _is_id(column))
    constants = tuple(column.name for column in others if column.n_unique() == 1)
    left_out = {*ids, *constants}
    features = pl.DataFrame([_read_feature(file, column) for column in others if column.name not in left_out])
    if features.width == 0:
        known = ", ".join((*group, *ids, *constants))
        raise EverstayError(f"{file} has no column to learn from beside '{label}' and {known}")
    key = table.select(group) if group else features.with_columns(pl.Series("label", churned))
    groups = key.select(pl.struct(pl.all()).rank("dense").cast(pl.Int64)).to_series().to_numpy()
    return LabelledTable(features, churned, groups, ids, constants)


def _read_label(file: Path, column: pl.Series) -> FloatArray:
    words = column.cast(pl.String).str.to_lowercase().str.strip_chars(" .")
    known = words.is_in(list(_LEFT | _STAYED)).fill_null(False)
    if not known.all():
        row = int(known.arg_min() or 0)
        raise EverstayError(
            f"{file}, row {row + 1}: label '{column.name}' is {column[row]!r}; every row needs 0 or 1, no or yes"
        )
    churned = words.is_in(list(_LEFT)).cast(pl.Float64).to_numpy()
    if churned.min() == churned.max():
        raise EverstayError(f"{file}: label '{column.name}' is the same in every row; both outcomes are needed")
    return churned


def _is_id(column: pl.Series) -> bool:
    """Whether every row has a value of its own, and no fraction is among them: those are measured."""
    is_measured = column.dtype.is_float() and (column % 1 != 0).any()
    return not is_measured and len(column) > 1 and column.n_unique() == len(column)


def _read_feature(file: Path, column: pl.Series) -> pl.Series:
    """Numbers as Float64, not finite as null; categories as String.

    A text column all of whose values are numbers, or blank, is one of numbers.
    """
    if column.dtype.is_numeric() or column.dtype == pl.Boolean:
        numbers = column.cast(pl.Float64)
        return numbers.set(~numbers.is_finite(), None)
    if column.dtype not in (pl.String, pl.Categorical, pl.Enum):
        raise EverstayError(
            f"{file}: column '{column.name}' is {column.dtype}, neither number nor category: make one of it, or drop it"
        )
    words = column.cast(pl.String).str.strip_chars().replace("", None)
    numbers = words.cast(pl.Float64, strict=False)
    if numbers.null_count() == words.null_count() and numbers.null_count() < len(words):
        return numbers
    if words.n_unique() > _MOST_CATEGORIES:
        raise EverstayError(
            f"{file}: column '{column.name}' has {words.n_unique()} different texts, too many for categories "
            f"({_MOST_CATEGORIES} at most): group them, drop it, or name it in --group if it says who belongs together"
        )
    return words


def group_folds(groups: NDArray[np.int64], count: int, seed: int) -> NDArray[np.int64]:
    """Give every row (N,) one of `count` folds; rows of one group get the same, sizes are nearly equal.

    Raises:
        EverstayError: there are fewer groups than folds.
    """
    names, sizes = np.unique(groups, return_counts=True)
    if len(names) < count:
        raise EverstayError(f"{len(names)} groups of rows are too few for {count} folds")
    order = np.random.default_rng(seed).permutation(len(names))
    fold = np.empty(len(names), np.int64)
    fold[order] = np.minimum((np.cumsum(sizes[order]) - sizes[order]) * count // len(groups), count - 1)
    return fold[np.searchsorted(names, groups)]


@dataclass(frozen=True)
class TableEncoder:
    """Numbers as they are, categories as one column of 0 and 1 per value known from training.

    Attributes:
        numbers: columns.
        categories: column to its known values.
    """

    numbers: tuple[str, ...]
    categories: dict[str, tuple[str, ...]]

    @classmethod
    def fit(cls, features: pl.DataFrame) -> "TableEncoder":
        """Learn the categories of training rows; a number that none of them has is left out."""
        texts = [name for name, dtype in features.schema.items() if dtype == pl.String]
        known = {name: tuple(features[name].drop_nulls().unique().sort()) for name in texts}
        numbers = (name for name in features.columns if name not in texts and features[name].count() > 0)
        return cls(tuple(numbers), known)

    def encode(self, features: pl.DataFrame) -> FloatArray:
        """Rows (N) -> (N, E); NaN where a number is undefined, all 0 where a category is unknown."""
        numbers = [pl.col(name).fill_null(float("nan")) for name in self.numbers]
        marks = [
            pl.col(name).eq_missing(value).cast(pl.Float64).alias(f"{name}={value}")
            for name, values in self.categories.items()
            for value in values
        ]
        return features.select(*numbers, *marks).to_numpy()
