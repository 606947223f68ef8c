"""Great Expectations on one frame: the only code that touches it, imported when the first frame comes.

The import takes seconds; it happens in the workers, and not in a process that only reads reports.
"""

import functools
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

from everstay.errors import SettingsError
from everstay.validation.batches import to_batch
from everstay.validation.suites import Expectation

MAX_EXAMPLES = 3
_MAX_CHARACTERS = 80

# Most expectations hold, and counts are cheapest. For the others COMPLETE gives the unexpected row numbers in one
# vectorised step. Naming key columns instead would make Great Expectations walk all unexpected rows in Python, so
# values and keys of the few examples are looked up here.
_COUNTS = {"result_format": "BASIC", "partial_unexpected_count": 0}
_ROW_NUMBERS = {"result_format": "COMPLETE", "return_unexpected_index_query": False}

_lock = threading.Lock()  # one context has one place for a frame, and a worker may have several threads


@dataclass(frozen=True)
class Tally:
    """What one expectation found in one frame, or in several.

    Attributes:
        rows: those it applies to; missing values do not count, unless the expectation is about missing values.
        unexpected: those that are not as expected.
        examples: a few of them in words.
    """

    rows: int = 0
    unexpected: int = 0
    examples: tuple[str, ...] = ()


@dataclass(frozen=True)
class Found:
    """Rows of a frame that an expectation applies to, and the numbers of those that are unexpected, ascending."""

    rows: int
    unexpected: Sequence[int]


def merge_tallies(tallies: Sequence[Tally]) -> Tally:
    """Add up the counts and keep the first few examples."""
    examples = [example for tally in tallies for example in tally.examples]
    return Tally(
        sum(tally.rows for tally in tallies), sum(tally.unexpected for tally in tallies), tuple(examples[:MAX_EXAMPLES])
    )


def evaluate(
    frame: pl.DataFrame, expectations: Sequence[Expectation], key: Sequence[str], file: str
) -> tuple[Tally, ...]:
    """Evaluate expectations about columns of `frame`.

    Args:
        frame: holds their columns and the key.
        expectations: of rows, or of the table level when `frame` is the row of aggregates.
        key: columns by which an example is named.
        file: the suite's, for messages.

    Raises:
        SettingsError: Great Expectations does not know an expectation, or cannot evaluate it on these columns, or it
            does not count rows.
    """
    return tuple(
        Tally(
            found.rows, len(found.unexpected), describe_rows(frame[found.unexpected[:MAX_EXAMPLES]], one.columns, key)
        )
        for one, found in zip(expectations, find_unexpected(frame, expectations, file), strict=True)
    )


def find_unexpected(frame: pl.DataFrame, expectations: Sequence[Expectation], file: str) -> list[Found]:
    """Find the unexpected rows of `frame` of each expectation; raises as `evaluate`."""
    if not expectations or frame.is_empty():
        return [Found(0, ()) for _ in expectations]
    with _lock:
        batch = _batch_definition().get_batch({"dataframe": to_batch(frame)})
        counts = _run(batch, expectations, _COUNTS, file)
        broken = [one for one, found in zip(expectations, counts, strict=True) if found["unexpected_count"]]
        row_numbers = iter(_run(batch, broken, _ROW_NUMBERS, file) if broken else [])
    return [
        Found(
            found["element_count"] - found.get("missing_count", 0),
            next(row_numbers)["unexpected_index_list"] if found["unexpected_count"] else (),
        )
        for found in counts
    ]


def _run(
    batch: Any, expectations: Sequence[Expectation], result_format: Mapping[str, Any], file: str
) -> list[dict[str, Any]]:
    """Give Great Expectations' result of each expectation, in order; it returns them in an order of its own."""
    import great_expectations as gx

    entries = [_build(one, number, file) for number, one in enumerate(expectations)]
    suite = gx.ExpectationSuite(name=file, expectations=entries)  # at once: adding one by one is slow
    results = [result.to_json_dict() for result in batch.validate(suite, result_format=dict(result_format)).results]
    results.sort(key=lambda result: result["expectation_config"]["meta"]["number"])
    return [_read_result(one, result, file) for one, result in zip(expectations, results, strict=True)]


def _build(expectation: Expectation, number: int, file: str) -> Any:
    """Build Great Expectations' object here, as a suite built from dictionaries drops what it does not know."""
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    try:
        return ExpectationConfiguration(**{**expectation.config, "meta": {"number": number}}).to_domain_obj()
    except Exception as error:  # an unknown type is theirs, a wrong argument is pydantic's, a wrong value is either's
        place = f"{file}: {expectation.config['type']} ({expectation.words})"
        raise SettingsError(f"{place} is refused by Great Expectations: {error}") from error


@functools.cache
def _batch_definition() -> Any:
    """Where a process puts its frames: one ephemeral context that draws no progress bars."""
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    return (
        context.data_sources.add_pandas("parts").add_dataframe_asset("part").add_batch_definition_whole_dataframe("all")
    )


def _read_result(expectation: Expectation, result: dict[str, Any], file: str) -> dict[str, Any]:
    found: dict[str, Any] = result["result"]
    if "unexpected_count" not in found:
        reason = _exception_message(result["exception_info"]) or (
            "it counts no rows, so its parts cannot be merged; expect something of a column's values, "
            'or of an aggregate with "meta": {"level": "table"}'
        )
        raise SettingsError(f"{file}: {expectation.config['type']} ({expectation.words}): {reason}")
    return found


def _exception_message(information: dict[str, Any]) -> str:
    """The first message; Great Expectations nests it by metric when a metric raised it."""
    if "exception_message" in information:
        return str(information["exception_message"] or "")
    return next((str(inner["exception_message"]) for inner in information.values()), "")


def describe_rows(rows: pl.DataFrame, columns: Sequence[str], key: Sequence[str]) -> tuple[str, ...]:
    """Describe each row by its values in `columns` and its key.

    >>> describe_rows(pl.DataFrame({"quantity": [-3, None], "event_id": ["e1", "e2"]}), ["quantity"], ["event_id"])
    ('quantity = -3 where event_id = e1', 'quantity is missing where event_id = e2')
    """
    names = [name for name in key if name not in columns]
    return tuple(
        _describe(row, columns) + (f" where {_describe(row, names)}" if names else "")
        for row in rows.iter_rows(named=True)
    )


def _describe(row: dict[str, Any], columns: Sequence[str]) -> str:
    return ", ".join(f"{name} {_describe_value(row[name])}" for name in columns)


def _describe_value(value: Any) -> str:
    if value is None:
        return "is missing"
    text = value.isoformat(sep=" ") if isinstance(value, datetime) else str(value)
    text = f"{text[:_MAX_CHARACTERS]}…" if len(text) > _MAX_CHARACTERS else text
    return f"= {text or '(empty)'}"
