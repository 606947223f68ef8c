"""What both training flows share: train what is new, log a run per candidate, register the best as challenger."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
from prefect import get_run_logger

from everstay.metrics.comparison import standard_error
from everstay.metrics.report import CandidateReport
from everstay.registry.refs import ModelName, ModelRef, RunRef
from everstay.registry.store import Registry
from everstay.settings import Settings
from flows import tasks


@dataclass(frozen=True)
class Training:
    """What a training flow did.

    Attributes:
        model: "churn" or "recommender".
        runs: one per candidate.
        challenger: the version of the candidate chosen on validation.
        rows: folder of the rows it is judged on.
        metric: figure the gate compares, without the prefix `validation_` or `test_`.
        trained: candidates that were trained now; the others were found.
        sample: in words, the sample of a large shop's users that the rows cover; None: all users.
    """

    model: ModelName
    runs: tuple[RunRef, ...]
    challenger: ModelRef
    rows: Path
    metric: str
    trained: tuple[str, ...]
    sample: str | None = None

    def run_of(self, candidate: str) -> RunRef:
        """The run of one candidate."""
        return next(run for run in self.runs if run.candidate == candidate)


@dataclass(frozen=True)
class Work:
    """What differs between the two models' training.

    Attributes:
        model: "churn" or "recommender".
        metric: as in `Training`.
        names: candidates, in the order in which they are trained.
        key: candidate to its run key.
        train: candidate to its folder; does nothing when it is there.
        judge: folder to report.
        example: a few rows for the logged model.
        rows: folder of the rows.
        ensemble: the candidate that averages others; it is chosen when it is within one standard error of the best.
        sample: as in `Training`.
    """

    model: ModelName
    metric: str
    names: Sequence[str]
    key: Callable[[str], str]
    train: Callable[[str], Path]
    judge: Callable[[Path], CandidateReport]
    example: Callable[[], pl.DataFrame]
    rows: Path
    ensemble: str | None = None
    sample: str | None = None


def train_candidates(work: Work, registry: Registry, settings: Settings) -> Training:
    """Train and log the candidates whose run is not there yet; point the alias challenger to the chosen one."""
    logger = get_run_logger()
    tasks.describe_experiment(registry, work.model, settings.promotion)
    runs: dict[str, RunRef] = {}
    trained = []
    for name in work.names:
        known = tasks.find_run(registry, work.model, work.key(name))
        if known is not None and (lost := tasks.why_lost(registry, known)):
            logger.warning("%s %s: retraining: %s", work.model, name, lost)
            tasks.discard_run(registry, known)
            known = None
        if known is not None:
            logger.info("%s %s: nothing new; run %s", work.model, name, known.run_id)
            runs[name] = known
            continue
        logger.info("%s %s: training", work.model, name)
        started_at = datetime.now(UTC)
        report, told = work.judge(work.train(name)), settings.model_dump(mode="json")
        runs[name] = tasks.log_candidate(
            registry, work.model, report, run_key=work.key(name), example=work.example(), settings=told,
            started_at=started_at,
        )  # fmt: skip
        trained.append(name)
        figure = runs[name].metrics[f"validation_{work.metric}"]
        logger.info("%s %s: validation %s %.4f", work.model, name, work.metric, figure.value)
    best = choose_on_validation(tuple(runs.values()), work.metric, work.ensemble, settings.promotion.confidence)
    logger.info("%s: %s is chosen on validation", work.model, best.candidate)
    challenger = tasks.register_challenger(registry, work.model, best, metric=f"test_{work.metric}")
    return Training(work.model, tuple(runs.values()), challenger, work.rows, work.metric, tuple(trained), work.sample)


def judged_by(model: ModelName, settings: Settings) -> dict[str, Any]:
    """Settings that a candidate is judged by but does not learn from: other values make another run of it."""
    judged: dict[str, Any] = settings.promotion.model_dump(mode="json", include={"confidence", "resamples"})
    if model == "churn":
        judged["value"] = settings.value.model_dump(mode="json")
        judged["fairness"] = settings.fairness.model_dump(mode="json")
        judged["tiers"] = [settings.churn.tiers_by, settings.churn.high_risk_share]
    return judged


def best_on_validation(runs: Sequence[RunRef], metric: str) -> RunRef:
    """The run with the highest validation figure; the first of equals."""
    return max(runs, key=lambda run: run.metrics[f"validation_{metric}"].value)


def choose_on_validation(runs: Sequence[RunRef], metric: str, ensemble: str | None, confidence: float) -> RunRef:
    """The ensemble's run when it is within one standard error of the best on validation, the best otherwise.

    An average varies less than its members: where validation cannot tell them apart, it is the safer one.
    """
    best, name = best_on_validation(runs, metric), f"validation_{metric}"
    least = best.metrics[name].value - standard_error(best.metrics[name], confidence)
    return next((run for run in runs if run.candidate == ensemble and run.metrics[name].value >= least), best)
