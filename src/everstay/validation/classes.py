"""Classes of rows that an expectation cannot tell apart, for those types of expectation that have few.

The verdict on a row depends only on a few properties of the values it looks at: on which side of a bound, in the set or
not, missing or not. `judging` lets Great Expectations judge a few rows of each class.
Classes are as fine as any argument could need (a value at a bound has its own, whether the bound is strict or not). An
expectation whose type, argument or column type is not known here has no classes and is evaluated row by row.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

import polars as pl

from everstay import tables as t
from everstay.validation.facts import FEW_WORDS, SMALL_NUMBERS, Facts
from everstay.validation.suites import Expectation

Arguments: TypeAlias = Mapping[str, Any]
Masks: TypeAlias = dict[str, pl.Expr]

_MISSING = "missing"
_REST = "rest"
_ELSEWHERE = "beyond the row condition"
_IN_SET = "expect_column_values_to_be_in_set"
_EXACT = 2**53  # bounds below it split integers the same way before and after conversion to floats


@dataclass(frozen=True)
class RowClass:
    """Rows that are equivalent to one expectation.

    Attributes:
        name: unique among the classes of the expectation.
        is_member: whether a row belongs, from its facts; null means no. Every row belongs to exactly one class.
        applies: whether the expectation is about such rows.
    """

    name: str
    is_member: pl.Expr
    applies: bool


def split_rows(expectation: Expectation, facts: Facts) -> tuple[RowClass, ...]:
    """The classes of an expectation, defined by `facts`; empty when they are not known."""
    split, known = _TYPES.get(expectation.config["type"], (None, set()))
    arguments = expectation.config["kwargs"]
    condition = arguments.get("row_condition")
    if split is None or not known.issuperset(arguments) or not (condition is None or _is_known(condition, facts)):
        return ()
    masks = split(arguments, facts)
    if not masks:
        return ()
    masks[_REST] = ~pl.any_horizontal(*masks.values())
    unapplied = {_ELSEWHERE} if split is _nullity else {_ELSEWHERE, _MISSING}
    if condition is not None:
        holds = _holds(condition, facts)
        masks = {_ELSEWHERE: ~holds, **{name: holds & mask for name, mask in masks.items()}}
    return tuple(RowClass(name, mask, name not in unapplied) for name, mask in masks.items())


def code_words(frame: pl.DataFrame, expectations: Iterable[Expectation]) -> pl.DataFrame:
    """Dictionary-encode the texts that expectations compare with words, so that comparisons are of small integers."""
    compared = {
        name
        for one in expectations
        for name in (*one.condition_columns, *(one.columns if one.config["type"] == _IN_SET else ()))
    }
    return frame.with_columns(pl.col(name).cast(pl.Categorical) for name in compared if frame.schema[name] == pl.String)


def _nullity(arguments: Arguments, facts: Facts) -> Masks:
    return {_MISSING: facts.is_missing(arguments["column"])}


def _bounds(arguments: Arguments, facts: Facts) -> Masks:
    column = arguments["column"]
    given = (arguments.get("min_value"), arguments.get("max_value"))
    low, high = (None if end is None else _bound(end, facts.schema[column]) for end in given)
    is_known = all((bound is None) == (end is None) for bound, end in zip((low, high), given, strict=True))
    if not is_known or low is high or (low is not None and high is not None and low > high):
        return {}
    is_missing = facts.is_missing(column)
    masks = {_MISSING: is_missing}
    if low is not None:
        masks |= {"below": facts.compare(column, "<", low), "at the least": facts.compare(column, "==", low)}
    if high is not None:
        masks["above"] = facts.compare(column, ">", high) & ~is_missing  # Polars takes NaN for the greatest number
    if high not in (None, low):
        masks["at the most"] = facts.compare(column, "==", high)
    return masks


def _bound(end: Any, dtype: pl.DataType) -> Any:
    """A bound as a float or a time; none when its comparison is left to Great Expectations."""
    if dtype == t.TIME and isinstance(end, str):
        try:
            moment = datetime.fromisoformat(end)
        except ValueError:
            return None
        # Great Expectations' own parser reads this spelling the same way; others it may read as another time.
        return moment if moment.isoformat() == end and moment.tzinfo is not None else None
    if isinstance(end, bool) or not isinstance(end, int | float):
        return None
    is_exact = abs(end) < _EXACT
    is_comparable = (dtype in SMALL_NUMBERS and (is_exact or isinstance(end, float))) or (
        dtype == pl.Int64 and is_exact
    )
    return float(end) if is_comparable else None


def _in_set(arguments: Arguments, facts: Facts) -> Masks:
    """Most texts are in the set: comparing with each word is fast, and row conditions share the facts."""
    column, words = arguments["column"], arguments["value_set"]
    if not facts.holds_text(column) or not _are_words(words) or len(words) > FEW_WORDS:
        return _not_in_set(arguments, facts)
    return {_MISSING: facts.is_missing(column), "in the set": _is_one_of(column, words, facts)}


def _not_in_set(arguments: Arguments, facts: Facts) -> Masks:
    column, words = arguments["column"], arguments["value_set"]
    is_text = facts.holds_text(column) or isinstance(facts.schema[column], pl.List)
    if not is_text or not _are_words(words):
        return {}
    return {_MISSING: facts.is_missing(column), "in the set": facts.is_in(column, words)}


def _order(arguments: Arguments, facts: Facts) -> Masks:
    one, other = arguments["column_A"], arguments["column_B"]
    dtypes = {facts.schema[one], facts.schema[other]}
    are_comparable = dtypes == {t.TIME} or dtypes.issubset(SMALL_NUMBERS)
    if arguments.get("ignore_row_if") != "either_value_is_missing" or not are_comparable:
        return {}
    right = pl.col(other).cast(t.TIME if t.TIME in dtypes else pl.Float64)
    is_missing = facts.is_missing(one) | facts.is_missing(other)
    return {
        _MISSING: is_missing,
        "less": facts.compare(one, "<", right) & ~is_missing,
        "equal": facts.compare(one, "==", right) & ~is_missing,
    }


def _is_known(condition: Any, facts: Facts) -> bool:
    """Whether it is a comparison of a text with words; what other conditions mean is left to Great Expectations."""
    if not isinstance(condition, dict) or condition.get("type") != "comparison":
        return False
    words = _condition_words(condition)
    return _are_words(words) and facts.holds_text(condition["column"]["name"])


def _condition_words(condition: Mapping[str, Any]) -> Any:
    operator, parameter = condition.get("operator"), condition.get("parameter")
    return [parameter] if operator == "==" else parameter if operator == "IN" else None


def _holds(condition: Mapping[str, Any], facts: Facts) -> pl.Expr:
    column = condition["column"]["name"]
    return _is_one_of(column, _condition_words(condition), facts)


def _is_one_of(column: str, words: list[str], facts: Facts) -> pl.Expr:
    return pl.any_horizontal([facts.equals(column, word) for word in words])


def _are_words(words: Any) -> bool:
    return isinstance(words, list) and bool(words) and all(isinstance(word, str) for word in words)


_Split: TypeAlias = Callable[[Arguments, Facts], Masks]
_OF_COLUMN = {"column", "mostly", "row_condition"}
_TYPES: Mapping[str, tuple[_Split, set[str]]] = {
    "expect_column_values_to_not_be_null": (_nullity, _OF_COLUMN),
    "expect_column_values_to_be_between": (
        _bounds,
        {*_OF_COLUMN, "min_value", "max_value", "strict_min", "strict_max"},
    ),
    _IN_SET: (_in_set, {*_OF_COLUMN, "value_set"}),
    "expect_column_values_to_not_be_in_set": (_not_in_set, {*_OF_COLUMN, "value_set"}),
    "expect_column_pair_values_a_to_be_greater_than_b": (
        _order,
        {"column_A", "column_B", "or_equal", "ignore_row_if", "mostly", "row_condition"},
    ),
}
