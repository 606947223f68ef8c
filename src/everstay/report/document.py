"""A report before it is a page: sections of words, tables and pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from everstay.metrics.comparison import Interval

Cell = str | int | float | None
Tone = Literal["", "good", "look", "stop"]


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        name: heading.
        form: how its numbers are written, as in `format`; words stay as they are.
    """

    name: str
    form: str = ",.4g"


@dataclass(frozen=True)
class Table:
    """Rows of cells.

    Attributes:
        caption: what it shows, in a sentence.
        columns: of every row.
        rows: cells in the order of the columns; None is an empty cell.
        shades: cell (row, column) to a number within 0 to 1 that it is coloured by, as in a cohort table.
        marked: rows that stand out, such as the chosen candidate.
        fold: whether the table is collapsed until the reader opens it.
    """

    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    shades: Mapping[tuple[int, int], float] | None = None
    marked: frozenset[int] = frozenset()
    fold: bool = False


@dataclass(frozen=True)
class Picture:
    """A picture embedded in the page.

    Attributes:
        caption: what it shows.
        content: SVG text or PNG bytes.
    """

    caption: str
    content: str | bytes


@dataclass(frozen=True)
class Badge:
    """One word or number that sums up a section, with its colour."""

    label: str
    value: str
    tone: Tone = ""


@dataclass(frozen=True)
class Section:
    """One part of a report.

    Attributes:
        title: heading.
        words: paragraphs before the tables.
        badges: key figures, shown on top.
        tables: in order.
        pictures: in order.
    """

    title: str
    words: Sequence[str] = ()
    badges: Sequence[Badge] = ()
    tables: Sequence[Table] = ()
    pictures: Sequence[Picture] = ()


@dataclass(frozen=True)
class Report:
    """A page.

    Attributes:
        title: of the page.
        subtitle: what it is about, in a sentence.
        badges: key figures of the whole.
        sections: in order.
        notes: what a reader must know to read the numbers; at the end.
    """

    title: str
    subtitle: str
    sections: Sequence[Section]
    badges: Sequence[Badge] = ()
    notes: Sequence[str] = ()


def with_bounds(interval: Interval | None, form: str = ".3f") -> str:
    """A figure and its bounds in one cell; an exact one has none.

    >>> with_bounds(Interval(0.5, 0.42, 0.58), ".0%"), with_bounds(Interval(0.5, 0.5, 0.5), ".0%")
    ('50% (42%–58%)', '50%')
    """
    if interval is None:
        return ""
    if interval.low == interval.high:
        return f"{interval.value:{form}}"
    return f"{interval.value:{form}} ({interval.low:{form}}–{interval.high:{form}})"
