"""Runs as versions of the registered models `churn` and `recommender`, and what their aliases point to."""

import json
import tempfile
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import mlflow.artifacts
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import Model
from mlflow.utils.mlflow_tags import MLFLOW_MODEL_VERSIONS

from everstay.registry import tracking
from everstay.registry.artifact import ArtifactRefused, artifact_digest, load_artifact
from everstay.registry.refs import ModelName, ModelRef, RunRef
from everstay.registry.store import Registry

CHAMPION = "champion"
CHALLENGER = "challenger"
METRIC = "metric"
_NOT_THERE = "RESOURCE_DOES_NOT_EXIST"
_MOST_VERSIONS = 10_000  # that MLflow returns at once

DESCRIPTIONS: dict[ModelName, str] = {
    "churn": "Who is about to leave: probability of no net purchase within the horizon. Input: activity features and "
    "event sequences as of a midnight; output: churn_probability.",
    "recommender": "What each user wants next: a ranked list of items. Input: purchase history as of a midnight; "
    "output: user_id, rank, item_id, score, reason.",
}


def register_challenger(registry: Registry, model: ModelName, run: RunRef, *, metric: str) -> ModelRef:
    """Register a run as a version and point the alias `challenger` to it; a registered run gets no second version.

    Args:
        registry: the store.
        model: whose version it becomes.
        run: a complete one.
        metric: name of the figure it is judged by, for example `test_average_precision`; described with its bounds.
    """
    client = registry.client
    _ensure_registered(registry, model)
    known = client.search_model_versions(f"name = '{model}' and run_id = '{run.run_id}'")
    version = known[0] if known else _create_version(registry, model, run, metric)
    client.set_registered_model_alias(model, CHALLENGER, str(version.version))
    return _as_ref(model, version)


def champion(registry: Registry, model: ModelName) -> ModelRef | None:
    """The version in use, or None."""
    return _by_alias(registry, model, CHAMPION)


def challenger(registry: Registry, model: ModelName) -> ModelRef | None:
    """The version put forward last, or None; after its promotion it is the champion too."""
    return _by_alias(registry, model, CHALLENGER)


def usable_champion(registry: Registry, model: ModelName) -> ModelRef | None:
    """The version in use, if there is one and it can be loaded."""
    found = champion(registry, model)
    return None if found is None or why_lost(registry, found) else found


def get_version(registry: Registry, model: ModelName, version: str) -> ModelRef:
    """One version by its number."""
    return _as_ref(model, registry.client.get_model_version(model, version))


def known_versions(registry: Registry, model: ModelName) -> dict[str, ModelRef]:
    """All versions by their numbers; none when the store is new, whatever the lake's ledger holds."""
    found = registry.client.search_model_versions(f"name = '{model}'", max_results=_MOST_VERSIONS)
    return {str(version.version): _as_ref(model, version) for version in found}


def registered_at(registry: Registry, model: ModelName) -> datetime | None:
    """When the model was first registered in the store; None if never."""
    found = registry.client.search_registered_models(f"name = '{model}'")
    return datetime.fromtimestamp(found[0].creation_timestamp / 1_000, UTC) if found else None


def describe_decision(registry: Registry, model: ModelName, version: str, words: str) -> None:
    """Write the latest decision on a version below its description, where MLflow's pages show it."""
    described = str(registry.client.get_model_version(model, version).description).split("\n\n")[0]
    registry.client.update_model_version(model, version, description=f"{described}\n\n{words}")


