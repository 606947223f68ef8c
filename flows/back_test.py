"""What was warned and what happened: every past publication beside the labels that have matured since, as a page."""

from datetime import datetime
from pathlib import Path

import polars as pl
from prefect import flow

from everstay import tables as t
from everstay.errors import NotReady
from everstay.lake import Snapshot
from everstay.registry.refs import ModelRef
from everstay.registry.store import Registry
from everstay.registry.tracking import logged_settings
from everstay.registry.versions import known_versions
from everstay.report import Report, Section
from everstay.scoring.back_test import back_test as judge
from everstay.scoring.back_test_page import back_test_section
from everstay.scoring.leaving import learned_definition, mature_as_ofs, with_definitions
from everstay.settings import Churn, Settings, load_settings
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
    """The back-test of every publication, by the definition of leaving that it was made with.

    Raises:
        NotReady: nothing was published.
    """
    scores = runtime.open_lake(settings).read(t.CHURN_SCORES)
    if scores is None or scores.is_empty():
        raise NotReady("no churn scores are published yet: run `make score`")
    known_until, registry = snapshot.recorded_until, Registry(settings.mlflow)
    versions = known_versions(registry, "churn")
    judged_at = {version: datetime.fromisoformat(ref.as_of) for version, ref in versions.items()}
    untold = set(scores.filter(pl.col(t.HORIZON_DAYS).is_null())[t.MODEL_VERSION]).intersection(versions)
    learned = {version: _learned(registry, versions[version], settings.churn) for version in untold}
    scores, labels = with_definitions(scores, learned), [t.CHURN_LABELS.empty()]
    folder = runtime.parts_folder(settings, "back_test_labels")
    for churn, as_ofs in mature_as_ofs(scores, settings.churn, known_until):
        parts = tasks.compute_labels(snapshot, as_ofs, churn, known_until, folder, scheduler)
        labels.append(parts.read_all())
        parts.remove()
    past = judge(scores, pl.concat(labels), judged_at, settings.churn, settings.promotion, known_until)
    return back_test_section(past, settings.promotion.confidence)


def _learned(registry: Registry, version: ModelRef, churn: Churn) -> Churn:
    return learned_definition(logged_settings(registry, version.run_id).get("churn", {}), churn)


if __name__ == "__main__":
    runtime.run(back_test)
