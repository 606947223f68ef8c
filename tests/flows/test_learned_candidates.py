"""The learned candidates through the whole job on a simulated shop, and their published scores when the future changes.

The other flow tests use the baselines, which take no time.
"""

import logging
import os
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path

import mlflow.pyfunc
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from prefect import flow
from prefect.context import TaskRunContext

from everstay import churn, recommender
from everstay import tables as t
from everstay.churn.config import NetworkConfig
from everstay.churn.rows import PARTS, ChurnRows
from everstay.features import is_sampled
from everstay.lake import Lake
from everstay.partitions import IN_PROCESS
from everstay.registry import tracking, versions
from everstay.registry.refs import ModelName, RunRef
from everstay.registry.store import Registry
from everstay.scoring import Work, compute_churn_scores, compute_recommendations
from everstay.settings import Settings, load_settings
from everstay.sources import open_source
from everstay.sources.store_twin import write_parquet
from everstay.storage import Folder
from flows.build_features import build_features
from flows.ingest_events import ingest_events
from flows.retention_pipeline import retention_pipeline
from flows.score_users import score_users
from flows.train_churn import churn_rows
from tests.flows.conftest import write_settings

pytestmark = pytest.mark.slow

TWIN = "{users = 600, items = 60, days = 260, seed = 3}"
CHURN = ("recency", "boosting", "network", "blend")
RECOMMENDER = ("popularity", "segment_popularity", "personal_frequency", "rating_factors", "network")
AS_OF = datetime(2023, 8, 20, tzinfo=UTC)  # the last one whose window the simulated clock covers
PUBLISHED = (t.CHURN_SCORES, t.RECOMMENDATIONS)


def write_shop(folder: Path, **replaced: str) -> Path:
    settings = write_settings(folder, **({"store_twin": TWIN} | replaced))
    text = settings.read_text()
    for now, then in (('["recency", "logistic"]', CHURN), ('["popularity", "personal_frequency"]', RECOMMENDER)):
        text = text.replace(now, str(list(then)))
    text = text.replace("[recommender]", f'[recommender]\nsegment_by = "{t.AGE_BAND}"')
    settings.write_text(f"score_as_of = {AS_OF:%Y-%m-%d}\n{text}[training]\nmax_epochs = 2\n")
    return settings


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, prefect_api: None) -> Path:
    """A shop whose main job ran once with the learned candidates; its lists are published as of `AS_OF`.

    The candidates were trained in two workers; `EPOCHS` has each log line of an epoch beside the task it was told in.
    """
    folder = tmp_path_factory.mktemp("learned")
    ear = logging.Handler()
    ear.emit = hear  # type: ignore[method-assign]
    logging.getLogger("everstay.training").addHandler(ear)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EVERSTAY_SETTINGS", str(write_shop(folder)))
        patch.setenv("EVERSTAY_DASK__WORKERS", "2")
        retention_pipeline()
    logging.getLogger("everstay.training").removeHandler(ear)
    return folder


EPOCHS: list[tuple[str, str, int | None]] = []


def hear(record: logging.LogRecord) -> None:
    task = TaskRunContext.get()
    EPOCHS.append((task.task_run.name if task else "none", record.getMessage().partition(":")[0], record.process))


def test_epochs_in_workers_are_told_once_in_the_log_of_their_task(trained: Path):
    told = Counter((task, line) for task, line, process in EPOCHS if process != os.getpid())
    assert told.total() == len(EPOCHS)
    assert {task for task, _ in told} == {"train-churn-network", "train-recommender-network"}
    fits = {"Churn": 2 * NetworkConfig().members, "Recommender": 2}  # on a part, then on all rows
    for model, times in fits.items():
        assert told[f"train-{model.lower()}-network", f"{model}Module epoch 1"] == times


