"""Validation reports for people: one self-contained HTML page, or Markdown for the orchestrator."""

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from everstay.validation.report import ExpectationOutcome, ValidationReport
from everstay.validation.suites import CRITICAL

_TEMPLATE = "page.html.jinja"


def write_report(reports: Sequence[ValidationReport], folder: Path) -> Path:
    """Write `validation-<table>-<table>….html` and return its path; an older page about the same tables is replaced.

    Args:
        reports: at least one.
        folder: created if absent.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.globals["verdict"] = verdict
    template = environment.from_string(files(__package__).joinpath(_TEMPLATE).read_text(encoding="utf-8"))
    page = folder / f"validation-{'-'.join(report.table for report in reports)}.html"
    folder.mkdir(parents=True, exist_ok=True)
    page.write_text(template.render(reports=[(report, worst_first(report)) for report in reports]), encoding="utf-8")
    return page


def to_markdown(reports: Sequence[ValidationReport]) -> str:
    """A summary table, then a list of what failed."""
    lines = ["| table | rows | expectations | failed | warnings |", "|---|---:|---:|---:|---:|"]
    lines += [
        f"| {one.table} | {one.rows:,} | {len(one.outcomes)} | {len(one.failures)} | {len(one.warnings)} |"
        for one in reports
    ]
    found = [(report.table, one) for report in reports for one in (*report.failures, *report.warnings)]
    if found:
        lines.append("")
    lines += [f"- **{verdict(one)}** {table}, {_plain(one.describe())}" for table, one in found]
    return "\n".join(lines) + "\n"


def verdict(outcome: ExpectationOutcome) -> str:
    """One word for an outcome: ok, warning or failed."""
    if outcome.success:
        return "ok"
    return "failed" if outcome.severity == CRITICAL else "warning"


def worst_first(report: ValidationReport) -> list[ExpectationOutcome]:
    """Failures, then warnings, then the rest, each in the order of the suite."""
    fine = [one for one in report.outcomes if one.success]
    return [*report.failures, *report.warnings, *fine]


def _plain(text: str) -> str:
    """Keep a shop's own values from being read as Markdown or HTML."""
    escaped = "".join(f"\\{character}" if character in "\\`*_[]|<>#" else character for character in text)
    return " ".join(escaped.split())
