"""The main job on a small simulated shop: complete, idempotent, the same after a kill, and stopped by bad data."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from copy import copy
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID
from polars.testing import assert_frame_equal

from everstay import interrupts
from everstay import tables as t
from everstay.churn.encoding import MODEL_COLUMNS
from everstay.errors import DataRejected, NotReady, SettingsError
from everstay.lake import Lake
from everstay.registry import rollout, versions
from everstay.registry.artifact import ArtifactRefused
from everstay.registry.promotion import Decision
from everstay.registry.store import Registry
from everstay.registry.tracking import find_run
from everstay.scoring.__main__ import explain_user
from everstay.scoring.tiers import HIGH
from everstay.settings import load_settings
from everstay.sources import open_source
from flows.back_test import back_test
from flows.build_features import choose_split
from flows.churn_definition import churn_definition
from flows.find_users import find_users
from flows.promote_model import promote_model
from flows.retention_pipeline import check_settings, retention_pipeline
from flows.score_users import PartlyPublished, score_users
from flows.tune_model import tune_model
from tests.flows.conftest import PYTHONPATH, REPOSITORY, write_settings

PUBLISHED = (t.USER_FEATURES, t.CHURN_LABELS, t.CHURN_SCORES, t.RECOMMENDATIONS)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, prefect_api: None) -> Path:
    """A shop whose main job ran once."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EVERSTAY_SETTINGS", str(write_settings(folder)))
        retention_pipeline()
    return folder