@pytest.mark.parametrize(("model", "name"), [("churn", "boosting"), ("churn", "network"), ("recommender", "network")])
def test_a_worker_trains_what_any_process_trains(
    registry: Registry, settings: Settings, trained: Path, tmp_path: Path, model: ModelName, name: str
):
    snapshot, run = lake_of(trained).snapshot(), runs_of(registry, model)[name]
    [rows] = trained.glob(f"lake/_work/{model}/*/rows_and_*")
    train = churn.train_candidate if model == "churn" else recommender.train_candidate
    with ProcessPoolExecutor(1, get_context("spawn")) as alone:  # what other tests left in this one may change a bit
        home = alone.submit(train, name, rows, settings, tmp_path / "here", snapshot.data_version).result()
    theirs, ours = (
        scored(Work(snapshot, artifact, "0", AS_OF), model, settings, tmp_path / "scores")
        for artifact in (versions.download(registry, run), home / "artifact")
    )
    assert theirs.height > 200
    assert_frame_equal(ours, theirs, check_exact=True)


@pytest.fixture
def settings(trained: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("EVERSTAY_SETTINGS", str(trained / "shop.toml"))
    return load_settings()


@pytest.fixture
def registry(settings: Settings) -> Registry:
    return Registry(settings.mlflow)


def lake_of(folder: Path) -> Lake:
    return Lake(str(folder / "lake"), 2)


def published(folder: Path, table: t.Table) -> pl.DataFrame:
    stored = lake_of(folder).read(table)
    assert stored is not None
    return stored.filter(pl.col(t.AS_OF) == AS_OF).sort(table.key)


def runs_of(registry: Registry, model: ModelName) -> dict[str, RunRef]:
    found = registry.client.search_runs([registry.experiment_id(model)], "attributes.status = 'FINISHED'")
    keys = {run.data.tags[tracking.CANDIDATE]: run.data.tags[tracking.RUN_KEY] for run in found}
    runs = {name: tracking.find_run(registry, model, key) for name, key in keys.items()}
    return {name: run for name, run in runs.items() if run is not None}


@pytest.mark.parametrize(("model", "names"), [("churn", CHURN), ("recommender", RECOMMENDER)])
def test_every_learned_candidate_is_judged_and_serves(registry: Registry, model: ModelName, names: tuple[str, ...]):
    runs = runs_of(registry, model)
    assert sorted(runs) == sorted(names)
    losses = registry.client.get_metric_history(runs["network"].run_id, "train_loss")
    assert [point.step for point in losses][:2] == [0, 1]
    registry.adopt()
    for run in runs.values():
        assert 0 < run.metrics["test_roc_auc" if model == "churn" else "test_ndcg"].value < 1
        location = registry.client.get_logged_model(run.model_id).artifact_location
        answers = mlflow.pyfunc.load_model(location)
        assert len(answers.predict(answers.input_example)) >= 5


def test_learned_churn_scores_rank_the_planted_hazard(
    trained: Path, registry: Registry, settings: Settings, tmp_path: Path
):
    truth = open_source(settings.source).truth()
    hazard = truth.visible_churn_probability(AS_OF, horizon_days=settings.churn.horizon_days)
    assert rank_correlation(published(trained, t.CHURN_SCORES), hazard) > 0.75
    snapshot, runs = lake_of(trained).snapshot(), runs_of(registry, "churn")
    for name in ("boosting", "network", "blend"):
        work = Work(snapshot, versions.download(registry, runs[name]), "0", AS_OF)
        assert rank_correlation(scored(work, "churn", settings, tmp_path), hazard) > 0.75, name


def rank_correlation(scores: pl.DataFrame, hazard: pl.DataFrame) -> float:
    both = scores.join(hazard, on=t.USER_ID, suffix="_true")
    assert both.height == scores.height > 200
    return float(both.select(pl.corr(t.CHURN_PROBABILITY, f"{t.CHURN_PROBABILITY}_true", method="spearman")).item())


def other_future(events: pl.DataFrame) -> pl.DataFrame:
    """The same events before `AS_OF`; of the later ones half are gone and half late, new ones and new users are added,
    some of them back-dated, and the rows come in another order."""
    known = events.filter(pl.col(t.OCCURRED_AT) < AS_OF, pl.col(t.RECORDED_AT) < AS_OF)
    later = events.join(known, on=t.EVENT_ID, how="anti")
    assert len(later) > 1_000
    kept = later.gather_every(2).with_columns(pl.col(t.RECORDED_AT) + timedelta(hours=7))
    again = later.gather_every(3).with_columns(
        pl.concat_str(pl.col(t.EVENT_ID), pl.lit("-again")).alias(t.EVENT_ID),
        pl.concat_str(pl.lit("new-"), pl.col(t.USER_ID)).alias(t.USER_ID),
    )
    back_dated = later.gather_every(4).with_columns(
        pl.concat_str(pl.col(t.EVENT_ID), pl.lit("-late")).alias(t.EVENT_ID),
        pl.lit(AS_OF - timedelta(days=2)).cast(t.TIME).alias(t.OCCURRED_AT),
    )
    return pl.concat([known, kept, again, back_dated]).sample(fraction=1, shuffle=True, seed=11)


@pytest.fixture(scope="module")
def otherwise(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another lake of the same shop, in which everything after `AS_OF` is different; the registry is the same."""
    folder = tmp_path_factory.mktemp("otherwise")
    exports = folder / "exports"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EVERSTAY_SETTINGS", str(trained / "shop.toml"))
        write_parquet(exports, load_settings().source.store_twin)
        files = sorted(exports.glob("events-*.parquet"))
        changed = other_future(pl.concat([pl.read_parquet(file) for file in files]))
        for file in files:
            file.unlink()
        changed.write_parquet(exports / "events-0001.parquet")
        entities = ", ".join(f'{table} = "{exports}/{table}.parquet"' for table in ("items", "users"))
        named = f'{{events = "{exports}/events-*.parquet", {entities}}}'
        registry = {"tracking_uri": f'"sqlite:///{trained}/mlflow.db"', "artifacts": f'"{trained}/artifacts"'}
        settings = write_shop(folder, kind='"files"', store_twin=f"{{}}\nfiles = {named}", **registry)
        patch.setenv("EVERSTAY_SETTINGS", str(settings))
        ingest_events()
        score_users()
    return folder


@pytest.mark.parametrize("table", PUBLISHED, ids=lambda table: table.name)
def test_another_future_publishes_the_same_bits(trained: Path, otherwise: Path, table: t.Table):
    ours, theirs = published(trained, table), published(otherwise, table)
    assert ours[t.DATA_VERSION][0] is not None
    assert len(ours) > 200
    assert lake_of(trained).snapshot().event_count != lake_of(otherwise).snapshot().event_count
    assert_frame_equal(ours.drop(t.DATA_VERSION), theirs.drop(t.DATA_VERSION), check_exact=True)


def test_another_future_changes_no_candidate_s_scores(
    trained: Path, otherwise: Path, registry: Registry, settings: Settings, tmp_path: Path
):
    for model in ("churn", "recommender"):
        for name, run in runs_of(registry, model).items():
            artifact = versions.download(registry, run)
            ours, theirs = (
                scored(Work(lake_of(folder).snapshot(), artifact, "0", AS_OF), model, settings, tmp_path)
                for folder in (trained, otherwise)
            )
            assert ours.height > 200, name
            assert_frame_equal(ours, theirs, check_exact=True)


def scored(work: Work, model: ModelName, settings: Settings, folder: Path) -> pl.DataFrame:
    if model == "churn":
        parts = compute_churn_scores(work, settings, Folder(str(folder)), IN_PROCESS)
    else:
        parts = compute_recommendations(work, settings.recommender, Folder(str(folder)), IN_PROCESS)
    return parts.read_all().drop(t.DATA_VERSION)


def test_of_a_large_shop_a_fixed_sample_is_learned_from(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    @flow
    def rows() -> ChurnRows:
        return ChurnRows.read(churn_rows(build_features(), load_settings(), IN_PROCESS))

    everybody = rows()
    users = Lake(settings.data.folder, settings.data.buckets).read(t.CHURN_LABELS)[t.USER_ID].n_unique()  # type: ignore[index]
    monkeypatch.setenv("EVERSTAY_CHURN__MAX_USERS", str(users // 3))
    some = rows()
    for part in (*PARTS, "unlabelled"):
        expected = getattr(everybody, part).filter(is_sampled(users // 3 / users))
        assert_frame_equal(getattr(some, part), expected)
        assert 0 < expected.height < getattr(everybody, part).height
