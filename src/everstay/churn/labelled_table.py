"""An externally labelled churn table, one row per user without history: read, checked, split into folds, encoded.

Columns are numeric or categorical and have no times. Rows of one group stay in one fold.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from everstay.errors import EverstayError

log = logging.getLogger(__name__)

FloatArray = NDArray[np.float64]

_PARQUET, _SUFFIXES = ".parquet", (".parquet", ".csv", ".csv.gz", ".tsv")
_SEPARATORS = ",;\t|"
_MOST_CATEGORIES = 100
_LEFT = {"1", "1.0", "true", "t", "yes", "y", "churned", "left", "exited", "attrited", "attrited customer"}
_STAYED = {"0", "0.0", "-1", "-1.0", "false", "f", "no", "n", "stayed", "retained", "existing", "existing customer"}
_MISSING = ("na", "n/a", "nan", "null", "none", "?", "-")  # in a column that has numbers otherwise
_DECIMAL_COMMA = r"^-?\d+(,\d+)?$"
_DAY = 86_400_000.0  # milliseconds
_HOUR = 3_600e9  # nanoseconds


@dataclass(frozen=True)
class LabelledTable:
    """N users.

    Attributes:
        features: Float64 and String columns; undefined is null.
        churned: (N,) of 0 and 1.
        groups: (N,) numbers; rows with the same number must not be split.
        ids: columns left out because every row has a unique value.
        constants: columns left out because every row has the same value, or none.
        texts: columns left out because they have too many distinct texts to be categories: names, cities.
    """

    features: pl.DataFrame
    churned: FloatArray
    groups: NDArray[np.int64]
    ids: tuple[str, ...]
    constants: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()

    def only(self, rows: NDArray[np.bool_]) -> Self:
        """The marked ones of N rows."""
        return replace(self, features=self.features.filter(rows), churned=self.churned[rows], groups=self.groups[rows])


def read_labelled_table(file: Path, label: str, group: Sequence[str] = ()) -> LabelledTable:
    """Read a `.csv` or `.parquet` file.

    Args:
        file: with a header.
        label: column that says who left: booleans, 0 and 1, words like yes and no, true and false.
        group: rows equal in these columns are kept together; if empty, rows equal in every feature and the label. So
            are rows that have none of these values.

    Raises:
        EverstayError: names the file, the column and what to do.
    """
    table = _read_table(file)
    for column in (label, *group):
        if column not in table.columns:
            near = get_close_matches(column, table.columns, n=1, cutoff=0.4)
            hint = f"did you mean '{near[0]}'?" if near else f"it has {', '.join(table.columns)}"
            raise EverstayError(f"{file} has no column '{column}'; {hint}")
    churned = _read_label(file, table[label])
    others = [column for column in table.get_columns() if column.name != label and column.name not in group]
    read = [_read_feature(file, column) for column in others]
    ids = tuple(column.name for column in read if _is_id(column))
    constants = tuple(column.name for column in read if column.n_unique() == 1)
    names = {*ids, *constants}
    categories = (column for column in read if column.dtype == pl.String and column.name not in names)
    texts = tuple(column.name for column in categories if column.n_unique() > _MOST_CATEGORIES)
    features = pl.DataFrame([column for column in read if column.name not in names.union(texts)])
    if features.width == 0:
        known = ", ".join((*group, *ids, *constants, *texts))
        raise EverstayError(f"{file} has no column to learn from besides '{label}' and {known}")
    groups = _numbers_of_equal([*features.get_columns(), pl.Series(churned)])
    if group:
        groups = _named_groups(file, [table[name] for name in group], groups)
    return LabelledTable(features, churned, groups, ids, constants, texts)


def _read_table(file: Path) -> pl.DataFrame:
    """Read a table; a text file's separator is the most frequent candidate in its header, and its dates are parsed."""
    if not file.name.lower().endswith(_SUFFIXES) or not file.is_file():
        raise EverstayError(f"{file} does not exist, or is not one of {', '.join(_SUFFIXES)}")
    separator = ""
    try:
        if file.suffix.lower() == _PARQUET:
            table = pl.read_parquet(file)
        else:
            header = pl.read_csv(file, has_header=False, n_rows=1, separator="\x01", quote_char=None).item()
            separator = max(_SEPARATORS, key=str(header).count)
            table = pl.read_csv(file, separator=separator, infer_schema_length=None, try_parse_dates=True)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise EverstayError(f"{file} cannot be read: {str(error).splitlines()[0]}") from None
    if table.is_empty():
        raise EverstayError(f"{file} has no rows")
    for name in table.columns:
        if name == "*" or (name.startswith("^") and name.endswith("$")):
            raise EverstayError(f"{file}: column '{name}' is named like a pattern for several columns: rename it")
    return pl.DataFrame([_with_decimal_points(column) for column in table]) if separator == ";" else table


