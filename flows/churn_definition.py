"""Horizon advice: how long people wait between orders, and whom each definition of churn would call a leaver."""

from datetime import UTC, datetime, time
from pathlib import Path

from prefect import flow

from everstay.churn.encoding import MODEL_COLUMNS
from everstay.report import Report
from everstay.retention import definition_section
from everstay.settings import load_settings
from flows import runtime, summary, tasks


@flow(name="churn-definition")
def churn_definition(scheduler: str | None = None) -> Path:
    """Write `churn-definition.html`, print it, and give its path. With `as_of` set nothing later is used.

    Args:
        scheduler: Dask scheduler of a calling flow.

    Raises:
        NotReady: there are no events, or nobody bought twice.
    """
    settings = load_settings()
    snapshot = runtime.open_lake(settings).snapshot()
    known_until = snapshot.recorded_until
    if settings.as_of is not None:
        known_until = min(known_until, datetime.combine(settings.as_of, time(), UTC))
    with runtime.dask_scheduler(settings, scheduler) as address:
        found = tasks.advise_definition(snapshot, snapshot.first_event_at, known_until, settings.churn, address)
    section = definition_section(found, settings.churn, len(MODEL_COLUMNS))
    report = Report("Horizon advice", f"Based on data known until {known_until:%Y-%m-%d %H:%M} UTC.", [section])
    page = tasks.write_page(report, Path(settings.report_folder, "churn-definition.html"))
    summary.print_section(section)
    summary.print_report(page)
    return page


if __name__ == "__main__":
    runtime.run(churn_definition)
