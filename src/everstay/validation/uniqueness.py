"""Expectations of uniqueness: only rows whose hash occurs more than once are shown to Great Expectations."""

from collections.abc import Sequence

import polars as pl

from everstay.validation.evaluation import Tally, evaluate
from everstay.validation.hashes import find_doubles, hash_rows
from everstay.validation.suites import Expectation

_OF_COLUMN = "expect_column_values_to_be_unique"
_OF_COLUMNS = "expect_compound_columns_to_be_unique"
_HASHABLE = (pl.String, pl.Categorical, pl.Int8, pl.Int16, pl.Int32, pl.UInt8, pl.UInt16, pl.UInt32, pl.Datetime)


def is_of_uniqueness(expectation: Expectation, frame: pl.DataFrame) -> bool:
    """Whether `evaluate_uniqueness` supports it: it is about all rows in which no column is missing."""
    arguments = dict(expectation.config["kwargs"])
    arguments.pop("mostly", None)
    shape = {_OF_COLUMN: {"column"}, _OF_COLUMNS: {"column_list", "ignore_row_if"}}.get(expectation.config["type"])
    skips_missing = arguments.get("ignore_row_if", "any_value_is_missing") == "any_value_is_missing"
    return (
        shape == set(arguments)
        and skips_missing
        and all(frame.schema[name] in _HASHABLE for name in expectation.columns)
    )


def evaluate_uniqueness(frame: pl.DataFrame, expectation: Expectation, key: Sequence[str], file: str) -> Tally:
    """Give what `evaluate` gives. Equal values share a hash, so all rows of a duplicated value are suspects."""
    columns = list(expectation.columns)
    present = frame if not any(frame[name].null_count() for name in columns) else frame.drop_nulls(columns)
    hashes = hash_rows(present, columns)
    doubles = find_doubles(hashes)
    if doubles.is_empty():
        return Tally(len(present))
    suspects = present.filter(hashes.is_in(doubles.implode()))
    (found,) = evaluate(suspects, [expectation], key, file)
    return Tally(len(present), found.unexpected, found.examples)
