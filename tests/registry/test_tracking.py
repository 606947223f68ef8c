import base64
import json
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID
from pydantic import BaseModel

from everstay.metrics.comparison import Interval
from everstay.metrics.report import CandidateReport
from everstay.registry.artifact import ArtifactRefused, artifact_digest
from everstay.registry.refs import RunRef
from everstay.registry.reports import log_report
from everstay.registry.searches import FIGURE, WATCHED, log_search
from everstay.registry.store import Registry
from everstay.registry.tracking import find_run, log_candidate, logged_settings
from everstay.registry.views import describe_experiment
from everstay.settings import Promotion
from everstay.tuning import Search, Trial

Make = Callable[..., CandidateReport]


def log(registry: Registry, report: CandidateReport, rows: pl.DataFrame, key: str = "k1") -> RunRef:
    return log_candidate(
        registry, "churn", report, run_key=key, example=rows, settings={"seed": 17}, tags={"by": "test"}
    )


def runs_of(registry: Registry) -> list:
    return list(registry.client.search_runs([registry.experiment_id("churn")]))


def test_a_candidate_is_written_whole(registry: Registry, make_report: Make, churn_rows: pl.DataFrame):
    report = replace(make_report(), seconds=500.0)
    run = log(registry, report, churn_rows)
    stored = registry.client.get_run(run.run_id)
    assert stored.info.status == "FINISHED"
    assert 500 <= (stored.info.end_time - stored.info.start_time) / 1_000 < 560  # as long as the training
    assert stored.data.params == {"layers": "2", "rate": "0.1"}
    assert stored.data.metrics["uncertainty_low/test_metric"] == 0.7
    assert [point.value for point in registry.client.get_metric_history(run.run_id, "train_loss")] == [3.0, 2.0, 1.5]
    assert stored.data.tags["artifact_digest"] == artifact_digest(report.artifact)
    assert logged_settings(registry, run.run_id) == {"seed": 17}
    assert (stored.data.tags["data_version"], stored.data.tags["by"]) == ("events-0", "test")
    files = {
        file.path for folder in (None, "plots", "pages") for file in registry.client.list_artifacts(run.run_id, folder)
    }
    assert {"everstay.json", "plots/calibration.png", "pages/rules.txt"} <= files


def test_the_reference_holds_the_final_figures_with_bounds(
    registry: Registry, make_report: Make, churn_rows: pl.DataFrame
):
    run = log(registry, make_report(), churn_rows)
    assert run.metrics["test_metric"] == Interval(0.8, 0.7, 0.9)
    assert "train_loss" not in run.metrics
    model = registry.client.get_logged_model(run.model_id)
    assert {figure.key: figure.value for figure in model.metrics}["test_metric"] == 0.8


def test_a_known_key_is_returned_and_nothing_is_written(
    registry: Registry, make_report: Make, churn_rows: pl.DataFrame
):
    assert find_run(registry, "churn", "k1") is None
    first = log(registry, make_report(), churn_rows)
    again = log(registry, make_report(slope=0.7), churn_rows)
    assert (again.run_id, again.artifact_digest) == (first.run_id, first.artifact_digest)
    assert find_run(registry, "churn", "k1").run_id == first.run_id
    assert len(runs_of(registry)) == 1


def test_a_killed_run_is_not_found_and_is_marked_by_the_next(
    registry: Registry, make_report: Make, churn_rows: pl.DataFrame
):
    killed = registry.client.create_run(registry.experiment_id("churn"), tags={"run_key": "k1"})  # then SIGKILL
    assert find_run(registry, "churn", "k1") is None
    complete = log(registry, make_report(), churn_rows)
    assert registry.client.get_run(killed.info.run_id).info.status == "KILLED"
    assert find_run(registry, "churn", "k1").run_id == complete.run_id != killed.info.run_id


def test_what_a_kill_left_running_is_marked_whatever_its_key(
    registry: Registry, make_report: Make, churn_rows: pl.DataFrame, tmp_path: Path
):
    """The next night has other data, and with it other keys."""
    killed = [
        registry.client.create_run(registry.experiment_id(home), tags={"run_key": "k0"}).info.run_id
        for home in ("churn", "reports", "churn-tuning")
    ]
    other = registry.client.create_run(registry.experiment_id("recommender")).info.run_id
    log(registry, make_report(), churn_rows)
    (tmp_path / "report.html").write_text("<html>")
    log_report(registry, tmp_path / "report.html", key="k1", name="report", tags={})
    log_search(registry, "churn", "network", Search(Config(width=3), TRIALS), "three trials")
    assert [registry.client.get_run(run).info.status for run in killed] == ["KILLED"] * 3
    assert registry.client.get_run(other).info.status == "RUNNING"