def download(registry: Registry, ref: ModelRef | RunRef) -> Path:
    """The artifact folder of a version or run: where it lies in a local store, else a copy until this process ends.

    Raises:
        ArtifactRefused: the files are gone, or are not the ones that were logged.
    """
    try:
        location = registry.client.get_logged_model(ref.model_id).artifact_location
        folder = Path(
            mlflow.artifacts.download_artifacts(
                location, dst_path=_place_of_copy(location, ref), tracking_uri=registry.tracking_uri
            )
        )
        artifact = folder / _packed_name(folder)
    except MlflowException as error:
        if error.error_code != _NOT_THERE:
            raise
        raise ArtifactRefused(
            f"the files of {ref.candidate} (run {ref.run_id}) are gone from MLflow's store: {error.message}; "
            "`make train` retrains the model"
        ) from None
    if artifact_digest(artifact) != ref.artifact_digest:
        raise ArtifactRefused(
            f"{artifact} was changed after it was logged by run {ref.run_id} and was not loaded; "
            "`make train` retrains the model"
        )
    return artifact


def _place_of_copy(location: str, ref: ModelRef | RunRef) -> str | None:
    """Where files of a remote store are copied to; None: they are on this machine."""
    if urlsplit(location).scheme in ("", "file"):
        return None
    place = Path(_copies().name, ref.model_id)
    place.mkdir(exist_ok=True)
    return str(place)


@cache
def _copies() -> tempfile.TemporaryDirectory[str]:
    """A folder that is removed when the process ends."""
    return tempfile.TemporaryDirectory(prefix="everstay-models-", ignore_cleanup_errors=True)


def why_lost(registry: Registry, ref: ModelRef | RunRef) -> str:
    """Why the model of a version or run cannot be loaded any more, in words; empty when it can."""
    try:
        load_artifact(download(registry, ref))
    except ArtifactRefused as error:
        return str(error)
    return ""


def _packed_name(folder: Path) -> str:
    """The artifact folder's path within MLflow's model folder."""
    try:
        return str(Model.load(str(folder)).flavors["python_function"]["data"])
    except MlflowException:
        raise
    except Exception as error:  # a damaged file may raise anything
        raise ArtifactRefused(
            f"{folder / 'MLmodel'} was changed after it was logged: `make train` retrains the model"
        ) from error


def _ensure_registered(registry: Registry, model: ModelName) -> None:
    try:
        registry.client.create_registered_model(model, description=DESCRIPTIONS[model])
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _create_version(registry: Registry, model: ModelName, run: RunRef, metric: str) -> ModelVersion:
    figure = run.metrics[metric]
    registry.adopt()  # the SQL store looks the model up in the process-wide store, whatever client asks
    version = registry.client.create_model_version(
        model,
        f"models:/{run.model_id}",
        run.run_id,
        description=f"{run.candidate}: {metric} {figure.value:.4f} ({figure.low:.4f} to {figure.high:.4f}), "
        f"as of {run.as_of[:10]}, trained on {run.data_version}",
        tags={
            tracking.CANDIDATE: run.candidate,
            tracking.DATA_VERSION: run.data_version,
            tracking.AS_OF: run.as_of,
            tracking.ARTIFACT_DIGEST: run.artifact_digest,
            tracking.MODEL_ID: run.model_id,
            METRIC: metric,
        },
        model_id=run.model_id,
    )
    link = json.dumps([{"name": model, "version": version.version}])
    registry.client.set_logged_model_tags(run.model_id, {MLFLOW_MODEL_VERSIONS: link})
    return version


def _by_alias(registry: Registry, model: ModelName, alias: str) -> ModelRef | None:
    try:
        return _as_ref(model, registry.client.get_model_version_by_alias(model, alias))
    except MlflowException as error:
        if error.error_code in (_NOT_THERE, "INVALID_PARAMETER_VALUE"):  # no such model, no such alias
            return None
        raise


def _as_ref(model: ModelName, version: ModelVersion) -> ModelRef:
    tags = version.tags
    return ModelRef(
        model,
        str(version.version),
        str(version.run_id),
        tags[tracking.MODEL_ID],
        tags[tracking.CANDIDATE],
        tags[tracking.ARTIFACT_DIGEST],
        tags[tracking.DATA_VERSION],
        tags[tracking.AS_OF],
    )
