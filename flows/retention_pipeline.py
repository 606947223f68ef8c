"""The main job: ingest, validate, build features, train, promote, score, and say what came of it."""

from pathlib import Path

from prefect import flow, get_run_logger

from everstay import tables as t
from everstay.lake import ENTITY_TABLES, Snapshot
from everstay.recommender import ListRules
from everstay.registry.refs import ModelName
from everstay.scoring import scoring_as_of
from everstay.scoring.even_tiers import require_declared
from everstay.settings import Settings, load_settings
from everstay.validation import load_suite
from flows import leftovers, runtime, summary, tasks
from flows.build_features import build_features, choose_split
from flows.candidates import train_candidates
from flows.ingest_events import ingest_events
from flows.promote_model import promote, require_baseline
from flows.run_report import PipelineRun, report_run
from flows.score_users import PartlyPublished, Publication, score_users
from flows.train_churn import churn_work
from flows.train_recommender import recommender_work

MODELS: tuple[ModelName, ...] = ("churn", "recommender")
VALIDATED = (*ENTITY_TABLES, t.EVENTS, t.USER_FEATURES, t.CHURN_LABELS, t.CHURN_SCORES, t.RECOMMENDATIONS)


@flow(name="retention-pipeline")
def retention_pipeline() -> None:
    """Run every step in order on one Dask cluster; a step with nothing new to do says so and does nothing.

    Errors in the settings are raised before anything is read, conflicts with the data before anything is trained.

    Raises:
        EverstayError: a step cannot be done; the message says what to do, and later steps have not begun; a model
            without a champion is only reported at the end.
    """
    settings = load_settings()
    check_settings(settings)
    with runtime.working_alone(settings), runtime.dask_scheduler(settings, None) as scheduler:
        ingestion = ingest_events(scheduler=scheduler)
        check_data(runtime.open_lake(settings).snapshot(), settings)
        features = build_features(scheduler=scheduler)
        churn = churn_work(features, settings, scheduler)
        lists = recommender_work(features.snapshot, settings, scheduler)
        tasks.check_recommender_rows(lists.rows, settings)
        trainings = train_candidates([churn, lists], settings)  # no worker waits for one model's longest candidate
        decisions = [promote(training, settings) for training in trainings]
        summary.print_data(ingestion, features, settings)
        for training, decision in zip(trainings, decisions, strict=True):
            summary.print_training(training)
            summary.print_decision(decision)
        publication, problem = _publish(scheduler)
        run = PipelineRun(ingestion, features, trainings, decisions, publication.as_of)
        page = report_run(run, settings, scheduler)
    for name in leftovers.remove_unused(settings):
        get_run_logger().info("removed _work/%s: no run has used it for %d days", name, leftovers.UNUSED_DAYS)
    summary.print_report(page)
    if problem:
        raise problem
    summary.print_next_steps()


def _publish(scheduler: str) -> tuple[Publication, PartlyPublished | None]:
    """What was published; the error of a model without a champion, to be raised after the report is written."""
    try:
        return score_users(scheduler=scheduler), None
    except PartlyPublished as problem:
        return problem.publication, problem


def check_settings(settings: Settings) -> None:
    """Raise before the run begins what would otherwise stop it midway.

    Raises:
        SettingsError: a first model would have no baseline, a suite is missing or wrong, or this machine does not
            have what `[training]` names.
    """
    for model in MODELS:
        require_baseline(model, settings)
    for table in VALIDATED:
        load_suite(table, Path(settings.expectations_folder))
    training, automatic = settings.training, ("auto", 1, "auto")  # what Lightning chooses works everywhere
    if (training.accelerator, training.devices, training.strategy) != automatic:
        from everstay.training import check_trainer  # takes seconds

        check_trainer(training)


def check_data(snapshot: Snapshot, settings: Settings) -> None:
    """Raise where the data contradicts the settings; otherwise scoring would do so at the end of the run.

    Raises:
        NotReady: the data does not reach `score_as_of`, or is too short to judge models.
        SettingsError: no user declares the attribute of `fairness.mitigate`, no item is of a category with a rule, or
            there is no champion that competes and no baseline among the candidates.
    """
    require_declared(snapshot.read(t.USERS), settings.fairness.mitigate)
    ListRules.read(snapshot.read(t.ITEMS), scoring_as_of(snapshot, settings), settings.recommender)
    test_as_of = choose_split(snapshot, settings).test
    for model in MODELS:
        require_baseline(model, settings, test_as_of)


if __name__ == "__main__":
    runtime.run(retention_pipeline)
