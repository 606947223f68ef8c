"""How good are the churn candidates, beside LightGBM on the same rows? Intervals are over users."""

import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.peers import run_peer
from benchmarks.result import estimated, parse_arguments, show
from everstay import tables as t
from everstay.churn import ChurnRows, load_artifact
from everstay.metrics.classification import average_precision, roc_auc
from everstay.metrics.comparison import paired_statistic_difference, statistic_interval
from everstay.registry.store import Registry
from everstay.registry.versions import download
from everstay.settings import load_settings
from flows.ingest_events import ingest_events
from flows.train_churn import train_churn

_PEER = "LightGBM (peer)"
_RESAMPLES = 2_000
_STATISTICS = {"ROC-AUC": roc_auc, "average precision": average_precision}


def main() -> None:
    """Train what is not trained yet, then score all candidates and the peer on the same test users."""
    arguments = parse_arguments(__doc__ or "")
    settings = load_settings()
    ingest_events()
    training = train_churn()
    registry = Registry(settings.mlflow)
    test = ChurnRows.read(training.rows).test
    churned = test[t.CHURNED].to_numpy().astype(float)
    scored = {_PEER: _score_peer(training.rows, test)}
    for run in training.runs:
        scored[run.candidate] = load_artifact(download(registry, run)).predict_probability(test)
    confidence, seed = settings.promotion.confidence, settings.training.seed
    interval = partial(statistic_interval, resamples=_RESAMPLES, confidence=confidence, seed=seed)
    difference = partial(paired_statistic_difference, resamples=_RESAMPLES, confidence=confidence, seed=seed)
    rows = []
    for name, probability in scored.items():
        for metric, statistic in _STATISTICS.items():
            rows.append(estimated(name, metric, interval(statistic, churned, probability)))
            if name != _PEER:
                against = difference(statistic, churned, probability, scored[_PEER])
                rows.append(estimated(name, f"{metric}, minus LightGBM's", against))
    as_of = f"{test[t.AS_OF][0]:%Y-%m-%d}"
    show(f"Churn as of {as_of}: {test.height:,} users, {churned.mean():.1%} left", rows, arguments.json)


def _score_peer(rows: Path, test: pl.DataFrame) -> np.ndarray:
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "predicted.parquet"
        run_peer("lightgbm_churn.py", str(rows.resolve()), str(output))
        predicted = pl.read_parquet(output)
    return test.select(t.USER_ID).join(predicted, on=t.USER_ID, maintain_order="left")["probability"].to_numpy()


if __name__ == "__main__":
    main()
