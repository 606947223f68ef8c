"""The page of a run of the main job: written, logged to MLflow once per result, linked as a Prefect artifact."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
from prefect.artifacts import create_link_artifact

from everstay import tables as t
from everstay.errors import NotReady
from everstay.features import midnight_before
from everstay.lake import Snapshot
from everstay.registry import reports
from everstay.registry.promotion import Decision
from everstay.registry.store import Registry
from everstay.registry.versions import get_version
from everstay.report import Report, Section
from everstay.retention import LIFECYCLE, churn_by_segment, retention_section, rhythm_section, segment_section
from everstay.settings import Settings
from flows import report_sections as parts
from flows import runtime, tasks
from flows.back_test import back_test_part
from flows.build_features import FeatureSet
from flows.candidates import Training
from flows.ingest_events import Ingestion

_TOLD_OF_RETENTION = 2  # key figures shown at the head of the page: the last period, and the next
_NOTES = (
    "Maturity: mature figures are fully observed; estimated ones allow for what is still to come; those not knowable "
    "yet say from when they will be. No figure uses data from after its as-of.",
    "This page works offline and without scripts.",
)


@dataclass(frozen=True)
class PipelineRun:
    """What the main job did, step by step.

    Attributes:
        ingestion: of the source.
        features: and the split.
        trainings: churn, recommender.
        decisions: in the same order.
        scored_at: as-of of the published tables.
    """

    ingestion: Ingestion
    features: FeatureSet
    trainings: Sequence[Training]
    decisions: Sequence[Decision]
    scored_at: datetime


def report_run(run: PipelineRun, settings: Settings, scheduler: str) -> Path:
    """Write `report.html` and give its path.

    Args:
        run: what was done.
        settings: the resolved ones.
        scheduler: Dask scheduler for the counts of retention.
    """
    registry = Registry(settings.mlflow)
    pairs = zip(run.trainings, run.decisions, strict=True)
    decided = replace(run, trainings=[_as_decided(*one, registry) for one in pairs])
    report = _report(decided, registry, settings, scheduler)
    page = tasks.write_page(report, Path(settings.report_folder, "report.html"))
    as_of = run.features.split.test
    run_id = tasks.log_report(
        registry,
        page,
        key=_key(run, settings),
        name=f"report {run.scored_at:%Y-%m-%d}",
        tags={"data_version": run.features.snapshot.data_version, "as_of": as_of.isoformat()},
    )
    create_link_artifact(
        reports.report_address(registry, run_id, settings.mlflow.port),
        link_text="report.html in MLflow (make ui)",
        key="run-report",
        description=f"Report of this run: {page.resolve()}",
    )
    return page


def _as_decided(training: Training, decision: Decision, registry: Registry) -> Training:
    """The training with the version that was decided about last: a baseline, where the challenger was set aside."""
    if decision.challenger_version == training.challenger.version:
        return training
    return replace(training, challenger=get_version(registry, training.model, decision.challenger_version))


def _report(run: PipelineRun, registry: Registry, settings: Settings, scheduler: str) -> Report:
    lake, snapshot = runtime.open_lake(settings), run.features.snapshot
    churn, recommender = run.trainings
    plots = reports.read_plots(registry, churn.run_of(churn.challenger.candidate))
    retention = retention_sections(run.features, settings, scheduler)
    sections = [
        parts.data_section(run.ingestion, run.features, settings.source.currency),
        parts.validation_section(run.ingestion),
        parts.model_section(churn, run.decisions[0], run.features, settings, plots),
        parts.model_section(recommender, run.decisions[1], run.features, settings, {}),
        *retention,
        parts.warning_section(lake, run.scored_at, settings, snapshot.recorded_until),
        _back_test(snapshot, settings, scheduler),
    ]
    return Report(
        title=f"Everstay: run on data until {snapshot.recorded_until:%Y-%m-%d}",
        subtitle="Data, candidate models, promotion decisions with reasons, retention, and the users at risk.",
        sections=sections,
        badges=[
            *parts.overview(run.features, run.ingestion, run.trainings, run.decisions),
            *retention[0].badges[:_TOLD_OF_RETENTION],
        ],
        notes=_NOTES,
    )


def retention_sections(features: FeatureSet, settings: Settings, scheduler: str) -> list[Section]:
    """Retention as of the last midnight that the data covers; only words if the history is too short."""
    snapshot, lateness = features.snapshot, timedelta(days=settings.churn.allowed_lateness_days)
    as_of = midnight_before(snapshot.recorded_until)
    try:
        figures = tasks.measure_retention(snapshot, snapshot.first_event_at, as_of, settings.retention, scheduler)
    except NotReady as error:
        return [Section("Retention", (str(error),))]
    test = features.split.test
    return [
        retention_section(figures, lateness),
        rhythm_section(figures, lateness),
        _segments(features, settings, test),
    ]


def _back_test(snapshot: Snapshot, settings: Settings, scheduler: str) -> Section:
    try:
        return back_test_part(snapshot, settings, scheduler)
    except NotReady:
        return Section("Back-test", ("No churn scores have been published that could be back-tested.",))


def _segments(features: FeatureSet, settings: Settings, as_of: datetime) -> Section:
    lake, at = runtime.open_lake(settings), pl.col(t.AS_OF) == as_of
    labels, table = (lake.read(one, where=at) for one in (t.CHURN_LABELS, t.USER_FEATURES))
    if labels is None or table is None:
        return Section("Churn by segment", ("No labels are stored.",))
    least, users = settings.fairness.min_users, features.snapshot.read(t.USERS)
    segments = churn_by_segment(labels, table.select(t.USER_ID, LIFECYCLE), users, least)
    return segment_section(segments, f"{as_of:%Y-%m-%d}", settings.churn.horizon_days, least)


def _key(run: PipelineRun, settings: Settings) -> str:
    """Key of a page's content: the same for a second run with nothing new, another after a rollback."""
    versions = [training.challenger.version for training in run.trainings]
    champions = [one.challenger_version if one.is_promoted else one.champion_version for one in run.decisions]
    told = (run.features.key, run.scored_at, versions, champions, settings.model_dump_json())
    return hashlib.sha256(repr(told).encode()).hexdigest()[:32]