def _with_decimal_points(column: pl.Series) -> pl.Series:
    """A text column as numbers, if all that is not missing is like 3 or -1,5: who writes so parts columns by ;."""
    if column.dtype != pl.String:
        return column
    known = _known_words(column)
    is_number = known.str.contains(_DECIMAL_COMMA).all() and known.count() > 0
    return known.str.replace(",", ".", literal=True).cast(pl.Float64) if is_number else column


def _known_words(words: pl.Series) -> pl.Series:
    """Without surrounding blanks; null where blank or a word for a missing number."""
    words = words.str.strip_chars().replace("", None)
    return words.set(words.str.to_lowercase().is_in(_MISSING), None)


def _read_label(file: Path, column: pl.Series) -> FloatArray:
    numbers = column.cast(pl.Float64) if column.dtype.is_numeric() else column  # 1.00 of a decimal is 1.0
    words = numbers.cast(pl.String).str.to_lowercase().str.strip_chars(" .")
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


def _named_groups(file: Path, keys: Sequence[pl.Series], otherwise: NDArray[np.int64]) -> NDArray[np.int64]:
    """Numbers of rows equal in the keys; of rows without any key, which are not one user, those that they have else."""
    known = [_blank_as_null(key) for key in keys]
    is_unknown = np.logical_and.reduce([key.is_null().to_numpy() for key in known])
    if is_unknown.any():
        names = " or ".join(f"'{key.name}'" for key in keys)
        log.warning(
            "%s: %d of %d rows have no %s; only those alike in all columns stay together",
            file,
            is_unknown.sum(),
            len(is_unknown),
            names,
        )
    numbers = _numbers_of_equal(known)
    return np.where(is_unknown, numbers.max() + 1 + otherwise, numbers)


def _blank_as_null(key: pl.Series) -> pl.Series:
    if key.dtype == pl.String:
        return key.str.strip_chars().replace("", None)
    return key.fill_nan(None) if key.dtype.is_float() else key


def _numbers_of_equal(columns: Sequence[pl.Series]) -> NDArray[np.int64]:
    """The same number for rows equal in all columns."""
    rows = pl.DataFrame([column.alias(f"{place}") for place, column in enumerate(columns)])
    return rows.select(pl.struct(pl.all()).rank("dense").cast(pl.Int64)).to_series().to_numpy()


def _is_id(column: pl.Series) -> bool:
    """Whether every row has a unique value, and none is a fraction: fractions are measurements."""
    is_measured = column.dtype.is_float() and (column % 1 != 0).any()
    return not is_measured and len(column) > 1 and column.n_unique() == len(column)


def _read_feature(file: Path, column: pl.Series) -> pl.Series:
    """Numbers, dates as days since 1970 and times of day as hours, as Float64, null if not finite; else String.

    A text column is numeric if all of its values are numbers, blank, or markers of missing values.
    """
    if column.dtype in (pl.Date, pl.Datetime):
        return column.cast(pl.Datetime("ms")).dt.epoch("ms").cast(pl.Float64) / _DAY
    if column.dtype == pl.Time:
        return column.cast(pl.Int64).cast(pl.Float64) / _HOUR
    if column.dtype.is_numeric() or column.dtype in (pl.Boolean, pl.Null):
        return _finite(column.cast(pl.Float64))
    if column.dtype not in (pl.String, pl.Categorical, pl.Enum):
        raise EverstayError(
            f"{file}: column '{column.name}' is {column.dtype}, neither a number nor a category: convert or drop it"
        )
    words = column.cast(pl.String).str.strip_chars().replace("", None)
    known = _known_words(words)
    numbers = known.cast(pl.Float64, strict=False)
    if numbers.null_count() == known.null_count() and numbers.null_count() < len(known):
        return _finite(numbers)
    return words


def _finite(numbers: pl.Series) -> pl.Series:
    return numbers.set(~numbers.is_finite(), None)


def columns_that_tell(table: LabelledTable) -> list[str]:
    """Columns that alone determine the label of every row: leakage, a copy of it or written after it was known.

    Every value of a category has one outcome; a number has a threshold that separates them, nulls on either side.
    """
    left = pl.Series(table.churned == 1)
    return [column.name for column in table.features if _tells(column, left)]


def _tells(column: pl.Series, left: pl.Series) -> bool:
    ours, others = column.filter(left), column.filter(~left)
    if column.dtype == pl.String:
        return not set(ours) & set(others)
    return any(
        low.fill_null(end).to_numpy().max() < high.fill_null(end).to_numpy().min()
        for low, high in ((ours, others), (others, ours))
        for end in (-np.inf, np.inf)
    )


@dataclass(frozen=True)
class TableEncoder:
    """Numbers as they are, categories one-hot encoded with the values known from training.

    Attributes:
        numbers: columns.
        categories: column to its known values.
    """

    numbers: tuple[str, ...]
    categories: dict[str, tuple[str, ...]]

    @classmethod
    def fit(cls, features: pl.DataFrame) -> "TableEncoder":
        """Learn the categories of training rows; a numeric column that is always null is left out."""
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
