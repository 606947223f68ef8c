"""A candidate described in the registry's words, before anything is written."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from everstay.metrics.comparison import Interval
from everstay.metrics.report import CandidateReport

_LOW, _HIGH = "_low", "_high"


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
    """Yield every metric with its bounds as `_low` and `_high`, then every curve by epoch."""
    for name, interval in report.metrics.items():
        yield Figure(name, interval.value, 0)
        yield Figure(name + _LOW, interval.low, 0)
        yield Figure(name + _HIGH, interval.high, 0)
    for name, values in report.curves.items():
        yield from (Figure(name, float(value), epoch) for epoch, value in enumerate(values))


def read_intervals(metrics: Mapping[str, float]) -> dict[str, Interval]:
    """Put values and bounds together again; a number without bounds (a curve's last) is left out.

    >>> read_intervals({"auc": 0.8, "auc_low": 0.7, "auc_high": 0.9, "train_loss": 0.3})
    {'auc': Interval(value=0.8, low=0.7, high=0.9)}
    """
    return {
        name: Interval(value, metrics[name + _LOW], metrics[name + _HIGH])
        for name, value in metrics.items()
        if name + _LOW in metrics and name + _HIGH in metrics
    }
