"""Validate a table part by part in Dask workers, and merge what they found."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import polars as pl

from everstay import tables as t
from everstay.errors import DataRejected
from everstay.partitions import map_parts
from everstay.validation.aggregates import ROW_COUNT, PartAggregates, aggregate_part, merge_aggregates
from everstay.validation.evaluation import Tally, describe_rows, evaluate, merge_tallies
from everstay.validation.report import ExpectationOutcome, ValidationReport
from everstay.validation.suites import Expectation, Suite, load_suite

BATCH_ROWS = 250_000
"""Small parts are put together up to this many rows: Great Expectations takes 10 ms an expectation before any row."""

_MAX_GROUP = 4  # parts that one task reads at most, so that a cluster's workers all get some


@dataclass(frozen=True)
class Findings:
    """What a worker found in some parts: a tally for each expectation of rows, and each part's aggregates."""

    tallies: tuple[Tally, ...]
    aggregates: tuple[PartAggregates, ...]


def validate(
    table: t.Table,
    read: Callable[[int], pl.DataFrame],
    parts: Sequence[int],
    scheduler: str,
    *,
    expectations: Path = Path("expectations"),
) -> ValidationReport:
    """Evaluate the suite of `table`.

    Counts of unexpected rows add up over parts and `mostly` is applied to the total. Uniqueness is judged within a
    part (or more), so all rows of a user must be in one; the aggregate `keys_in_several_parts` finds what is not.

    Args:
        table: what the rows are.
        read: gives one part's rows, in a worker; picklable. Columns beyond the table's are left alone.
        parts: numbers of user buckets, or of other parts; at least one.
        scheduler: address from `partitions.open_cluster`.
        expectations: folder of the suites.

    Raises:
        SettingsError: there is no suite, or it cannot be evaluated.
        DataRejected: a column is missing. Failed expectations do not raise here: see `raise_for_failures`.
    """
    suite = load_suite(table, expectations)
    findings = map_parts(partial(examine_parts, suite=suite, read=read), group_parts(parts), scheduler)
    aggregates = merge_aggregates(table, [one for found in findings for one in found.aggregates])
    # In a worker as well, for this process has no need to import Great Expectations.
    (of_table,) = map_parts(partial(examine_aggregates, suite=suite), [aggregates], scheduler)
    of_rows = iter(_merge_each([found.tallies for found in findings]))
    of_aggregates = iter(of_table)
    outcomes = tuple(
        _judge_aggregate(one, next(of_aggregates), aggregates)
        if one.is_about_table
        else _judge_rows(one, next(of_rows))
        for one in suite.expectations
    )
    return ValidationReport(table.name, _row_count(aggregates), outcomes)


def group_parts(parts: Sequence[int]) -> list[Sequence[int]]:
    """Give the parts each task reads: several when there are many.

    >>> group_parts([0, 1, 2])
    [[0], [1], [2]]
    >>> group_parts([0, 1, 2, 3, 4, 5, 6, 7])
    [[0, 1], [2, 3], [4, 5], [6, 7]]
    """
    size = min(_MAX_GROUP, max(1, len(parts) // _MAX_GROUP))
    return [parts[start : start + size] for start in range(0, len(parts), size)]


def examine_parts(parts: Sequence[int], *, suite: Suite, read: Callable[[int], pl.DataFrame]) -> Findings:
    """Evaluate the expectations of rows on some parts, and aggregate each.

    Raises:
        DataRejected: a part lacks a column of the table or of its suite.
    """
    aggregates: list[PartAggregates] = []
    tallies = []
    batch: list[pl.DataFrame] = []
    for part in parts:
        frame = read(part)
        needed = _select_needed(frame, suite, part)
        aggregates.append(aggregate_part(suite.table, frame))
        batch.append(needed)
        if part == parts[-1] or sum(map(len, batch)) >= BATCH_ROWS:
            tallies.append(evaluate(pl.concat(batch), suite.of_rows, suite.table.key, suite.file))
            batch = []
    return Findings(_merge_each(tallies), tuple(aggregates))


def _select_needed(frame: pl.DataFrame, suite: Suite, part: int) -> pl.DataFrame:
    """Columns of the key and of the suite, after a check that all columns of the table are there."""
    table = suite.table
    looked_at = [name for one in suite.of_rows for name in (*one.columns, *one.condition_columns)]
    missing = sorted({*table.columns, *looked_at}.difference(frame.columns))
    if missing:
        raise DataRejected(f"table {table.name}, part {part}: column(s) {', '.join(missing)} are missing")
    return frame.select(list(dict.fromkeys((*table.key, *looked_at))))


def _merge_each(tallies: Sequence[Sequence[Tally]]) -> tuple[Tally, ...]:
    """Merge what several frames gave, expectation by expectation."""
    return tuple(merge_tallies(of_one) for of_one in zip(*tallies, strict=True))


def examine_aggregates(aggregates: pl.DataFrame, *, suite: Suite) -> tuple[Tally, ...]:
    """Evaluate the expectations of the table level on the one row of merged aggregates."""
    return evaluate(aggregates, suite.of_table, (), suite.file)


def _judge_rows(expectation: Expectation, found: Tally) -> ExpectationOutcome:
    """Apply `mostly` to the total, by Great Expectations' own rule for one batch; no rows are as good as expected."""
    success = found.rows == 0 or (found.rows - found.unexpected) / found.rows >= expectation.mostly
    share = found.unexpected / found.rows if found.rows else 0.0
    return _outcome(expectation, success, found.rows, found.unexpected, share, found.examples)


def _judge_aggregate(expectation: Expectation, found: Tally, aggregates: pl.DataFrame) -> ExpectationOutcome:
    values = describe_rows(aggregates, expectation.columns, ())
    return _outcome(expectation, found.unexpected == 0, _row_count(aggregates), 0, 0.0, values)


def _outcome(
    expectation: Expectation, success: bool, rows: int, unexpected: int, share: float, examples: tuple[str, ...]
) -> ExpectationOutcome:
    columns = ", ".join(expectation.columns)
    return ExpectationOutcome(
        expectation.words, columns, expectation.severity, success, rows, unexpected, share, examples
    )


def _row_count(aggregates: pl.DataFrame) -> int:
    return int(aggregates[ROW_COUNT].item())
