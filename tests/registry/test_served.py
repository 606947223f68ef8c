import json
from collections.abc import Callable

import mlflow
import mlflow.pyfunc
import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from everstay import tables as t
from everstay.metrics.report import CandidateReport
from everstay.registry import served
from everstay.registry.artifact import ArtifactRefused, load_artifact
from everstay.registry.refs import ModelName
from everstay.registry.store import Registry
from everstay.registry.tracking import log_candidate
from everstay.registry.versions import CHAMPION, register_challenger

Make = Callable[..., CandidateReport]


def serve(
    registry: Registry, report: CandidateReport, model: ModelName, rows: pl.DataFrame
) -> mlflow.pyfunc.PyFuncModel:
    run = log_candidate(registry, model, report, run_key="k", example=rows, settings={})
    version = register_challenger(registry, model, run, metric="test_metric").version
    registry.client.set_registered_model_alias(model, CHAMPION, version)
    registry.adopt()
    return mlflow.pyfunc.load_model(f"models:/{model}@champion")


def test_the_champion_loads_as_pyfunc_and_predicts_the_same(
    registry: Registry, make_report: Make, churn_rows: pl.DataFrame
):
    report = make_report()
    model = serve(registry, report, "churn", churn_rows)
    predicted = model.predict(served.rows_to_pandas(churn_rows))
    expected = load_artifact(report.artifact).predict_probability(churn_rows)
    np.testing.assert_array_equal(predicted[t.CHURN_PROBABILITY].to_numpy(), expected)
    assert len(set(expected)) == 3


def test_the_input_example_is_kept_and_can_be_predicted(
    registry: Registry, make_report: Make, churn_rows: pl.DataFrame
):
    report = make_report()
    model = serve(registry, report, "churn", churn_rows)
    predicted = model.predict(model.input_example)
    np.testing.assert_array_equal(
        predicted[t.CHURN_PROBABILITY].to_numpy(), load_artifact(report.artifact).predict_probability(churn_rows)
    )
    assert model.metadata.signature.outputs.input_names() == [t.CHURN_PROBABILITY]


def test_the_recommender_answers_lists_of_the_length_asked(
    registry: Registry, make_report: Make, history_rows: pl.DataFrame
):
    report = make_report(model="recommender")
    model = serve(registry, report, "recommender", history_rows)
    lists = pl.from_pandas(model.predict(served.rows_to_pandas(history_rows), params={served.LIST_LENGTH: 2}))
    expected = load_artifact(report.artifact).recommend(history_rows, 2).select(*served.LIST_COLUMNS)
    assert_frame_equal(lists, expected)
    assert lists[t.ITEM_ID].to_list() == ["i7", "i9", "i1", "i2", "i1", "i2"]


def test_rows_go_to_pandas_and_back_unchanged(churn_rows: pl.DataFrame, history_rows: pl.DataFrame):
    for rows in (churn_rows, history_rows):
        assert_frame_equal(served.rows_from_pandas(served.rows_to_pandas(rows)), rows)


@pytest.mark.parametrize("lists", [[None, None], [[], []], [None, []]])
def test_rows_of_cold_users_alone_keep_their_dtypes(history_rows: pl.DataFrame, lists: list[object]):
    none = [pl.Series(name, lists, history_rows.schema[name]) for name in ("history_item", "history_order")]
    cold = history_rows.head(2).with_columns(none)
    for rows in (cold, cold.clear()):
        assert_frame_equal(served.rows_from_pandas(served.rows_to_pandas(rows)), rows)


def test_the_recommender_answers_cold_users_alone_and_has_them_as_its_example(
    registry: Registry, make_report: Make, history_rows: pl.DataFrame
):
    cold = history_rows[2:]
    model = serve(registry, make_report(model="recommender"), "recommender", cold)
    for asked in (served.rows_to_pandas(cold), served.rows_to_pandas(history_rows[1:2])):
        assert model.predict(asked, params={served.LIST_LENGTH: 2})[t.ITEM_ID].to_list() == ["i1", "i2"]


@pytest.mark.parametrize(
    "loader",
    [
        "os:getcwd",
        "evil_everstay.toy_models:load_toy",
        "everstay.toy_models:load_toy.__globals__",
        "everstay.registry.artifact:hashlib.sha256",
        "everstay.registry.artifact.os:getcwd",
        "tests.registry.conftest:load_toy",
        None,
    ],
)
def test_a_loader_outside_the_package_is_refused(make_report: Make, loader: str | None):
    folder = make_report().artifact
    card = json.loads((folder / "artifact.json").read_text())
    (folder / "artifact.json").write_text(json.dumps(card | {"loader": loader}))
    with pytest.raises(ArtifactRefused):
        load_artifact(folder)


def test_a_name_that_our_module_only_imported_is_refused(make_report: Make):
    with pytest.raises(ArtifactRefused, match="not written in everstay"):
        load_artifact(make_report(loader="everstay.code_version:version").artifact)


@pytest.mark.parametrize(
    "changed",
    [{"loader": "everstay.churn.artifact:load_model"}, {"loader": "everstay.gone:load"}, {"slope": None}],
)
def test_files_of_another_release_are_told_with_what_to_do(make_report: Make, changed: dict[str, str | None]):
    folder = make_report().artifact
    card = json.loads((folder / "artifact.json").read_text()) | changed
    (folder / "artifact.json").write_text(json.dumps({name: told for name, told in card.items() if told is not None}))
    with pytest.raises(ArtifactRefused, match=r"by this release of everstay \(.*Error: .*which replaces a champion"):
        load_artifact(folder)


def test_a_folder_without_card_is_refused(tmp_path):
    with pytest.raises(ArtifactRefused, match=r"artifact\.json"):
        load_artifact(tmp_path)


def test_what_the_models_own_loader_refuses_is_refused_too(make_report: Make):
    """Else `make train` stops at a champion that it ought to replace."""
    folder = make_report(loader="everstay.churn.artifact:load_artifact", kind="of yesterday").artifact
    with pytest.raises(ArtifactRefused, match="names an unknown kind"):
        load_artifact(folder)
