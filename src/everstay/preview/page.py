"""A preview as printed tables: rows, counts, problems and readiness."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from everstay import tables as t
from everstay.preview.readiness import Check
from everstay.preview.survey import Survey
from everstay.settings import MappedSource, Source

_SHOWN = (t.EVENT_TYPE, t.OCCURRED_AT, t.USER_ID, t.ITEM_ID, t.ORDER_ID, t.QUANTITY, t.AMOUNT, t.DISCOUNT)
_MOST_PROBLEMS = 10
_VERDICTS = {"good": Text("good", "green"), "look": Text("look", "yellow"), "stop": Text("stop", "red")}


def print_survey(console: Console, survey: Survey, source: Source) -> None:
    """Print what would be stored and what would not."""
    console.rule(f"Preview of the source '{source.kind}': nothing is stored")
    console.print(_first_rows(survey))
    console.print(_columns(survey, source))
    console.print(_types(survey))
    console.print("\n".join(_sentences(survey, source.currency)))
    if survey.problems:
        console.print(_problems(survey))


def print_readiness(console: Console, checks: Sequence[Check]) -> None:
    """Print the checks and what to do next."""
    table = Table(title="Is it enough?", title_justify="left")
    table.add_column("question")
    table.add_column("")
    table.add_column("answer", overflow="fold")
    for check in checks:
        table.add_row(check.question, _VERDICTS[check.verdict], check.words)
    console.print(table)
    stops = sum(check.verdict == "stop" for check in checks)
    if stops:
        console.print(f"Not ready: {stops} of {len(checks)} checks say stop. Fix them and preview again.")
    else:
        console.print("Ready: `make ingest` stores it and validates it on the way, `make train` does everything.")


def _first_rows(survey: Survey) -> Table:
    table = Table(title="The first rows as events", title_justify="left")
    for name in _SHOWN:
        table.add_column(name, overflow="fold")
    for row in survey.first_rows.iter_rows(named=True):
        table.add_row(*(_cell(row[name]) for name in _SHOWN))
    return table


def _columns(survey: Survey, source: Source) -> Table:
    table = Table(title="Columns", title_justify="left")
    for name in ("ours", "theirs", "filled"):
        table.add_column(name, justify="right" if name == "filled" else "left")
    kinds: dict[str, MappedSource] = {"files": source.files, "database": source.database}
    mapped = kinds.get(source.kind)
    for ours, count in survey.filled.items():
        theirs = mapped.columns.get(ours, "") if mapped else ""
        if ours == t.AMOUNT and mapped and mapped.unit_price:
            theirs = f"{mapped.unit_price} × quantity"
        if count or theirs:
            table.add_row(ours, theirs, f"{count / survey.rows_kept:.1%}" if survey.rows_kept else "")
    return table


def _types(survey: Survey) -> Table:
    table = Table(title="Events by type", title_justify="left")
    table.add_column("type")
    table.add_column("events", justify="right")
    for kind, rows in survey.rows_by_type.items():
        table.add_row(kind, f"{rows:,}")
    return table


def _sentences(survey: Survey, currency: str) -> list[str]:
    if survey.first_at is None or survey.last_at is None:
        return [f"{survey.rows_read:,} rows were read, none of them can be stored."]
    money = f"{survey.paid:,.2f} {currency}" if currency else f"{survey.paid:,.2f} (name the currency: source.currency)"
    lines = [
        f"{survey.rows_read:,} rows from {survey.first_at:%Y-%m-%d %H:%M} to {survey.last_at:%Y-%m-%d %H:%M} UTC: "
        f"{survey.users:,} users, {survey.items:,} items, paid {money}.",
        "Also: " + ", ".join(f"{one.rows:,} {one.table}" for one in survey.entities) + ".",
    ]
    if survey.rows_anonymous:
        share = survey.rows_anonymous / survey.rows_kept
        lines.append(f"{survey.rows_anonymous:,} rows ({share:.1%}) are anonymous events: they count for items only.")
    if survey.repeated_share:
        lines.append(
            f"{survey.repeated_share:.2%} of the users' rows repeat another one: each event is stored once. "
            "If they are separate events, map event_id to a column that distinguishes them."
        )
    return lines


def _problems(survey: Survey) -> Table:
    table = Table(title="Rows that cannot be stored", title_justify="left")
    for name in ("rows", "reason", "for example"):
        table.add_column(name, justify="right" if name == "rows" else "left", overflow="fold")
    for problem in survey.problems[:_MOST_PROBLEMS]:
        table.add_row(f"{problem.rows:,}", problem.words, f"{problem.place}: {problem.example}")
    if len(survey.problems) > _MOST_PROBLEMS:
        table.add_row("", f"and {len(survey.problems) - _MOST_PROBLEMS} other reasons", "")
    return table


def _cell(value: object) -> str:
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value).removesuffix("+00:00")
