"""What later steps pass around instead of models: references to complete runs and to registered versions."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from everstay.metrics.comparison import Interval

ModelName = Literal["churn", "recommender"]


@dataclass(frozen=True)
class RunRef:
    """A complete run: what later steps pass around instead of the model.

    Attributes:
        experiment: "churn" or "recommender".
        run_id: MLflow's.
        candidate: name of the candidate.
        model_id: of the logged model.
        artifact_digest: of the artifact folder.
        data_version: what it learned from.
        as_of: what it was judged at, ISO format.
        metrics: final figures with their bounds.
    """

    experiment: str
    run_id: str
    candidate: str
    model_id: str
    artifact_digest: str
    data_version: str
    as_of: str
    metrics: Mapping[str, Interval]


@dataclass(frozen=True)
class ModelRef:
    """One version of a registered model.

    Attributes:
        model: "churn" or "recommender".
        version: number, as MLflow writes it.
        run_id: the run that it came from.
        model_id: of the logged model.
        candidate: name of the candidate.
        artifact_digest: of the artifact folder.
        data_version: what it learned from.
        as_of: what it was judged at, ISO format.
    """

    model: ModelName
    version: str
    run_id: str
    model_id: str
    candidate: str
    artifact_digest: str
    data_version: str
    as_of: str