@pytest.fixture
def settings_of(trained: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("EVERSTAY_SETTINGS", str(trained / "shop.toml"))
    return load_settings()


def lake_of(folder: Path) -> Lake:
    return Lake(str(folder / "lake"), 2)


def content(folder: Path, table: t.Table) -> pl.DataFrame:
    stored = lake_of(folder).read(table)
    assert stored is not None
    return stored.sort(table.key)


def test_it_ends_with_two_champions_and_published_tables(trained: Path, settings_of):
    registry = Registry(settings_of.mlflow)
    scores, lists = content(trained, t.CHURN_SCORES), content(trained, t.RECOMMENDATIONS)
    for model, table in (("churn", scores), ("recommender", lists)):
        champion = versions.champion(registry, model)
        assert champion is not None
        assert set(table[t.MODEL_VERSION]) == {champion.version}
        assert set(table[t.DATA_VERSION]) == {lake_of(trained).snapshot().data_version}
    assert scores[t.USER_ID].is_unique().all()
    assert scores[t.CHURN_PROBABILITY].is_between(0, 1).all()
    assert (lists.group_by(t.USER_ID).len()["len"] == settings_of.recommender.list_length).all()
    assert set(scores[t.USER_ID]) <= set(lists[t.USER_ID])


def test_every_candidate_is_a_run_with_figures_and_the_artifact(settings_of):
    client = Registry(settings_of.mlflow).client
    for model, candidates in (
        ("churn", settings_of.churn.candidates),
        ("recommender", settings_of.recommender.candidates),
    ):
        experiment = client.get_experiment_by_name(model)
        assert "chosen by validation_" in experiment.tags["mlflow.note.content"]
        runs = client.search_runs([experiment.experiment_id], "attributes.status = 'FINISHED'")
        assert sorted(run.data.tags["candidate"] for run in runs) == sorted(candidates)
        for run in runs:
            assert {"data_version", "as_of", "run_key"} <= set(run.data.tags)
            assert run.data.tags["label_maturity"].startswith("mature since ")
            assert any(name.startswith("test_") for name in run.data.metrics)
            assert client.list_artifacts(run.info.run_id, "plots")


def test_the_run_is_told_on_one_page_that_is_in_mlflow_too(trained: Path, settings_of):
    page = (trained / "reports" / "report.html").read_text()
    titles = ("Data", "Validation", "Churn models", "Retention", "Churn by segment", "Warning list")
    for title in (*titles, "Back-test of the warnings"):
        assert re.search(rf"<h2>{title}</h2>", page), title
    assert all(source.startswith(("#", "data:")) for source in re.findall(r'(?:src|href)="([^"]*)"', page))
    assert "<script" not in page
    assert "test average precision" in page
    assert "not knowable before" in page  # the publication's own labels
    client = Registry(settings_of.mlflow).client
    (run,) = client.search_runs([client.get_experiment_by_name("reports").experiment_id])
    assert [file.path for file in client.list_artifacts(run.info.run_id)] == ["report.html"]


def test_the_horizon_advice_and_the_back_test_are_pages(trained: Path, settings_of, capsys: pytest.CaptureFixture[str]):
    advice = churn_definition().read_text()
    assert "suggested horizon" in advice
    assert f"10 × {len(MODEL_COLUMNS)} = " in advice  # what candidates learn from, and not all that is computed
    assert "28 days (set" in capsys.readouterr().out
    assert "No publication is old enough yet." in back_test().read_text()


def test_churn_scores_rank_the_planted_hazard(trained: Path, settings_of, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("EVERSTAY_SCORE_AS_OF", "2023-08-20")  # the last as-of whose window the simulated clock covers
    as_of = score_users().as_of
    truth = open_source(settings_of.source).truth()
    hazard = truth.visible_churn_probability(as_of, horizon_days=settings_of.churn.horizon_days)
    scores = content(trained, t.CHURN_SCORES).filter(pl.col(t.AS_OF) == as_of)
    both = scores.join(hazard, on=t.USER_ID, suffix="_true")
    assert both.height == scores.height > 100
    ranked = both.select(pl.corr(t.CHURN_PROBABILITY, f"{t.CHURN_PROBABILITY}_true", method="spearman")).item()
    assert ranked > 0.5
    told = back_test().read_text()
    assert "Calibration of 1 mature publication:" in told
    monkeypatch.setenv("EVERSTAY_CHURN__HORIZON_DAYS", "60")
    assert back_test().read_text() == told  # by the definition that was published, not by today's
    assert score_users().published == ()


def test_a_second_run_changes_nothing(trained: Path, settings_of, capsys: pytest.CaptureFixture[str]):
    lake, client = lake_of(trained), Registry(settings_of.mlflow).client
    tables = [table for table in (t.EVENTS, t.ITEMS, t.USERS, *PUBLISHED) if lake.open(table)]
    promoted = content(trained, t.PROMOTIONS).filter(t.IS_PROMOTED)
    before = {table.name: lake.open(table).version() for table in tables}
    runs = len(client.search_runs([e.experiment_id for e in client.search_experiments()]))
    models = len(client.search_model_versions())
    retention_pipeline()
    assert {table.name: lake.open(table).version() for table in tables} == before
    assert len(client.search_runs([e.experiment_id for e in client.search_experiments()])) == runs
    assert len(client.search_model_versions()) == models
    assert_frame_equal(content(trained, t.PROMOTIONS).filter(t.IS_PROMOTED), promoted)
    told = capsys.readouterr().out
    assert "0 new" in told
    assert "Nothing new: every candidate was found" in told


def test_scoring_at_another_as_of_keeps_the_first(trained: Path, settings_of, monkeypatch: pytest.MonkeyPatch):
    first = content(trained, t.CHURN_SCORES)
    monkeypatch.setenv("EVERSTAY_SCORE_AS_OF", "2023-09-01")
    publication = score_users()
    assert publication.as_of == datetime(2023, 9, 1, tzinfo=UTC)
    stored = content(trained, t.CHURN_SCORES)
    assert set(stored[t.AS_OF]) == {publication.as_of, *first[t.AS_OF]}
    assert_frame_equal(stored.filter(pl.col(t.AS_OF).is_in(first[t.AS_OF].unique().to_list())), first)
    monkeypatch.setenv("EVERSTAY_CHURN__TIERS_BY", "probability")
    assert score_users().published == ()  # later ones followed: what was told that day is not told anew
    assert_frame_equal(content(trained, t.CHURN_SCORES), stored)


def end_when_there_is(
    folder: Path, pattern: str, with_signal: signal.Signals, environment: dict[str, str]
) -> tuple[int, str]:
    """Run the main job until a file like `pattern` is in the lake, send the signal as a terminal does, to all of its
    processes; give its status and what it said.
    """
    command = [sys.executable, "-m", "flows.retention_pipeline"]
    with (folder / "said").open("w+") as said:
        options = {"env": environment, "cwd": REPOSITORY, "stdout": said, "stderr": said, "start_new_session": True}
        process = subprocess.Popen(command, **options)
        end = time.monotonic() + 240
        while not list((folder / "lake").glob(pattern)):
            assert process.poll() is None, "the pipeline ended before it could be ended"
            assert time.monotonic() < end, f"there was no {pattern}"
            time.sleep(0.02)
        os.killpg(process.pid, with_signal)
        status = process.wait(20)
        said.seek(0)
        return status, said.read()


def test_an_interrupted_and_killed_and_rerun_pipeline_ends_in_the_same_tables(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    settings = write_settings(tmp_path)
    environment = {**os.environ, "EVERSTAY_SETTINGS": str(settings), "PYTHONPATH": PYTHONPATH}
    environment["PREFECT_HOME"] = str(tmp_path / "prefect")
    environment["EVERSTAY_DASK__WORKERS"] = "2"  # they train; the third run trains in its own process
    in_training = "_work/churn/*/candidates/recency/training.json"
    status, said = end_when_there_is(tmp_path, in_training, signal.SIGINT, environment)
    assert status == interrupts.STATUS
    assert said.strip().endswith("stopped; unfinished work is invisible: re-run the same command to continue")
    assert "Traceback" not in said
    end_when_there_is(tmp_path, "churn_scores/_delta_log/*.json", signal.SIGKILL, environment)
    assert lake_of(tmp_path).read(t.RECOMMENDATIONS) is None
    monkeypatch.setenv("EVERSTAY_SETTINGS", str(settings))
    retention_pipeline()
    for table in PUBLISHED:
        stored = content(tmp_path, table)
        first = content(trained, table).filter(pl.col(t.AS_OF).is_in(stored[t.AS_OF].unique().to_list()))
        versionless = [name for name in stored.columns if name not in (t.MODEL_VERSION, t.DATA_VERSION)]
        assert_frame_equal(stored.select(versionless), first.select(versionless))


def test_bad_data_stops_before_any_training_run_exists(shop: Path, monkeypatch: pytest.MonkeyPatch):
    spoiled = "{users = 300, items = 60, days = 260, seed = 3, fault_share = 0.3}"
    monkeypatch.setenv("EVERSTAY_SETTINGS", str(write_settings(shop, store_twin=spoiled)))
    with pytest.raises(DataRejected, match="cannot be stored"):
        retention_pipeline()
    assert not (shop / "mlflow.db").exists()
    assert lake_of(shop).open(t.EVENTS) is None


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        (
            "RECOMMENDER__CANDIDATES",
            '["item_neighbours"]',
            r"candidates names no baseline.*popularity or personal_freq",
        ),
        ("CHURN__CANDIDATES", '["logistic"]', r"churn.candidates names no baseline.*recency; add it to candidates"),
        ("TRAINING__ACCELERATOR", "gpuu", r"accelerator, devices or strategy of \[training\]"),
        ("EXPECTATIONS_FOLDER", "nowhere", r"nowhere/items.json does not exist"),
    ],
)
def test_what_settings_rule_out_is_told(
    shop: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, message: str
):
    monkeypatch.setenv(f"EVERSTAY_{variable}", value)
    with pytest.raises(SettingsError, match=message):
        check_settings(load_settings())


def test_a_model_that_the_gate_refuses_keeps_the_other_from_nothing(
    shop: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("EVERSTAY_PROMOTION__MAX_CALIBRATION_ERROR", "0.0001")
    refused = (
        r"no churn champion, so nothing is published for it; .*: calibration error .* 0\.0001; perfectly calibrated"
    )
    with pytest.raises(PartlyPublished, match=refused) as told:
        retention_pipeline()
    assert copy(told.value).publication == told.value.publication  # as from another process
    lists = content(shop, t.RECOMMENDATIONS)
    assert lake_of(shop).read(t.CHURN_SCORES) is None
    page = (shop / "reports" / "report.html").read_text()
    assert "No churn scores have been published that could be back-tested" in page
    shown = " ".join(capsys.readouterr().out.split())
    assert (
        f"churn_scores: 0 users (0 high, 0 medium, 0 low); recommendations: {lists[t.USER_ID].n_unique()} users"
        in shown
    )


def test_what_settings_rule_out_is_told_before_anything_is_read(shop: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("EVERSTAY_RECOMMENDER__CANDIDATES", '["item_neighbours"]')
    with pytest.raises(SettingsError, match="names no baseline"):
        retention_pipeline()
    assert lake_of(shop).open(t.EVENTS) is None


@pytest.mark.parametrize(
    ("seed", "variable", "value", "message"),
    [
        ("5", "AS_OF", "{as_of}", r"what users bought next \(31 days, horizon_days in \[recommender\]"),
        ("6", "SCORE_AS_OF", "2030-01-01", "score_as_of is 2030-01-01, but the data reaches from"),
        (
            "7",
            "RECOMMENDER__LISTS__BLOCKED_CATEGORIES",
            '["no such thing"]',
            "no item has category .*'no such thing'",
        ),
    ],
)
def test_what_the_data_does_not_reach_or_hold_is_told_before_anything_is_trained(
    settings_of, trained: Path, monkeypatch: pytest.MonkeyPatch, seed: str, variable: str, value: str, message: str
):
    client = Registry(settings_of.mlflow).client
    monkeypatch.setenv("EVERSTAY_TRAINING__SEED", seed)  # every candidate would be a new one
    as_of = choose_split(lake_of(trained).snapshot(), settings_of).test
    monkeypatch.setenv(f"EVERSTAY_{variable}", value.format(as_of=as_of.date()))
    monkeypatch.setenv("EVERSTAY_RECOMMENDER__HORIZON_DAYS", "31")  # a day longer than its labels take
    runs = len(client.search_runs([e.experiment_id for e in client.search_experiments()]))
    with pytest.raises((NotReady, SettingsError), match=message):
        retention_pipeline()
    assert len(client.search_runs([e.experiment_id for e in client.search_experiments()])) == runs


def test_a_person_s_mistake_ends_in_one_message(tmp_path: Path):
    (tmp_path / "shop.toml").write_text("[churn]\nhorzon_days = 3\n")
    environment = {**os.environ, "EVERSTAY_SETTINGS": str(tmp_path / "shop.toml"), "PYTHONPATH": PYTHONPATH}
    environment["PREFECT_HOME"] = str(tmp_path / "prefect")
    done = subprocess.run(
        [sys.executable, "-m", "flows.ingest_events"],
        env=environment, cwd=REPOSITORY, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "did you mean 'churn.horizon_days'?" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert not list((tmp_path / "prefect").glob("*.db"))  # no server was started to tell that


def test_a_changed_rule_publishes_new_lists_without_training(
    settings_of, trained: Path, monkeypatch: pytest.MonkeyPatch
):
    items = lake_of(trained).snapshot().read(t.ITEMS)
    blocked = items[t.CATEGORY].drop_nulls().sort()[0]
    listed = content(trained, t.RECOMMENDATIONS).join(items, on=t.ITEM_ID, how="left")
    assert blocked in listed[t.CATEGORY]
    monkeypatch.setenv("EVERSTAY_RECOMMENDER__LISTS__BLOCKED_CATEGORIES", f'["{blocked}"]')
    publication = score_users()
    assert publication.published == (t.RECOMMENDATIONS.name,)
    assert score_users().published == ()
    is_new = pl.col(t.AS_OF) == publication.as_of  # lists of other as-ofs are kept as they were sent
    after = content(trained, t.RECOMMENDATIONS).filter(is_new)
    assert blocked not in after.join(items, on=t.ITEM_ID, how="left")[t.CATEGORY]
    assert set(after[t.USER_ID]) == set(listed.filter(is_new)[t.USER_ID])
    monkeypatch.setenv("EVERSTAY_RECOMMENDER__LISTS__BLOCKED_CATEGORIES", '["no such thing"]')
    with pytest.raises(SettingsError, match="no such thing"):
        score_users()


def test_tiers_are_evened_out_between_groups_without_training(
    settings_of, trained: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("EVERSTAY_FAIRNESS__MITIGATE", t.AGE_BAND)
    publication = score_users()
    assert t.CHURN_SCORES.name in publication.published
    scores = content(trained, t.CHURN_SCORES).filter(pl.col(t.AS_OF) == publication.as_of)
    grouped = scores.join(lake_of(trained).snapshot().read(t.USERS), on=t.USER_ID).group_by(t.AGE_BAND)
    high = grouped.agg(pl.len(), (pl.col(t.RISK_TIER) == HIGH).sum().alias(HIGH))
    assert high.height > 2
    share = settings_of.churn.tiers[0]
    assert (high[HIGH] - share * high["len"]).abs().max() <= 1


def test_a_user_is_explained_at_no_as_of_that_the_data_does_not_reach(
    settings_of, trained: Path, monkeypatch: pytest.MonkeyPatch
):
    user = content(trained, t.CHURN_SCORES)[t.USER_ID][0]
    assert explain_user(user, settings_of).user_id == user
    monkeypatch.setenv("EVERSTAY_SCORE_AS_OF", "2030-01-01")
    with pytest.raises(NotReady, match=r"score_as_of is 2030-01-01, but the data reaches from"):
        explain_user(user, load_settings())


def test_users_for_a_category_are_written_down(settings_of, trained: Path, caplog: pytest.LogCaptureFixture):
    items = lake_of(trained).snapshot().read(t.ITEMS)
    category = items[t.CATEGORY].drop_nulls().sort()[0]
    at_the_same_time = trained / "lake" / "_work" / "campaign" / "another" / "part-00000.arrow"
    at_the_same_time.parent.mkdir(parents=True)
    at_the_same_time.touch()
    found = pl.read_csv(find_users(category=category, users=25), schema_overrides={t.USER_ID: pl.String})
    assert found.columns == [t.USER_ID, t.ITEM_ID, t.SCORE, t.PLACE, t.REASON]
    assert 0 < found.height <= 25
    assert found[t.USER_ID].is_unique().all()
    assert found[t.SCORE].is_sorted(descending=True)
    assert set(found[t.ITEM_ID]) <= set(items.filter(pl.col(t.CATEGORY) == category)[t.ITEM_ID])
    with pytest.raises(SettingsError, match=r"either ITEMS=.* or CATEGORY="):
        find_users()
    with pytest.raises(SettingsError, match="USERS=0 must be 1 or more"):
        find_users(category=category, users=0)
    with pytest.raises(NotReady, match="knows none of the items no-item"):
        find_users(items=["no-item"])
    find_users(items=["no-item", found[t.ITEM_ID][0]])
    assert "left out no-item: the champion does not know 1 of the items" in caplog.text
    in_work = [file for file in at_the_same_time.parents[1].rglob("*") if file.is_file()]
    assert in_work == [at_the_same_time]


@pytest.mark.parametrize(
    ("model", "room", "fields", "figure"),
    [
        ("personal_frequency", "recommender", {"window_days", "half_life_days", "prior_orders"}, "validation NDCG"),
        ("churn.logistic", "churn", {"penalties"}, "validation average precision"),
    ],
)
def test_a_search_is_written_for_review_and_changes_no_champion(
    settings_of, trained: Path, model: str, room: str, fields: set[str], figure: str
):
    registry = Registry(settings_of.mlflow)
    before, candidate = versions.champion(registry, room), model.removeprefix("churn.")
    file = tune_model(model, trials=3)
    assert file == trained / "reports" / f"tuned-{room}-{candidate}.toml"
    assert set(tomllib.loads(file.read_text())[room][candidate]) == fields
    assert figure in file.read_text()
    assert versions.champion(registry, room) == before
    client = registry.client
    runs = client.search_runs([client.get_experiment_by_name(f"{room}-tuning").experiment_id])
    (search,) = (run for run in runs if MLFLOW_PARENT_RUN_ID not in run.data.tags)
    trials = [run for run in runs if run.data.tags.get(MLFLOW_PARENT_RUN_ID) == search.info.run_id]
    assert [len(trials), len(runs)] == [3, 4]
    figures = [run.data.metrics["validation_figure"] for run in trials if run.info.status == "FINISHED"]
    assert max(figures) == search.data.metrics["validation_figure"]


def test_the_search_of_a_churn_candidate_starts_from_its_run_and_reads_no_test_row(settings_of, trained: Path):
    (folder,) = (trained / "lake" / "_work" / "churn").glob("*/rows_and_unlabelled")
    rows, hidden = folder / "test.parquet", folder / "test.hidden"
    rows.rename(hidden)
    try:
        told = tune_model("lasso", trials=2).read_text()
    finally:
        hidden.rename(rows)
    assert re.search(r"churn\.lasso: validation average precision 0\.\d{4} in trial [01] of 2", told)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("lightgmb", r"MODEL=lightgmb; choose one of churn\.logistic, .*churn\.lightgbm, recommender\..*sequential"),
        ("churn", r"MODEL=churn; choose one of churn\.logistic"),
        ("network", r"use MODEL=churn\.network or MODEL=recommender\.network"),
    ],
)
def test_a_model_that_cannot_be_searched_is_told_with_those_that_can(shop: Path, model: str, message: str):
    with pytest.raises(SettingsError, match=message):
        tune_model(model)


def test_no_trials_are_told_before_anything_is_read(shop: Path):
    with pytest.raises(SettingsError, match="TRIALS=0 must be 1 or more"):
        tune_model("lasso", trials=0)
    assert list(shop.iterdir()) == [shop / "shop.toml"]


def test_a_new_store_beside_a_kept_lake_begins_anew(trained: Path, settings_of, monkeypatch: pytest.MonkeyPatch):
    rows, before = content(trained, t.PROMOTIONS), versions.champion(Registry(settings_of.mlflow), "churn")
    monkeypatch.setenv("EVERSTAY_MLFLOW__TRACKING_URI", f"sqlite:///{trained}/new.db")
    monkeypatch.setenv("EVERSTAY_MLFLOW__ARTIFACTS", f"{trained}/new")
    with pytest.raises(NotReady, match="there is no churn champion yet: run `make train`"):
        score_users()
    assert all(promote_model(model).champion_version is None for model in ("churn", "recommender"))
    stored = content(trained, t.PROMOTIONS)
    assert_frame_equal(stored.join(rows, on=t.PROMOTIONS.key, how="semi"), rows)
    added = stored.join(rows, on=t.PROMOTIONS.key, how="anti")
    assert set(added.filter(t.IS_PROMOTED)[t.MODEL]) == {"churn", "recommender"}
    assert versions.champion(Registry(load_settings().mlflow), "churn").version == before.version
    assert score_users().published == (t.CHURN_SCORES.name, t.RECOMMENDATIONS.name)  # the same number, another model


def test_a_champion_whose_files_are_lost_is_replaced(trained: Path, settings_of):
    registry = Registry(settings_of.mlflow)
    before = versions.champion(registry, "churn")
    shutil.rmtree(versions.download(registry, before).parents[1])
    with pytest.raises(ArtifactRefused, match=r"are gone from MLflow's store.*`make train` retrains the model"):
        explain_user(content(trained, t.CHURN_SCORES)[t.USER_ID][0], settings_of)
    with pytest.raises(PartlyPublished, match=rf"churn champion, version {before.version}, cannot be loaded: .* gone"):
        score_users()
    decision = promote_model("churn")
    assert decision.is_promoted
    assert decision.champion_version == before.version
    assert decision.reasons[0].startswith(f"champion version {before.version} cannot be loaded and is disregarded: ")
    assert "first model; baseline recency is the best of the baselines" in decision.reasons
    assert sum("is disregarded" in reason for reason in decision.reasons) == 1
    after = versions.champion(registry, "churn")
    assert after.version != before.version
    assert after.artifact_digest == before.artifact_digest  # the same candidate, logged anew
    assert versions.why_lost(registry, after) == ""
    last = content(trained, t.PROMOTIONS).filter(pl.col(t.MODEL) == "churn").sort(t.DECIDED_AT).row(-1, named=True)
    assert (last[t.CHALLENGER_VERSION], last[t.CHAMPION_VERSION]) == (after.version, before.version)
    assert not promote_model("churn").is_promoted
    assert versions.champion(registry, "churn") == after
    explain_user(content(trained, t.CHURN_SCORES)[t.USER_ID][0], settings_of)


def test_a_champion_that_goes_by_another_segment_counts_as_none(monkeypatch: pytest.MonkeyPatch, settings_of):
    before = versions.champion(Registry(settings_of.mlflow), "recommender")
    monkeypatch.setenv("EVERSTAY_RECOMMENDER__SEGMENT_BY", t.AGE_BAND)
    decision = promote_model("recommender")
    told = "segments by no attribute and counts as none: recommender.segment_by says age"
    assert decision.reasons[0].startswith(f"champion version {before.version} {told}")
    assert decision.is_promoted


def test_the_page_in_mlflow_tells_of_the_champion_there_is(trained: Path, settings_of):
    registry = Registry(settings_of.mlflow)
    before, client = versions.champion(registry, "churn"), registry.client
    runs = client.search_runs([client.get_experiment_by_name("churn").experiment_id], "attributes.status = 'FINISHED'")
    key = next(run.data.tags["run_key"] for run in runs if run.data.tags["candidate"] != before.candidate)
    other = versions.register_challenger(registry, "churn", find_run(registry, "churn", key), metric="test_roc_auc")
    by_hand = Decision(
        "churn", other.version, before.version, True, True, "none", None, ("by hand",), other.data_version
    )
    rollout.apply_decision(registry, lake_of(trained), by_hand)
    retention_pipeline()
    reports = client.get_experiment_by_name("reports").experiment_id
    last = client.search_runs([reports], order_by=["attributes.start_time DESC"])[0]
    assert client.download_artifacts(last.info.run_id, "report.html", str(trained))
    page = (trained / "report.html").read_text()
    assert page == (trained / "reports" / "report.html").read_text()
    assert f"champion remains version {other.version}" in page
    rollout.roll_back(registry, lake_of(trained), "churn")


def test_a_champion_competes_with_none_that_is_tested_before_it(monkeypatch: pytest.MonkeyPatch, settings_of):
    before = versions.champion(Registry(settings_of.mlflow), "churn")
    as_of = datetime.fromisoformat(before.as_of).date() - timedelta(days=7)
    monkeypatch.setenv("EVERSTAY_AS_OF", as_of.isoformat())
    decision = promote_model("churn")
    told = f"learned from all that was known as of {before.as_of[:10]} and counts as none: the test begins at {as_of}"
    assert decision.reasons[0] == f"champion version {before.version} {told}"
    assert decision.is_promoted
    assert "first model" in decision.reasons[1]
    promoted = versions.champion(Registry(settings_of.mlflow), "churn")
    again = promote_model("churn")
    assert again.reasons[0].startswith(f"average_precision against champion {promoted.version}: ")
    assert versions.champion(Registry(settings_of.mlflow), "churn") == promoted
