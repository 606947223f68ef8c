"""What a person sees first of an experiment in MLflow's UI: its description, and a saved view of its candidates.

MLflow keeps both as tags of the experiment. Without the view its table of runs shows no metric.
"""

import base64
import json
import zlib
from collections.abc import Sequence
from typing import NamedTuple

from mlflow.utils.mlflow_tags import MLFLOW_EXPERIMENT_PRIMARY_METRIC_NAME

from everstay.registry.store import Registry

_VIEW = "candidates"
_VIEW_TAG = f"mlflow.sharedViewState.{_VIEW}"
_KIND, _NOTE = "mlflow.experimentKind", "mlflow.note.content"
_MODE = "workflowType=machine_learning"  # without it MLflow opens with its pages for language models


class _Experiment(NamedTuple):
    """What is told of an experiment.

    Attributes:
        description: Markdown.
        metrics: columns of the view; the runs are sorted by the first, the best above.
    """

    description: str
    metrics: tuple[str, ...]


_EXPERIMENTS = {
    "churn": _Experiment(
        "Who is about to leave. A run is a candidate, judged on who left after the as-of: chosen by "
        "validation_average_precision, reported by the test figures. View *Candidates* shows them side by side.",
        (
            "validation_average_precision",
            "test_average_precision",
            "test_roc_auc",
            "test_lift_top_decile",
            "test_expected_calibration_error",
        ),
    ),
    "recommender": _Experiment(
        "What each user wants next. A run is a candidate, judged on the next basket after the as-of by full ranking: "
        "chosen by validation_ndcg, reported by the test figures. View *Candidates* shows them side by side.",
        (
            "validation_ndcg",
            "test_ndcg",
            "test_recall",
            "test_ndcg_explore",
            "test_coverage",
        ),
    ),
}


def describe_experiment(registry: Registry, name: str) -> None:
    """Write description and view of an experiment; a repeated call changes nothing."""
    told = _EXPERIMENTS[name]
    tags = {
        _NOTE: told.description,
        _KIND: "custom_model_development",
        MLFLOW_EXPERIMENT_PRIMARY_METRIC_NAME: told.metrics[0],
        _VIEW_TAG: json.dumps({"name": "Candidates", "createdAt": 0, "updatedAt": 0, "state": _state(told.metrics)}),
    }
    experiment_id = registry.experiment_id(name)
    known = registry.client.get_experiment(experiment_id).tags
    for key, value in tags.items():
        if known.get(key) != value:
            registry.client.set_experiment_tag(experiment_id, key, value)


def addresses(registry: Registry, port: int) -> dict[str, str]:
    """Where the UI shows what, by what a person calls it: candidates of each model, champions."""
    page, view = f"http://127.0.0.1:{port}/#", f"{_MODE}&viewStateShareKey={_VIEW}"
    views = {
        f"{name} candidates": f"{page}/experiments/{registry.experiment_id(name)}/runs?{view}" for name in _EXPERIMENTS
    }
    return views | {"champions": f"{page}/models?{_MODE}"}


def _state(metrics: Sequence[str]) -> str:
    """The view as MLflow 3.17 stores it: JSON, deflated, in base 64."""
    columns = [f"metrics.`{metric}`" for metric in metrics]
    state = {"orderByKey": columns[0], "orderByAsc": False, "selectedColumns": columns, "columnOrder": columns}
    return "deflate;" + base64.b64encode(zlib.compress(json.dumps(state).encode())).decode()
