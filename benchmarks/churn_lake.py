"""Every churn candidate on any lake, at one as-of or several; stored tables and the registry stay as they are."""

import os
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks.churn_comparison import PEERS, READER, TRUTH, Scored
from benchmarks.peers import run_peer
from everstay import tables as t
from everstay.churn import BLEND, MAX_TOKENS, ChurnRows, join_rows, load_artifact, train_candidate
from everstay.churn.rows import outcomes
from everstay.features import TimeSplit, compute_features, compute_labels, is_sampled, sample_share
from everstay.features.buckets import compute_tokens
from everstay.lake import Snapshot
from everstay.metrics.classification import average_precision
from everstay.metrics.comparison import standard_error, statistic_interval
from everstay.partitions import open_cluster
from everstay.settings import FILE_VARIABLE, Settings, load_settings
from everstay.sources.store_twin.truth import StoreTruth
from everstay.storage import Folder
from flows import runtime
from flows.build_features import choose_split
from flows.ingest_events import ingest_events

CANDIDATES = (
    "recency", "purchase_process", "logistic", "lasso", "tree", "svm",
    "boosting", "lightgbm", "network", "hazard", "transformer", "blend",
)  # fmt: skip

_STEP = timedelta(days=28)


def judge_lake(
    source: Path | None, as_of: datetime | None, horizon_days: int | None, rolling: int, names: Sequence[str]
) -> list[Scored]:
    """Ingest what a settings file names, then train and judge candidates at the last `rolling` as-ofs.

    Args:
        source: the settings file; None: the one in use.
        as_of: the last as-of; None: the settings', or the last mature one.
        horizon_days: of the label; None: the settings'.
        rolling: as-ofs, four weeks apart, the latest one last.
        names: of candidates; none: all of them.
    """
    if source is not None:
        os.environ[FILE_VARIABLE] = str(source)
    settings = load_settings()
    churn = settings.churn.model_copy(update={"candidates": tuple(names or CANDIDATES)})
    if horizon_days is not None:
        churn = churn.model_copy(update={"horizon_days": horizon_days})
    ingest_events()
    snapshot = runtime.open_lake(settings).snapshot()
    settings = settings.model_copy(update={"churn": churn, "as_of": as_of.date() if as_of else settings.as_of})
    last = choose_split(snapshot, settings).test
    moments = [last - back * _STEP for back in reversed(range(rolling))]
    return [_judge_as_of(settings.model_copy(update={"as_of": moment.date()}), snapshot) for moment in moments]


def _judge_as_of(settings: Settings, snapshot: Snapshot) -> Scored:
    with tempfile.TemporaryDirectory() as work:
        split = choose_split(snapshot, settings)
        rows = write_rows(snapshot, split, settings, Path(work))
        probabilities, chosen = score_candidates(rows, settings, settings.churn.candidates, Path(work, "candidates"))
        test = ChurnRows.read(rows).test
        others = {**score_peers(rows, test), **_truth(settings, test)}
        return Scored.of_rows(settings.source.kind, test, {**others, **probabilities}, chosen)


def _truth(settings: Settings, test: pl.DataFrame) -> dict[str, NDArray[np.float64]]:
    """Probabilities by a simulated shop's true hazards and the visits, and the best inference from the visits alone."""
    if settings.source.kind != "store_twin":
        return {}
    truth, churn = StoreTruth(settings.source.store_twin), settings.churn
    told = {}
    for name, known in ((TRUTH, truth.visible_churn_probability), (READER, truth.readable_churn_probability)):
        table = known(test[t.AS_OF][0], horizon_days=churn.horizon_days, gap_days=churn.gap_days)
        users = test.select(t.USER_ID).join(table, on=t.USER_ID, how="left", maintain_order="left")
        told[name] = users[t.CHURN_PROBABILITY].to_numpy()
    return told


def write_rows(snapshot: Snapshot, split: TimeSplit, settings: Settings, work: Path) -> Path:
    """Compute features, tokens and labels of all as-ofs of `split` from the lake's events; return the rows' folder.

    For at most `churn.max_users` users, as in the flow.
    """
    known_at = snapshot.recorded_until
    with open_cluster(settings.dask) as scheduler:
        parts = compute_labels(snapshot, split.as_ofs, settings.churn, known_at, Folder(f"{work}/labels"), scheduler)
        labels = parts.read_all()
        share = sample_share(labels[t.USER_ID].n_unique(), settings.churn.max_users)
        parts = compute_features(snapshot, split.as_ofs, Folder(f"{work}/features"), scheduler, share=share)
        features = parts.read_all().filter(is_sampled(share))
        parts = compute_tokens(snapshot, split.as_ofs, MAX_TOKENS, Folder(f"{work}/tokens"), scheduler, share)
        tokens = parts.read_all()
    labels = labels.filter(is_sampled(share))
    rows = ChurnRows.split(join_rows(features, tokens, labels), split, join_rows(features, tokens))
    rows = replace(rows, share=share)
    rows.check()
    return rows.write(work / "rows")


def score_candidates(
    rows: Path, settings: Settings, names: Sequence[str], folder: Path
) -> tuple[dict[str, NDArray[np.float64]], str]:
    """Train candidates on stored rows: their probabilities on the test rows, and which is best on validation."""
    parts, probabilities, judged = ChurnRows.read(rows), {}, {}
    for name in names:
        home = train_candidate(name, rows, settings, folder, "benchmark")
        judged[name] = load_artifact(home / "early").predict_probability(parts.validation)
        probabilities[name] = load_artifact(home / "artifact").predict_probability(parts.test)
    return probabilities, _choose(judged, parts.validation, settings)


def _choose(early: dict[str, NDArray[np.float64]], validation: pl.DataFrame, settings: Settings) -> str:
    """As the training flow does: the best on validation, or the blend if it is within one standard error of it."""
    policy = settings.promotion
    churned, users = outcomes(validation), validation[t.USER_ID].to_numpy()
    figures = {name: float(average_precision(churned, probability)) for name, probability in early.items()}
    best = max(figures, key=lambda name: figures[name])
    interval = statistic_interval(
        average_precision,
        churned,
        early[best],
        users=users,
        resamples=policy.resamples,
        confidence=policy.confidence,
        seed=settings.training.seed,
    )
    noise = standard_error(interval, policy.confidence)
    return BLEND if figures.get(BLEND, 0.0) >= figures[best] - noise else best


def score_peers(rows: Path, test: pl.DataFrame) -> dict[str, NDArray[np.float64]]:
    """Probabilities of the peers, fitted in their own environment to all rows known at the test as-of."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "predicted.parquet"
        run_peer("rows_churn.py", str(rows.resolve()), str(output))
        predicted = test.select(t.USER_ID).join(pl.read_parquet(output), on=t.USER_ID, maintain_order="left")
    return {name: predicted[column].to_numpy() for name, column in PEERS.items()}
