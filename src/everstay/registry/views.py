"""What a person sees first of an experiment in MLflow's UI: its description, and a saved view of its candidates.

MLflow keeps both as tags of the experiment. Without the view its table of runs shows no metric.
"""

import base64
import json
import zlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from mlflow.utils.mlflow_tags import MLFLOW_EXPERIMENT_PRIMARY_METRIC_NAME

from everstay.registry.refs import ModelName
from everstay.registry.store import Registry
from everstay.settings import Promotion

_VIEW = "candidates"
_VIEW_TAG = f"mlflow.sharedViewState.{_VIEW}"
_KIND, _NOTE = "mlflow.experimentKind", "mlflow.note.content"
_MODE = "workflowType=machine_learning"  # without it MLflow opens with its pages for language models


class _Experiment(NamedTuple):
    """Description and view of an experiment.

    Attributes:
        judged: what a run is and what it is judged on, in Markdown; how candidates are chosen follows it.
        metrics: columns of the view, after the figures that decide.
    """

    judged: str
    metrics: tuple[str, ...]


_EXPERIMENTS: Mapping[ModelName, _Experiment] = {
    "churn": _Experiment(
        "Who is about to leave. Each run is a candidate, tested on who left after the as-of",
        (
            "test_average_precision",
            "test_roc_auc",
            "test_lift_top_decile",
            "test_expected_calibration_error",
        ),
    ),
    "recommender": _Experiment(
        "What each user wants next. Each run is a candidate, tested on the next basket after the as-of by full ranking",
        (
            "test_ndcg",
            "test_recall",
            "test_ndcg_explore",
            "test_coverage",
        ),
    ),
}


def describe_experiment(registry: Registry, name: ModelName, promotion: Promotion) -> None:
    """Write description and view of an experiment; a repeated call changes nothing.

    Args:
        registry: the store.
        name: "churn" or "recommender".
        promotion: names the figure that decides; the runs are sorted by it, best first.
    """
    told = _EXPERIMENTS[name]
    metric = promotion.churn_metric if name == "churn" else promotion.recommender_metric
    columns = tuple(dict.fromkeys((f"validation_{metric}", f"test_{metric}", *told.metrics)))
    tags = {
        _NOTE: f"{told.judged}: chosen by {columns[0]}, reported by the test figures. "
        "The view *Candidates* compares them.",
        _KIND: "custom_model_development",
        MLFLOW_EXPERIMENT_PRIMARY_METRIC_NAME: columns[0],
        _VIEW_TAG: json.dumps({"name": "Candidates", "createdAt": 0, "updatedAt": 0, "state": _state(columns)}),
    }
    experiment_id = registry.experiment_id(name)
    known = registry.client.get_experiment(experiment_id).tags
    for key, value in tags.items():
        if known.get(key) != value:
            registry.client.set_experiment_tag(experiment_id, key, value)


def addresses(registry: Registry, port: int) -> dict[str, str]:
    """Addresses of the UI's pages by name: candidates of each model, champions."""
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
