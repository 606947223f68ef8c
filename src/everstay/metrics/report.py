"""What is reported of a candidate to the registry: settings, metrics with intervals, curves, plots, artifact."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from matplotlib.figure import Figure

from everstay.metrics.comparison import Interval


@dataclass(frozen=True)
class CandidateReport:
    """One fitted and evaluated candidate.

    Attributes:
        name: of the candidate: "network", "boosting", ...
        params: its settings.
        metrics: part, metric and slice to value and bounds: "test_roc_auc", "test_ndcg_repeat", ...
        curves: per epoch: "train_loss", "validation_loss", ...
        figures: file name to plot: "calibration.png", ...
        artifact: the artifact folder.
        pages: file name to text or HTML: "rules.txt", "fairness.html", ...
        seconds: that its training took, beside others; of a resumed one, since it was resumed.
    """

    name: str
    params: Mapping[str, str | int | float | bool]
    metrics: Mapping[str, Interval]
    curves: Mapping[str, Sequence[float]]
    figures: Mapping[str, Figure]
    artifact: Path
    pages: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
