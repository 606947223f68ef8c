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


@dataclass(frozen=True)
class PartFindings:
    """What a worker found in one part: a tally for each expectation of rows, and the aggregates."""

    tallies: tuple[Tally, ...]
    aggregates: PartAggregates


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
    part, so all rows of a user must be in one; the aggregate `keys_in_several_parts` watches over what is not.

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
    findings = map_parts(partial(examine_part, suite=suite, read=read), parts, scheduler)
    aggregates = merge_aggregates(table, [found.aggregates for found in findings])
    # In a worker as well, for this process has no need to import Great Expectations.
    (of_table,) = map_parts(partial(examine_aggregates, suite=suite), [aggregates], scheduler)
    of_rows = iter([merge_tallies(tallies) for tallies in zip(*(found.tallies for found in findings), strict=True)])
    of_aggregates = iter(of_table)
    outcomes = tuple(
        _judge_aggregate(one, next(of_aggregates), aggregates)
        if one.is_about_table
        else _judge_rows(one, next(of_rows))
        for one in suite.expectations
    )
    return ValidationReport(table.name, _row_count(aggregates), outcomes)


def examine_part(part: int, *, suite: Suite, read: Callable[[int], pl.DataFrame]) -> PartFindings:
    """Evaluate the expectations of rows on one part, and aggregate it.

    Raises:
        DataRejected: the part lacks a column of the table or of its suite.
    """
    frame = read(part)
    table = suite.table
    looked_at = [name for one in suite.of_rows for name in (*one.columns, *one.condition_columns)]
    missing = sorted({*table.columns, *looked_at}.difference(frame.columns))
    if missing:
        raise DataRejected(f"table {table.name}, part {part}: column(s) {', '.join(missing)} are missing")
    needed = frame.select(list(dict.fromkeys((*table.key, *looked_at))))
    return PartFindings(evaluate(needed, suite.of_rows, table.key, suite.file), aggregate_part(table, frame))


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
