"""Pages in the registry, one per run of the experiment `reports`, found by key; and a candidate's pictures."""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE

from everstay.registry.refs import RunRef
from everstay.registry.store import Registry
from everstay.registry.tracking import RUN_KEY, end_abandoned

EXPERIMENT = "reports"
_DESCRIPTION = "One run per result of the main job: its report is under Artifacts."
_PLOTS = "plots"


def log_report(registry: Registry, page: Path, *, key: str, name: str, tags: Mapping[str, str]) -> str:
    """Log a page once; if a complete run has the key, it is returned and nothing is written.

    Runs that were left half-way are marked as killed.

    Args:
        registry: the store.
        page: the HTML file.
        key: identifies the page's content.
        name: of the run.
        tags: what the page was made from.

    Returns:
        The run's id.
    """
    client, experiment = registry.client, registry.experiment_id(EXPERIMENT)
    wanted = f"tags.{RUN_KEY} = '{key}' and attributes.status = 'FINISHED'"
    known = client.search_runs([experiment], wanted)
    if known:
        return str(known[0].info.run_id)
    end_abandoned(registry, EXPERIMENT)
    client.set_experiment_tag(experiment, "mlflow.note.content", _DESCRIPTION)
    note = f"The report is under Artifacts, {page.name}."
    run = client.create_run(experiment, run_name=name, tags={RUN_KEY: key, MLFLOW_RUN_NOTE: note, **tags})
    run_id = str(run.info.run_id)
    try:
        client.log_artifact(run_id, str(page))
    except BaseException:
        client.set_terminated(run_id, "FAILED")
        raise
    client.set_terminated(run_id, "FINISHED")
    return run_id


def report_address(registry: Registry, run_id: str, port: int) -> str:
    """Where the UI of `make ui` shows a logged page."""
    return f"http://127.0.0.1:{port}/#/experiments/{registry.experiment_id(EXPERIMENT)}/runs/{run_id}/artifacts"


def read_plots(registry: Registry, run: RunRef) -> dict[str, bytes]:
    """The PNG pictures that a candidate was logged with, by name without extension, sorted."""
    names = [file.path for file in registry.client.list_artifacts(run.run_id, _PLOTS) if file.path.endswith(".png")]
    with TemporaryDirectory() as folder:
        found = {
            Path(name).stem: registry.client.download_artifacts(run.run_id, name, folder) for name in sorted(names)
        }
        return {name: Path(file).read_bytes() for name, file in found.items()}
