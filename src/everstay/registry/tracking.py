"""Candidates as MLflow runs: found by their key, logged once, counted only when complete."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import mlflow.artifacts
import polars as pl
from mlflow.entities import LoggedModel, LoggedModelOutput, Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_GIT_COMMIT, MLFLOW_RUN_NOTE

from everstay.metrics.report import CandidateReport
from everstay.registry.artifact import ArtifactRefused, artifact_digest, read_card
from everstay.registry.description import describe_metrics, describe_run, read_intervals
from everstay.registry.identity import commit
from everstay.registry.packaging import write_pyfunc
from everstay.registry.refs import RunRef
from everstay.registry.store import Registry

RUN_KEY = "run_key"
CANDIDATE = "candidate"
MODEL_ID = "model_id"
ARTIFACT_DIGEST = "artifact_digest"
DATA_VERSION = "data_version"
AS_OF = "as_of"
COMMIT = "commit"
LABEL_MATURITY = "label_maturity"
SETTINGS_FILE = "everstay.json"

_BATCH = 1_000  # entries that MLflow takes at once


def find_run(registry: Registry, experiment: str, run_key: str) -> RunRef | None:
    """The complete run with this key, or None. A run that was killed half-way is never found."""
    finished = _search(registry, experiment, run_key, "FINISHED")
    return _as_ref(experiment, finished[0]) if finished else None


def log_candidate(
    registry: Registry,
    experiment: str,
    report: CandidateReport,
    *,
    run_key: str,
    example: pl.DataFrame,
    settings: Mapping[str, Any],
    tags: Mapping[str, str] | None = None,
) -> RunRef:
    """Write one candidate: parameters, figures, curves, pictures, settings and the artifact as a `pyfunc` model.

    If a complete run has the key, it is returned and nothing is written. Runs that were left half-way are marked as
    killed.

    Args:
        registry: the store.
        experiment: "churn" or "recommender".
        report: the candidate.
        run_key: from `identity.run_key`.
        example: a few of the model's rows; become the signature and the input example.
        settings: the resolved settings, kept as `everstay.json`.
        tags: further ones.

    Raises:
        ArtifactRefused: the artifact folder cannot be loaded back.
    """
    known = find_run(registry, experiment, run_key)
    if known is not None:
        return known
    client = registry.client
    end_abandoned(registry, experiment)
    origin = _origin(report, run_key)
    note = describe_run(report, experiment, origin[AS_OF], origin[DATA_VERSION])
    run = client.create_run(
        registry.experiment_id(experiment),
        start_time=int((time.time() - report.seconds) * 1_000),  # so that its duration is that of training
        run_name=f"{report.name} {origin[AS_OF][:10]}",
        tags={**origin, MLFLOW_RUN_NOTE: note, **(tags or {})},
    )
    try:
        _write(registry, run, report, example, settings)
    except BaseException:
        client.set_terminated(run.info.run_id, "FAILED")
        raise
    client.set_terminated(run.info.run_id, "FINISHED")
    return _as_ref(experiment, client.get_run(run.info.run_id))


def end_abandoned(registry: Registry, experiment: str) -> None:
    """Mark runs that killed processes left running as killed; a live run elsewhere sets its own status in the end."""
    running = "attributes.status = 'RUNNING'"
    for abandoned in registry.client.search_runs([registry.experiment_id(experiment)], running):
        registry.client.set_terminated(abandoned.info.run_id, "KILLED")


def discard_run(registry: Registry, run: RunRef) -> None:
    """Mark a complete run whose files are lost as failed, so that it is never found again; its record stays."""
    registry.client.set_terminated(run.run_id, "FAILED")


def logged_settings(registry: Registry, run_id: str) -> dict[str, Any]:
    """The settings under which a run's candidate was made.

    Raises:
        ArtifactRefused: they are gone.
    """
    uri = registry.tracking_uri
    try:
        with TemporaryDirectory() as folder:
            file = mlflow.artifacts.download_artifacts(
                run_id=run_id, artifact_path=SETTINGS_FILE, dst_path=folder, tracking_uri=uri
            )
            settings: dict[str, Any] = json.loads(Path(file).read_text(encoding="utf-8"))
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        raise ArtifactRefused(
            f"{SETTINGS_FILE} of run {run_id} is gone from MLflow's store: `make train` replaces a champion whose "
            "files are lost"
        ) from None
    return settings


def _origin(report: CandidateReport, run_key: str) -> dict[str, str]:
    card = read_card(report.artifact)
    tags = {
        RUN_KEY: run_key,
        CANDIDATE: report.name,
        DATA_VERSION: str(card[DATA_VERSION]),
        AS_OF: str(card[AS_OF]),
        ARTIFACT_DIGEST: artifact_digest(report.artifact),
    }
    known_commit = commit()
    return tags | ({MLFLOW_GIT_COMMIT: known_commit, COMMIT: known_commit} if known_commit else {})


def _write(
    registry: Registry, run: Run, report: CandidateReport, example: pl.DataFrame, settings: Mapping[str, Any]
) -> None:
    client, run_id = registry.client, run.info.run_id
    params = {name: str(value) for name, value in report.params.items()}
    client.log_batch(run_id, params=[Param(name, value) for name, value in params.items()])
    client.log_dict(run_id, dict(settings), SETTINGS_FILE)
    for name, figure in report.figures.items():
        client.log_figure(run_id, figure, f"plots/{name}")
    for name, text in report.pages.items():
        client.log_text(run_id, text, f"pages/{name}")
    model: LoggedModel = client.create_logged_model(
        run.info.experiment_id, report.name, run_id, tags=_plain(run), params=params
    )
    client.log_outputs(run_id, [LoggedModelOutput(model.model_id, 0)])
    with write_pyfunc(report.artifact, model, example) as folder:
        client.log_model_artifacts(model.model_id, str(folder))
    client.finalize_logged_model(model.model_id, "READY")
    _log_metrics(registry, run_id, model.model_id, report)
    client.log_batch(run_id, tags=[RunTag(MODEL_ID, model.model_id)])


def _plain(run: Run) -> dict[str, str]:
    """The run's tags without those that only MLflow reads."""
    return {name: value for name, value in run.data.tags.items() if not name.startswith("mlflow.")}


def _log_metrics(registry: Registry, run_id: str, model_id: str, report: CandidateReport) -> None:
    now = time.time_ns() // 1_000_000
    metrics = [
        Metric(figure.key, figure.value, now, figure.step, model_id=model_id) for figure in describe_metrics(report)
    ]
    for start in range(0, len(metrics), _BATCH):
        registry.client.log_batch(run_id, metrics=metrics[start : start + _BATCH])


def _search(registry: Registry, experiment: str, run_key: str, status: str) -> list[Run]:
    """Runs of one key in one state, oldest first."""
    return list(
        registry.client.search_runs(
            [registry.experiment_id(experiment)],
            f"tags.{RUN_KEY} = '{run_key}' and attributes.status = '{status}'",
            order_by=["attributes.start_time ASC"],
        )
    )


def _as_ref(experiment: str, run: Run) -> RunRef:
    tags = run.data.tags
    return RunRef(
        experiment,
        run.info.run_id,
        tags[CANDIDATE],
        tags[MODEL_ID],
        tags[ARTIFACT_DIGEST],
        tags[DATA_VERSION],
        tags[AS_OF],
        read_intervals(run.data.metrics),
    )
