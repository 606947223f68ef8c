import logging
from pathlib import Path

import pytest

from everstay.errors import NotReady, SettingsError
from everstay.registry.store import Registry
from everstay.settings import Mlflow


@pytest.mark.parametrize("uri", ["mlruns", "file:///tmp/mlruns", "file:mlruns"])
def test_a_folder_as_store_is_refused_with_what_to_write_instead(uri: str):
    with pytest.raises(SettingsError, match=r"sqlite:///mlruns/mlflow\.db"):
        Registry(Mlflow(tracking_uri=uri))


def test_a_file_that_is_no_database_is_named(tmp_path: Path):
    notes = tmp_path / "notes.txt"
    notes.write_text("not a database, but a text that is longer than nothing")
    for place in (notes, notes / "below" / "mlflow.db", tmp_path):
        with pytest.raises(SettingsError, match=rf"^mlflow\.tracking_uri: the database {place} cannot be opened: "):
            Registry(Mlflow(tracking_uri=f"sqlite:///{place}"))


def test_options_behind_the_file_are_no_part_of_its_name(tmp_path: Path):
    Registry(Mlflow(tracking_uri=f"sqlite:///{tmp_path}/runs/mlflow.db?timeout=30"))
    assert [file.name for file in (tmp_path / "runs").iterdir()] == ["mlflow.db"]


def test_a_server_that_does_not_answer_is_named():
    with pytest.raises(NotReady, match=r"no MLflow server answers at http://127\.0\.0\.1:9 .* mlflow\.tracking_uri"):
        Registry(Mlflow(tracking_uri="http://127.0.0.1:9"))


def test_an_experiment_is_made_once_and_keeps_its_files_where_the_settings_say(registry: Registry, tmp_path: Path):
    first = registry.experiment_id("churn")
    assert registry.experiment_id("churn") == first
    assert registry.client.get_experiment(first).artifact_location == (tmp_path / "artifacts" / "churn").as_uri()


def test_opening_says_nothing(mlflow_settings: Mlflow, capfd: pytest.CaptureFixture[str]):
    Registry(mlflow_settings).experiment_id("churn")
    assert logging.getLogger("mlflow").level == logging.WARNING
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""
