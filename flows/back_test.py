"""Warnings and what happened: every past publication beside the labels that have matured since, as a page."""

import hashlib
from datetime import datetime
from pathlib import Path

import polars as pl
from prefect import flow

from everstay import tables as t
from everstay.code_version import code_version
from everstay.errors import NotReady
from everstay.lake import Snapshot
from everstay.metrics.warned import Outcome
from everstay.registry.refs import ModelRef
from everstay.registry.store import Registry
from everstay.registry.tracking import logged_settings
from everstay.registry.versions import known_versions
from everstay.report import Report, Section
from everstay.scoring.back_test import WARNED, publications
from everstay.scoring.back_test import back_test as judge
from everstay.scoring.back_test_page import back_test_section
from everstay.scoring.leaving import learned_definition, mature_as_ofs, with_definitions
from everstay.settings import Churn, Promotion, Settings, load_settings
from flows import leftovers, runtime, summary, tasks

_AT_ONCE = 28  # as-ofs whose labels are in memory together


@flow(name="back-test")
def back_test(scheduler: str | None = None) -> Path:
    """Write `back-test.html` and give its path.

    Args:
        scheduler: Dask scheduler of a calling flow.

    Raises:
        NotReady: there are no events, or nothing was published.
    """
    settings = load_settings()
    with runtime.working_alone(settings), runtime.dask_scheduler(settings, scheduler) as address:
        snapshot = runtime.open_lake(settings).snapshot()
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
    lake, registry = runtime.open_lake(settings), Registry(settings.mlflow)
    published, known_until = publications(lake), snapshot.recorded_until
    if published.is_empty():
        raise NotReady("no churn scores are published yet: run `make score`")
    versions = known_versions(registry, "churn")
    judged_at = {version: datetime.fromisoformat(ref.as_of) for version, ref in versions.items()}
    untold = set(published.filter(pl.col(t.HORIZON_DAYS).is_null())[t.MODEL_VERSION]).intersection(versions)
    learned = {version: _learned(registry, versions[version], settings.churn) for version in untold}
    published = with_definitions(published, learned)
    outcomes: dict[datetime, Outcome] = {}
    policy, folder = settings.promotion, runtime.parts_folder(settings, "back_test_labels")
    kept = runtime.work_folder(settings, "back_test", _judge_key(policy))
    for churn, as_ofs in mature_as_ofs(published, settings.churn, known_until):
        for start in range(0, len(as_ofs), _AT_ONCE):
            some = as_ofs[start : start + _AT_ONCE]
            labels = tasks.compute_labels(snapshot, some, churn, known_until, folder, scheduler)
            outcomes |= tasks.judge_publications(lake, some, labels, policy, kept)
    if kept.exists():
        leftovers.mark_used(kept)
    return back_test_section(judge(published, outcomes, judged_at, settings.churn, known_until), policy.confidence)


def _judge_key(policy: Promotion) -> str:
    """Key of what decides an outcome besides scores and labels."""
    parts = (policy.resamples, policy.confidence, WARNED, code_version("metrics"))
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def _learned(registry: Registry, version: ModelRef, churn: Churn) -> Churn:
    return learned_definition(logged_settings(registry, version.run_id).get("churn", {}), churn)


if __name__ == "__main__":
    runtime.run(back_test)
