"""Validate a table part by part in Dask workers, and merge what they found (docs/decisions/0009)."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import polars as pl

from everstay import tables as t
from everstay.errors import DataRejected
from everstay.partitions import map_parts
from everstay.validation.aggregates import PartAggregates, aggregate_part, merge_aggregates, shared_keys
from everstay.validation.causes import find_causes
from everstay.validation.classes import code_words
from everstay.validation.counting import ClassCounts, merge_counts
from everstay.validation.evaluation import Tally, describe_rows, evaluate, merge_tallies
from everstay.validation.judging import count_alike, judge_classes
from everstay.validation.recipes import ROW_COUNT
from everstay.validation.report import ExpectationOutcome, ValidationReport
from everstay.validation.suites import Expectation, Suite, load_suite
from everstay.validation.uniqueness import evaluate_uniqueness, is_of_uniqueness

BATCH_ROWS = 250_000
"""Small parts are combined until they have this many rows, as each query and each evaluation has a fixed cost."""

_MAX_GROUP = 4  # parts that one task reads at most, so that a cluster's workers all get some


@dataclass(frozen=True)
class Findings:
    """What a worker found in some parts.

    Attributes:
        tallies: one for each row-level expectation; empty where its rows are counted by classes.
        counts: rows by class, not yet judged.
        aggregates: of each part.
    """

    tallies: tuple[Tally, ...]
    counts: ClassCounts
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
        read: gives one part's rows, in a worker; picklable. Columns beyond the table's are ignored.
        parts: numbers of user buckets, or of other parts; at least one.
        scheduler: address from `partitions.open_cluster`.
        expectations: folder of the suites.

    Raises:
        SettingsError: there is no suite, or it cannot be evaluated.
        DataRejected: a column is missing. Failed expectations do not raise here: see `raise_for_failures`.
    """
    suite = load_suite(table, expectations)
    findings = map_parts(partial(examine_parts, suite=suite, read=read, of=len(parts)), group_parts(parts), scheduler)
    of_parts = [one for found in findings for one in found.aggregates]
    aggregates = merge_aggregates(table, of_parts)
    causes = partial(
        find_causes,
        aggregates=aggregates,
        shared=shared_keys(of_parts),
        read=read,
        parts=parts,
        scheduler=scheduler,
    )
    totals = (merge_counts([found.counts for found in findings]), aggregates)
    # In a worker as well, so that this process need not import Great Expectations.
    ((of_classes, of_table),) = map_parts(partial(judge_totals, suite=suite), [totals], scheduler)
    of_rows = iter(_merge_each([*(found.tallies for found in findings), of_classes]))
    of_aggregates = iter(of_table)
    outcomes = tuple(
        _judge_aggregate(one, next(of_aggregates), aggregates, partial(causes, table))
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


def examine_parts(parts: Sequence[int], *, suite: Suite, read: Callable[[int], pl.DataFrame], of: int) -> Findings:
    """Examine the rows of some of `of` parts, and aggregate each part.

    Raises:
        DataRejected: a part lacks a column of the table or of its suite.
    """
    aggregates: list[PartAggregates] = []
    found: list[tuple[tuple[Tally, ...], ClassCounts]] = []
    batch: list[pl.DataFrame] = []
    needed = list(dict.fromkeys((*suite.table.key, *_looked_at(suite))))
    for part in parts:
        batch.append(_read_coded(part, suite, read))  # unnamed, so that it is freed before the next one is read
        aggregates.append(aggregate_part(suite.table, batch[-1], of))
        if part == parts[-1] or sum(map(len, batch)) >= BATCH_ROWS:
            found.append(examine_rows(pl.concat(batch).select(needed), suite))
            batch.clear()
    tallies, counts = zip(*found, strict=True)
    return Findings(_merge_each(tallies), merge_counts(counts), tuple(aggregates))


def examine_rows(frame: pl.DataFrame, suite: Suite) -> tuple[tuple[Tally, ...], ClassCounts]:
    """Count rows by class for the expectations that have classes, and evaluate the others."""
    counts = count_alike(frame, suite.of_rows)
    others = {number: one for number, one in enumerate(suite.of_rows) if number not in counts.expectations}
    of_uniqueness = {number: one for number, one in others.items() if is_of_uniqueness(one, frame)}
    in_full = [number for number in others if number not in of_uniqueness]
    key, file = suite.table.key, suite.file
    tallies = dict(zip(in_full, evaluate(frame, [others[number] for number in in_full], key, file), strict=True))
    for number, one in of_uniqueness.items():
        tallies[number] = evaluate_uniqueness(frame, one, key, file)
    return tuple(tallies.get(number, Tally()) for number in range(len(suite.of_rows))), counts


def judge_totals(
    totals: tuple[ClassCounts, pl.DataFrame], *, suite: Suite
) -> tuple[tuple[Tally, ...], tuple[Tally, ...]]:
    """Judge the classes of rows of all parts, and the one row of merged aggregates."""
    counts, aggregates = totals
    of_rows = judge_classes(counts, suite.of_rows, suite.table.key, suite.file)
    return of_rows, evaluate(aggregates, suite.of_table, (), suite.file)


def _read_coded(part: int, suite: Suite, read: Callable[[int], pl.DataFrame]) -> pl.DataFrame:
    frame = read(part)
    _check_columns(frame, suite, part)
    return code_words(frame, suite.of_rows)


def _check_columns(frame: pl.DataFrame, suite: Suite, part: int) -> None:
    missing = sorted({*suite.table.columns, *_looked_at(suite)}.difference(frame.columns))
    if missing:
        raise DataRejected(f"table {suite.table.name}, part {part}: column(s) {', '.join(missing)} are missing")


def _looked_at(suite: Suite) -> Iterator[str]:
    return (name for one in suite.of_rows for name in (*one.columns, *one.condition_columns))


def _merge_each(tallies: Sequence[Sequence[Tally]]) -> tuple[Tally, ...]:
    """Merge what several frames gave, expectation by expectation."""
    return tuple(merge_tallies(of_one) for of_one in zip(*tallies, strict=True))


def _judge_rows(expectation: Expectation, found: Tally) -> ExpectationOutcome:
    """Apply `mostly` to the total, by Great Expectations' own rule for one batch; no rows count as a success."""
    success = found.rows == 0 or (found.rows - found.unexpected) / found.rows >= expectation.mostly
    share = found.unexpected / found.rows if found.rows else 0.0
    return _outcome(expectation, success, found.rows, found.unexpected, share, found.examples)


def _judge_aggregate(
    expectation: Expectation, found: Tally, aggregates: pl.DataFrame, causes: Callable[[str], tuple[str, ...]]
) -> ExpectationOutcome:
    """Report the aggregate's value and, when it is not as expected, what is behind it."""
    values = describe_rows(aggregates, expectation.columns, ())
    if found.unexpected:
        values += tuple(cause for column in expectation.columns for cause in causes(column))
    return _outcome(expectation, found.unexpected == 0, _row_count(aggregates), 0, 0.0, values)


def _outcome(
    expectation: Expectation, success: bool, rows: int, unexpected: int, share: float, examples: tuple[str, ...]
) -> ExpectationOutcome:
    columns = ", ".join(expectation.columns)
    return ExpectationOutcome(
        expectation.words, columns, expectation.severity, success, rows, unexpected, share, examples, expectation.advice
    )


def _row_count(aggregates: pl.DataFrame) -> int:
    return int(aggregates[ROW_COUNT].item())
