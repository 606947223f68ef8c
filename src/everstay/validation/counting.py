"""Count the rows of each class, and keep the first few of each: what Great Expectations judges, and examples."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import polars as pl
import polars.selectors as cs

from everstay.validation.classes import RowClass
from everstay.validation.evaluation import MAX_EXAMPLES
from everstay.validation.facts import Facts

_FIRST_LOOK = 4_096  # rows; most classes that occur do so early, and counting is cheaper than finding

Place: TypeAlias = tuple[int, str]
"""Number of a row-level expectation, and name of a class."""


@dataclass(frozen=True)
class ClassCounts:
    """Rows of each class that occurs.

    Attributes:
        expectations: numbers of those that have classes.
        counts: rows of the class.
        applies: the places whose class the expectation applies to.
        kept: where in `rows` its first `MAX_EXAMPLES` are, in order.
        rows: kept rows, in order.
    """

    expectations: frozenset[int]
    counts: Mapping[Place, int]
    applies: frozenset[Place]
    kept: Mapping[Place, tuple[int, ...]]
    rows: pl.DataFrame


def count_classes(frame: pl.DataFrame, classes: Mapping[int, Sequence[RowClass]], facts: Facts) -> ClassCounts:
    """Count the rows of `frame` by the classes of each numbered expectation, which are defined by `facts`."""
    known = facts.compute(frame)
    members = {(number, one.name): one for number, split in classes.items() for one in split}
    counts = {place: size for place, size in _count_each(known, classes).items() if size}
    places = _find_first(known, {place: members[place].is_member for place in counts}, counts)
    numbers, kept = _renumber(places)
    applies = frozenset(place for place in counts if members[place].applies)
    rows = frame[numbers].with_columns((cs.categorical() | cs.enum()).cast(pl.String))  # codes differ between parts
    return ClassCounts(frozenset(classes), counts, applies, kept, rows)


def _count_each(known: pl.DataFrame, classes: Mapping[int, Sequence[RowClass]]) -> dict[Place, int]:
    """Count all classes; each row has exactly one, so the last of a split is the remainder."""
    firsts = {(number, one.name): one.is_member.sum() for number, split in classes.items() for one in split[:-1]}
    counts = _select(known, firsts)
    for number, split in classes.items():
        counts[number, split[-1].name] = len(known) - sum(counts[number, one.name] for one in split[:-1])
    return counts


def merge_counts(parts: Sequence[ClassCounts]) -> ClassCounts:
    """Add up the counts of several frames and keep the first rows of all; `parts` holds at least one."""
    counts: Counter[Place] = Counter()
    kept: dict[Place, tuple[int, ...]] = {}
    offset = 0
    for part in parts:
        counts.update(part.counts)
        for place, positions in part.kept.items():
            moved = (position + offset for position in positions)
            kept[place] = (*kept.get(place, ()), *moved)[:MAX_EXAMPLES]
        offset += len(part.rows)
    rows = pl.concat([part.rows for part in parts], how="vertical_relaxed")
    numbers, kept = _renumber(kept)
    expectations = frozenset().union(*(part.expectations for part in parts))
    applies = frozenset().union(*(part.applies for part in parts))
    return ClassCounts(expectations, counts, applies, kept, rows[numbers])


def _renumber(places: Mapping[Place, Sequence[int]]) -> tuple[list[int], dict[Place, tuple[int, ...]]]:
    """Give the row numbers that are used, in order, and for each class their positions among these."""
    numbers = sorted({number for found in places.values() for number in found})
    position = {number: index for index, number in enumerate(numbers)}
    return numbers, {place: tuple(position[number] for number in found) for place, found in places.items()}


def _find_first(
    known: pl.DataFrame, members: Mapping[Place, pl.Expr], counts: Mapping[Place, int]
) -> dict[Place, list[int]]:
    """Row numbers of the first few rows of each class."""

    def look(rows: pl.DataFrame, places: Iterable[Place]) -> dict[Place, list[int]]:
        first = {place: members[place].arg_true().head(MAX_EXAMPLES).implode() for place in places}
        return _select(rows, first)

    found = look(known.head(_FIRST_LOOK), members)
    lacking = [place for place, rows in found.items() if len(rows) < min(MAX_EXAMPLES, counts[place])]
    return {**found, **look(known, lacking)}


def _select(frame: pl.DataFrame, expressions: Mapping[Place, pl.Expr]) -> dict[Place, Any]:
    """One value per expression."""
    if not expressions:
        return {}
    named = {str(number): expression for number, expression in enumerate(expressions.values())}
    return dict(zip(expressions, frame.select(**named).row(0), strict=True))