def test_a_run_that_fails_is_marked_and_not_found(registry: Registry, make_report: Make, churn_rows: pl.DataFrame):
    with pytest.raises(ArtifactRefused, match="os:getcwd"):
        log(registry, make_report(loader="os:getcwd"), churn_rows)
    assert [run.info.status for run in runs_of(registry)] == ["FAILED"]
    assert find_run(registry, "churn", "k1") is None


def test_no_pickle_and_no_code_is_stored(
    registry: Registry, make_report: Make, churn_rows: pl.DataFrame, tmp_path: Path
):
    log(registry, make_report(), churn_rows)
    files = [path for path in (tmp_path / "artifacts").rglob("*") if path.is_file()]
    assert {path.suffix for path in files} <= {".json", ".yaml", ".txt", ".png", ""}
    assert not [path for path in files if path.read_bytes()[:1] == b"\x80"]  # a pickle's first byte
    assert not [path for path in files if b"cloudpickle" in path.read_bytes()]


@pytest.mark.parametrize(
    ("promotion", "churn", "recommender"),
    [
        (Promotion(), "validation_average_precision", "validation_ndcg"),
        (Promotion(churn_metric="roc_auc", recommender_metric="hit_rate"), "validation_roc_auc", "validation_hit_rate"),
    ],
)
def test_an_experiment_tells_and_is_sorted_by_the_figure_that_decides(
    registry: Registry, promotion: Promotion, churn: str, recommender: str
):
    for name, figure in (("churn", churn), ("recommender", recommender)):
        describe_experiment(registry, name, Promotion(churn_metric="roc_auc"))
        describe_experiment(registry, name, promotion)
        tags = registry.client.get_experiment(registry.experiment_id(name)).tags
        assert (
            f"after the as-of{' by full ranking' * (name == 'recommender')}: chosen by {figure}, reported"
            in (tags["mlflow.note.content"])
        )
        assert tags["mlflow.experiment.primaryMetric.name"] == figure
        packed = json.loads(tags["mlflow.sharedViewState.candidates"])["state"].removeprefix("deflate;")
        state = json.loads(zlib.decompress(base64.b64decode(packed)))
        assert state["orderByKey"] == f"metrics.`{figure}`"
        told = [column.removeprefix("metrics.`").removesuffix("`") for column in state["selectedColumns"]]
        assert told[:2] == [figure, figure.replace("validation", "test")]
        assert len(told) == len(set(told))


class Config(BaseModel):
    """One number."""

    width: int = 1


TRIALS = (
    Trial(0, {"width": 1}, 0.25, (0.1, 0.25), 2.0),
    Trial(1, {"width": 2}, None, (0.05,), 1.0),
    Trial(2, {"width": 3}, 0.5, (0.4, 0.5), 2.0),
)


def test_a_search_is_a_run_with_a_nested_run_for_each_trial(registry: Registry):
    parent = log_search(registry, "recommender", "sequential", Search(Config(width=3), TRIALS), "three trials")
    client, home = registry.client, [registry.experiment_id("recommender-tuning")]
    runs = [run for run in client.search_runs(home) if run.data.tags.get(MLFLOW_PARENT_RUN_ID) == parent]
    told = {run.data.params["width"]: (run.info.status, run.data.metrics.get(FIGURE)) for run in runs}
    assert told == {"1": ("FINISHED", 0.25), "2": ("KILLED", None), "3": ("FINISHED", 0.5)}
    last = next(run for run in runs if run.data.params["width"] == "3")
    assert [one.value for one in client.get_metric_history(last.info.run_id, WATCHED)] == [0.4, 0.5]
    search = client.get_run(parent)
    assert search.data.metrics == {FIGURE: 0.5, f"default_{FIGURE}": 0.25}
    assert search.data.params == {"width": "3"}
    assert search.info.status == "FINISHED"
    assert search.data.tags["best_trial"] == "2"
    spans = sorted((run.info.start_time, run.info.end_time) for run in runs)
    assert [end - start for start, end in spans] == [2_000, 1_000, 2_000]
    assert [start for start, _ in spans[1:]] == [end for _, end in spans[:-1]]  # one after another
    assert (search.info.start_time, search.info.end_time) == (spans[0][0], spans[-1][1])
