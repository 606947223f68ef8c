"""A candidate's metrics and description as the registry stores them, before anything is written."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from everstay.metrics.comparison import Interval
from everstay.metrics.report import CandidateReport

_LOW, _HIGH = "uncertainty_low/", "uncertainty_high/"
"""The slash gives them a section of their own in MLflow, and the first letter sorts them after the test figures."""
_VALIDATION, _TEST = "validation_", "test_"


class Figure(NamedTuple):
    """One number of a run.

    Attributes:
        key: metric name.
        value: of the metric.
        step: epoch for a curve, 0 for a final figure.
    """

    key: str
    value: float
    step: int


def describe_metrics(report: CandidateReport) -> Iterator[Figure]:
    """Yield every metric, every curve by epoch, then the bounds as `uncertainty_low/...` and `uncertainty_high/...`."""
    for name, interval in report.metrics.items():
        yield Figure(name, interval.value, 0)
    for name, values in report.curves.items():
        yield from (Figure(name, float(value), epoch) for epoch, value in enumerate(values))
    for name, interval in report.metrics.items():
        yield Figure(_LOW + name, interval.low, 0)
        yield Figure(_HIGH + name, interval.high, 0)


def read_intervals(metrics: Mapping[str, float]) -> dict[str, Interval]:
    """Put values and bounds together again; a number without bounds (a curve's last) is left out.

    >>> read_intervals({"auc": 0.8, "uncertainty_low/auc": 0.7, "uncertainty_high/auc": 0.9, "train_loss": 0.3})
    {'auc': Interval(value=0.8, low=0.7, high=0.9)}
    """
    return {
        name: Interval(value, metrics[_LOW + name], metrics[_HIGH + name])
        for name, value in metrics.items()
        if _LOW + name in metrics and _HIGH + name in metrics
    }


def describe_run(report: CandidateReport, model: str, as_of: str, data_version: str) -> str:
    """The page of a run in Markdown: what it is, and its figures on validation and test side by side.

    Args:
        report: the candidate.
        model: "churn" or "recommender".
        as_of: what it is judged at, ISO format.
        data_version: what it learned from.
    """
    names = [name.removeprefix(_TEST) for name in report.metrics if name.startswith(_TEST)]
    both = [name for name in names if _VALIDATION + name in report.metrics and not _is_group(name, names)]
    rows = [
        f"| {name} | {_words(report.metrics[_VALIDATION + name])} | {_words(report.metrics[_TEST + name])} |"
        for name in both
    ]
    heading = f"**{report.name}**, a candidate for {model}, tested as of {as_of[:10]}, trained on {data_version}."
    told = "Candidates are chosen by the validation figures; in brackets: confidence intervals over users. Figures by "
    told += "user group, interval bounds and training curves are under Model metrics, plots under Artifacts, plots."
    table = ["| figure | validation | test |", "|---|---|---|", *rows]
    return "\n".join([heading, "", *(table if rows else []), "", told])


def _is_group(name: str, names: Sequence[str]) -> bool:
    """Whether a figure is another one restricted to a group of users, as `ndcg_repeat` is for `ndcg`."""
    return any(name.startswith(f"{whole}_") for whole in names)


def _words(interval: Interval) -> str:
    if interval.low == interval.high:
        return f"{interval.value:.4f}"
    return f"{interval.value:.4f} ({interval.low:.3f} to {interval.high:.3f})"
