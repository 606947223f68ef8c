"""What was warned and what happened: every past publication beside the labels that have matured since, as a page."""

from datetime import datetime
from pathlib import Path

import polars as pl
from prefect import flow

from everstay import tables as t
from everstay.errors import NotReady
from everstay.lake import Snapshot
from everstay.registry.store import Registry
from everstay.registry.versions import get_version
from everstay.report import Report, Section
from everstay.scoring.back_test import back_test as judge
from everstay.scoring.back_test import mature_as_ofs
from everstay.scoring.back_test_page import back_test_section
from everstay.settings import Settings, load_settings
from flows import runtime, summary, tasks


@flow(name="back-test")
def back_test(scheduler: str | None = None) -> Path:
    """Write `back-test.html` and give its path.

    Args:
        scheduler: Dask scheduler of a calling flow.

    Raises:
        NotReady: there are no events, or nothing was published.
    """
    settings = load_settings()
    snapshot = runtime.open_lake(settings).snapshot()
    with runtime.dask_scheduler(settings, scheduler) as address:
        section = back_test_part(snapshot, settings, address)
    report = Report("Back-test", f"Publications until {snapshot.recorded_until:%Y-%m-%d}.", [section])
    page = tasks.write_page(report, Path(settings.report_folder, "back-test.html"))
    summary.print_section(section)
    summary.print_report(page)
    return page


def back_test_part(snapshot: Snapshot, settings: Settings, scheduler: str) -> Section:
    """The back-test of every publication, by the present definition of leaving.

    Raises:
        NotReady: nothing was published.
    """
    scores = runtime.open_lake(settings).read(t.CHURN_SCORES)
    if scores is None or scores.is_empty():
        raise NotReady("no churn scores are published yet: run `make score`")
    known_until = snapshot.recorded_until
    labels = t.CHURN_LABELS.empty()
    if mature := mature_as_ofs(scores, settings.churn, known_until):
        folder = runtime.parts_folder(settings, "back_test_labels")
        parts = tasks.compute_labels(snapshot, mature, settings.churn, known_until, folder, scheduler)
        labels = parts.read_all()
        parts.remove()
    past = judge(scores, labels, _judged_at(scores, settings), settings.churn, settings.promotion, known_until)
    return back_test_section(past, settings.promotion.confidence)


def _judged_at(scores: pl.DataFrame, settings: Settings) -> dict[str, datetime]:
    """The as-of that each model version was judged at: it learned from labels that were known then."""
    registry = Registry(settings.mlflow)
    versions = scores[t.MODEL_VERSION].unique().to_list()
    return {version: datetime.fromisoformat(get_version(registry, "churn", version).as_of) for version in versions}


if __name__ == "__main__":
    runtime.run(back_test)
