"""Models and their files in a bucket: S3 by a real local server; a copy is made once a process and goes with it."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest
from botocore.session import get_session
from moto.server import ThreadedMotoServer

from everstay.errors import SettingsError
from everstay.metrics.report import CandidateReport
from everstay.registry import store, versions
from everstay.registry.artifact import load_artifact
from everstay.registry.store import Registry
from everstay.registry.tracking import log_candidate, logged_settings
from everstay.settings import Mlflow

BUCKET = "s3://models/mlruns"


@pytest.fixture
def settings(mlflow_settings: Mlflow, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mlflow]:
    """A SQLite store whose files lie in a bucket; the environment names the server as a shop's would."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    environment = {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "MLFLOW_S3_ENDPOINT_URL": f"http://{host}:{port}",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    get_session().create_client("s3").create_bucket(Bucket="models")
    yield mlflow_settings.model_copy(update={"artifacts": BUCKET})
    server.stop()


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this machine keeps temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    versions._copies.cache_clear()
    return folder


def test_a_model_in_a_bucket_is_copied_to_one_place(
    settings: Mlflow, temporary: Path, make_report: Callable[..., CandidateReport], churn_rows: pl.DataFrame
) -> None:
    registry, report = Registry(settings), make_report(slope=0.3)
    run = log_candidate(registry, "churn", report, run_key="k", example=churn_rows, settings={"seed": 17})
    champion = versions.register_challenger(registry, "churn", run, metric="test_metric")
    assert list(temporary.iterdir()) == []
    folders = {versions.download(registry, champion) for _ in range(3)}
    assert len(folders) == 1
    assert load_artifact(folders.pop()).predict_probability(churn_rows).shape == (3,)
    assert [folder.name.startswith("everstay-models-") for folder in temporary.iterdir()] == [True]
    versions._copies().cleanup()
    versions._copies.cache_clear()
    assert list(temporary.iterdir()) == []


def test_what_is_read_of_a_run_leaves_no_file_behind(
    registry: Registry, temporary: Path, make_report: Callable[..., CandidateReport], churn_rows: pl.DataFrame
) -> None:
    run = log_candidate(registry, "churn", make_report(), run_key="k", example=churn_rows, settings={"seed": 17})
    assert logged_settings(registry, run.run_id) == {"seed": 17}
    versions.download(registry, run)  # where it lies
    assert list(temporary.iterdir()) == []


def test_a_bucket_without_its_package_is_told(mlflow_settings: Mlflow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(SettingsError, match=r"mlflow\.artifacts 's3://models/mlruns' needs .*: pip install boto3"):
        Registry(mlflow_settings.model_copy(update={"artifacts": BUCKET}))
