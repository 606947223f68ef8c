"""A benchmark's result: rows of case, metric, value, bounds and unit, printed as a table and written as JSON."""

import argparse
import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from everstay.metrics.comparison import Interval


@dataclass(frozen=True)
class Row:
    """One measured number; `low` and `high` are None where there is no interval."""

    case: str
    metric: str
    value: float
    low: float | None
    high: float | None
    unit: str


def measured(case: str, metric: str, value: float, unit: str) -> Row:
    """A number without an interval, for example seconds."""
    return Row(case, metric, value, None, None, unit)


def estimated(case: str, metric: str, interval: Interval, unit: str = "") -> Row:
    """A number with its bootstrap interval."""
    return Row(case, metric, interval.value, interval.low, interval.high, unit)


def count(text: str) -> int:
    """An argument that counts something: at least 1.

    >>> count("3")
    3
    """
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number above 0")
    return int(text)


def parse_arguments(description: str, parser: argparse.ArgumentParser | None = None) -> argparse.Namespace:
    """Every benchmark's arguments: `--json FILE`, and those already on `parser`."""
    parser = parser or argparse.ArgumentParser(description=description)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows to FILE")
    return parser.parse_args()


def tell_progress() -> None:
    """Log progress, even after an import of Prefect, which suppresses it outside of flows."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", force=True)


def show(title: str, rows: Sequence[Row], json_file: Path | None) -> None:
    """Print the rows as a table, one column per metric; write them when a file is named."""
    metrics = list(dict.fromkeys(row.metric for row in rows))
    table = Table(title=title)
    table.add_column("case")
    for metric in metrics:
        table.add_column(metric, justify="right")
    for case in dict.fromkeys(row.case for row in rows):
        cells = {row.metric: _cell(row) for row in rows if row.case == case}
        table.add_row(case, *(cells.get(metric, "") for metric in metrics))
    Console(width=max(100, 26 * (1 + len(metrics))), markup=False).print(table)  # cases name files and columns
    if json_file is not None:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")


def _cell(row: Row) -> str:
    unit = f" {row.unit}" if row.unit else ""
    if row.low is None or row.high is None:
        return f"{row.value:,.2f}{unit}"
    return f"{row.value:.4f} ({row.low:.4f}–{row.high:.4f}){unit}"
