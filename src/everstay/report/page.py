"""A report as one self-contained HTML page: no script, no font or picture from elsewhere; it prints as it looks."""

import base64
import re
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from everstay.report.document import Cell, Column, Picture, Report, Table

_MINUS = "\N{MINUS SIGN}"
_SHORT = 31  # characters that fit into a column unbroken
_TEMPLATE = "page.html.jinja"


def render(report: Report) -> str:
    """The page as HTML; the same report gives the same text."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.globals |= {
        "cell": cell,
        "picture": picture,
        "anchor": anchor,
        "shade": shade,
        "alignments": alignments,
    }
    template = environment.from_string(files(__package__).joinpath(_TEMPLATE).read_text(encoding="utf-8"))
    return template.render(report=report)


def write_page(report: Report, path: Path) -> Path:
    """Write the page and give its path back; folders on the way are made, an older page is replaced."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render(report), encoding="utf-8")
    return path


def cell(value: Cell, column: Column) -> str:
    """A cell's text; true minus signs, and a dash for what is not a number.

    >>> cell(1234.5, Column("money", ",.2f")), cell(None, Column("money")), cell(float("nan"), Column("money"))
    ('1,234.50', '', '–')
    """
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return "–" if value != value else format(value, column.form).replace("-", _MINUS)


def alignments(table: Table) -> list[str]:
    """For each column: `number`, right-aligned; `short`, not wrapped; or `words`."""
    return [_alignment([row[place] for row in table.rows]) for place in range(len(table.columns))]


def _alignment(cells: Sequence[Cell]) -> str:
    if any(isinstance(value, int | float) for value in cells):
        return "number"
    return "short" if all(len(str(value)) <= _SHORT for value in cells) else "words"


def picture(shown: Picture) -> Markup:
    """SVG as it is; PNG as a data URI."""
    if isinstance(shown.content, str):
        return Markup(shown.content[shown.content.index("<svg") :])
    data = base64.b64encode(shown.content).decode()
    return Markup('<img alt="{}" src="data:image/png;base64,{}">').format(shown.caption, data)


def shade(value: float) -> str:
    """Background of a cell: the higher the value, the deeper.

    >>> shade(0.5)
    'background: rgba(23, 92, 142, 0.34)'
    """
    return f"background: rgba(23, 92, 142, {0.68 * min(max(value, 0.0), 1.0):.2f})"


def anchor(title: str) -> str:
    """A heading's anchor in a URL.

    >>> anchor("Retention as a curve")
    'retention-as-a-curve'
    """
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
