"""Source -> validated, de-duplicated event lake. Running it again with nothing new changes nothing."""

from dataclasses import dataclass
from pathlib import Path

from prefect import flow, get_run_logger

from everstay import tables as t
from everstay.lake import (
    ENTITY_TABLES,
    IngestResult,
    Staged,
    StagedEntities,
    discard_staged,
    known_deliveries,
    read_otherwise,
)
from everstay.settings import Settings, load_settings
from everstay.sources import open_source
from everstay.validation import ValidationReport
from flows import runtime, tasks


@dataclass(frozen=True)
class Ingestion:
    """What an ingestion did, and which data there is now.

    Attributes:
        result: counts of rows.
        data_version: of the lake after it.
        expectations: how many were judged.
        warnings: expectations of severity `warning` that did not hold, in words.
        report: the page that shows them all; None when there was nothing new to judge.
    """

    result: IngestResult
    data_version: str
    expectations: int
    warnings: tuple[str, ...]
    report: Path | None


@flow(name="ingest-events")
def ingest_events(scheduler: str | None = None) -> Ingestion:
    """Read what the source has, refuse what cannot be stored, validate the rest and make it visible.

    Args:
        scheduler: Dask scheduler of a calling flow.

    Raises:
        SourceError: the source cannot be read.
        DataRejected: an expectation of severity `critical` does not hold; the lake is as before.
    """
    settings = load_settings()
    with runtime.working_alone(settings):
        return _ingest(settings, scheduler)


def _ingest(settings: Settings, scheduler: str | None) -> Ingestion:
    lake, logger = runtime.open_lake(settings), get_run_logger()
    known = known_deliveries(lake)
    source = open_source(settings.source, runtime.newest_recorded_at(lake), known)
    logger.info("reading %s", settings.source.kind)
    with runtime.dask_scheduler(settings, scheduler) as address:
        chunks, deliveries = source.event_chunks(), source.deliveries()
        share = settings.source.max_quarantined_share
        again = read_otherwise(known, deliveries)
        staged = tasks.stage_events(lake, chunks, address, max_quarantined_share=share, read_before=again)
        told = (staged.rows_read, staged.rows_new, staged.rows_duplicate, staged.rows_quarantined)
        logger.info("%s rows read: %s new, %s stored already, %s refused", *(f"{count:,}" for count in told))
        if staged.rows_quarantined:
            logger.warning("rows that cannot be stored, for example %s%s", staged.example, _advice(settings))
        try:
            entities = tasks.stage_entities(lake, source, runtime.parts_folder(settings, "entities"))
            reports = _validate(staged, entities, Path(settings.expectations_folder), address)
            report = runtime.show_validation(reports, settings, "ingest-events")
        except BaseException:
            discard_staged(staged)
            raise
        tasks.commit_entities(entities)
        result = tasks.commit_events(staged)
        settled = {delivery: file for delivery, file in deliveries.items() if file not in staged.unsettled}
        tasks.note_deliveries(lake, known, settled)
        if result.rows_added:
            compacted = tasks.compact_events(lake, address)
            logger.info("%d of %d buckets compacted", compacted, lake.bucket_count)
        if result.rows_added and settings.data.keep_days is not None:  # either is a new version of the data
            tasks.vacuum(lake, settings.data.keep_days)
    data_version = lake.snapshot().data_version
    logger.info("%s events added; the data is %s", f"{result.rows_added:,}", data_version)
    warnings = tuple(warning.describe() for each in reports for warning in each.warnings)
    for warning in warnings:
        logger.warning(warning)
    return Ingestion(result, data_version, sum(len(each.outcomes) for each in reports), warnings, report)


def _advice(settings: Settings) -> str:
    """What else brings refused rows once they are corrected; a changed file is read again by itself."""
    if settings.source.kind == "database" and settings.source.database.incremental:
        return "; once this is corrected, one run with source.database.incremental = false reads them again"
    return ""


def _validate(staged: Staged, entities: StagedEntities, suites: Path, scheduler: str) -> list[ValidationReport]:
    """Judge what is new; tables that did not change were judged when they came."""
    reports = [
        tasks.validate_table(table, entities.reader(table), (0,), scheduler, expectations=suites)
        for table in ENTITY_TABLES
        if entities.is_new(table)
    ]
    if staged.files:
        reports.insert(0, tasks.validate_table(t.EVENTS, staged.read, staged.buckets, scheduler, expectations=suites))
    return reports


if __name__ == "__main__":
    runtime.run(ingest_events)
