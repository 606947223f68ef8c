"""Great Expectations on one frame: the only code that touches it, imported when the first frame comes.

The import takes seconds; it happens in the workers, and not in a process that only reads reports.
"""

import functools
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

from everstay.errors import SettingsError
from everstay.validation.batches import to_batch
from everstay.validation.suites import Expectation

MAX_EXAMPLES = 3
_MAX_CHARACTERS = 80

# COMPLETE gives the unexpected row numbers in one vectorised step. Naming key columns instead would make Great
# Expectations walk all unexpected rows in Python, so values and keys of the few examples are looked up here.
_RESULT_FORMAT = {"result_format": "COMPLETE", "return_unexpected_index_query": False}

_lock = threading.Lock()  # one context has one place for a frame, and a worker may have several threads


@dataclass(frozen=True)
class Tally:
    """What one expectation found in one frame, or in several.

    Attributes:
        rows: those it applies to; a missing value is none unless it is what is expected not to be.
        unexpected: those that are not as expected.
        examples: a few of them in words.
    """

    rows: int = 0
    unexpected: int = 0
    examples: tuple[str, ...] = ()


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
        SettingsError: Great Expectations does not know an expectation, or cannot evaluate it on these columns, or
            it is none that counts rows.
    """
    if not expectations or frame.is_empty():
        return tuple(Tally() for _ in expectations)
    results = _run(frame, expectations, file)
    return tuple(_read_result(one, results[number], frame, key, file) for number, one in enumerate(expectations))


def _run(frame: pl.DataFrame, expectations: Sequence[Expectation], file: str) -> dict[int, dict[str, Any]]:
    """Give Great Expectations' result by position in `expectations`; it returns them in an order of its own."""
    import great_expectations as gx

    entries = [_build(one, number, file) for number, one in enumerate(expectations)]
    suite = gx.ExpectationSuite(name=file, expectations=entries)  # at once: adding one by one is slow
    with _lock:
        batch = _batch_definition().get_batch({"dataframe": to_batch(frame)})
        outcome = batch.validate(suite, result_format=_RESULT_FORMAT)
    results = (result.to_json_dict() for result in outcome.results)
    return {result["expectation_config"]["meta"]["number"]: result for result in results}


def _build(expectation: Expectation, number: int, file: str) -> Any:
    """Make Great Expectations' object here, for a suite made of dictionaries drops what it does not know."""
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


def _read_result(
    expectation: Expectation, result: dict[str, Any], frame: pl.DataFrame, key: Sequence[str], file: str
) -> Tally:
    found = result["result"]
    if "unexpected_count" not in found:
        reason = _exception_message(result["exception_info"]) or (
            "it counts no rows, so it cannot be merged over parts; expect something of the values of a column, "
            'or of an aggregate with "meta": {"level": "table"}'
        )
        raise SettingsError(f"{file}: {expectation.config['type']} ({expectation.words}): {reason}")
    rows = found["element_count"] - found.get("missing_count", 0)
    bad = frame[found["unexpected_index_list"][:MAX_EXAMPLES]] if found["unexpected_count"] else frame.head(0)
    return Tally(rows, found["unexpected_count"], describe_rows(bad, expectation.columns, key))


def _exception_message(information: dict[str, Any]) -> str:
    """The first message; Great Expectations nests it by metric when a metric raised it."""
    if "exception_message" in information:
        return str(information["exception_message"] or "")
    return next((str(inner["exception_message"]) for inner in information.values()), "")


def describe_rows(rows: pl.DataFrame, columns: Sequence[str], key: Sequence[str]) -> tuple[str, ...]:
    """Say for each row what is in `columns`, and which row it is.

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
