"""The connection to MLflow's store: SQLite or PostgreSQL for metadata, a folder or bucket for artifacts."""

import importlib.util
import logging
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import httpx
import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from sqlalchemy import make_url

from everstay.errors import NotReady, SettingsError
from everstay.settings import Mlflow

_SQLITE = "sqlite:///"
_ANSWER_SECONDS = 20


class Registry:
    """MLflow's store, opened; created on first use.

    Attributes:
        tracking_uri: where runs and versions are recorded.
        client: MLflow's client for that store. Our code never relies on MLflow's process-wide state.
    """

    def __init__(self, settings: Mlflow):
        _be_quiet()
        self.tracking_uri = _checked(settings.tracking_uri)
        if settings.artifacts.startswith("s3://") and importlib.util.find_spec("boto3") is None:
            raise SettingsError(f"mlflow.artifacts '{settings.artifacts}' needs another package: pip install boto3")
        self._artifacts = (
            settings.artifacts if "://" in settings.artifacts else Path(settings.artifacts).absolute().as_uri()
        )
        self.client = MlflowClient(self.tracking_uri, self.tracking_uri)

    def experiment_id(self, name: str) -> str:
        """The experiment's id; it is created when it does not exist."""
        known = self.client.get_experiment_by_name(name)
        if known is None:
            try:
                return self.client.create_experiment(name, f"{self._artifacts.rstrip('/')}/{name}")
            except MlflowException:  # another process was faster
                known = self.client.get_experiment_by_name(name)
                if known is None:
                    raise
        return str(known.experiment_id)

    def adopt(self) -> None:
        """Make this store MLflow's process-wide one, which `models:/` addresses are resolved in."""
        mlflow.set_tracking_uri(self.tracking_uri)
        mlflow.set_registry_uri(self.tracking_uri)


def _checked(uri: str) -> str:
    """Refuse URIs that MLflow refuses, with a clear message; create a missing SQLite file."""
    if "://" not in uri or uri.startswith("file:"):
        raise SettingsError(
            f"mlflow.tracking_uri '{uri}' is a folder, which MLflow no longer supports: "
            "use sqlite:///mlruns/mlflow.db, a postgresql:// address, or the http:// address of an MLflow server"
        )
    if uri.startswith("http"):
        try:
            httpx.get(uri, timeout=_ANSWER_SECONDS)  # any answer will do; MLflow's own client retries for minutes
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise NotReady(
                f"no MLflow server answers at {uri} ({error}): start it, or correct mlflow.tracking_uri"
            ) from None
    if uri.startswith(_SQLITE):
        _open_sqlite(Path(make_url(uri).database or ""))
    return uri


def _open_sqlite(file: Path) -> None:
    """Create the folder, and check that the file is a database or can become one."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(file, timeout=_ANSWER_SECONDS)) as database:
            database.execute("PRAGMA schema_version")
    except (OSError, sqlite3.Error) as error:
        raise SettingsError(f"mlflow.tracking_uri: the database {file} cannot be opened: {error}") from None


def _be_quiet() -> None:
    """Make MLflow log warnings and errors only; a level or switch that the user set is kept."""
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    if "MLFLOW_LOGGING_LEVEL" not in os.environ:
        logging.getLogger("mlflow").setLevel(logging.WARNING)
