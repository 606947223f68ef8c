"""Great Expectations' verdict on classes of rows, from a few rows of each."""

from collections.abc import Mapping, Sequence

import polars as pl

from everstay.errors import EverstayError
from everstay.validation.classes import split_rows
from everstay.validation.counting import ClassCounts, Place, count_classes
from everstay.validation.evaluation import MAX_EXAMPLES, Found, Tally, describe_rows, find_unexpected
from everstay.validation.facts import Facts
from everstay.validation.suites import Expectation


def count_alike(frame: pl.DataFrame, expectations: Sequence[Expectation]) -> ClassCounts:
    """Count the rows of `frame` by the classes of those expectations that have classes."""
    facts = Facts(frame.schema)
    classes = {number: split for number, one in enumerate(expectations) if (split := split_rows(one, facts))}
    return count_classes(frame, classes, facts)


def judge_classes(
    counts: ClassCounts, expectations: Sequence[Expectation], key: Sequence[str], file: str
) -> tuple[Tally, ...]:
    """Give what evaluating all counted rows would give; an empty tally where an expectation has no classes.

    Raises:
        SettingsError: as `evaluate`.
        EverstayError: rows of a class are judged differently.
    """
    numbers = sorted({number for number, _ in counts.counts})
    judged = [expectations[number] for number in numbers]
    found = dict(zip(numbers, find_unexpected(counts.rows, judged, file), strict=True))
    kept = count_alike(counts.rows, expectations)
    tallies = [Tally() for _ in expectations]
    for number in numbers:
        bad = _unexpected_classes(number, counts, found[number])
        _check(number, bad, kept, found[number], f"{file}: {expectations[number].words}")
        examples = sorted(position for place in bad for position in counts.kept[place])[:MAX_EXAMPLES]
        tallies[number] = Tally(
            sum(count for place, count in counts.counts.items() if place[0] == number and place in counts.applies),
            sum(counts.counts[place] for place in bad),
            describe_rows(counts.rows[examples], expectations[number].columns, key),
        )
    return tuple(tallies)


def _unexpected_classes(number: int, counts: ClassCounts, found: Found) -> list[Place]:
    """Classes of one expectation whose first row is unexpected."""
    bad = set(found.unexpected)
    return [place for place, positions in counts.kept.items() if place[0] == number and positions[0] in bad]


def _check(number: int, bad: Sequence[Place], kept: ClassCounts, found: Found, name: str) -> None:
    """Check that judging the kept rows one by one gives the same as judging them by class."""
    own: Mapping[Place, int] = {place: count for place, count in kept.counts.items() if place[0] == number}
    rows = sum(count for place, count in own.items() if place in kept.applies)
    unexpected = sum(count for place, count in own.items() if place in bad)
    if (rows, unexpected) != (found.rows, len(found.unexpected)):
        raise EverstayError(
            f"{name}: Great Expectations finds {len(found.unexpected)} of {found.rows} rows unexpected, their classes "
            f"{unexpected} of {rows}; this version of it judges rows of one class differently: please report it"
        )
