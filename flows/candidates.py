"""What both training flows share: train what is new, log a run per candidate, register the best as challenger."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
from prefect import Task, get_run_logger

from everstay import churn
from everstay.metrics.comparison import standard_error
from everstay.metrics.maturity import Maturity, maturity
from everstay.metrics.report import CandidateReport
from everstay.partitions import IN_PROCESS, free_memory, stop_parts
from everstay.registry.refs import ModelName, ModelRef, RunRef
from everstay.registry.store import Registry
from everstay.registry.tracking import LABEL_MATURITY
from everstay.scoring.back_test import label_clock
from everstay.settings import Settings
from flows import tasks

BLEND = churn.BLEND  # the candidate, of either model, that averages others
_MEMORY = 2.5e9  # bytes that training a candidate takes, beside
_MEMORY_PER_BYTE = 6.0  # of its rows (decision 29 has what was measured)


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
        names: candidates, in the order in which they are judged and logged.
        key: candidate to its run key.
        train: the task that trains a candidate and returns its folder; does nothing when it is there.
        arguments: of that task, apart from the candidate's name and the scheduler's address.
        scheduler: of the workers that train side by side; `IN_PROCESS`: one after another, here.
        members: the candidates that `BLEND` averages.
        judge: folder to report.
        example: a few rows for the logged model.
        rows: folder of the rows.
        ensemble: the candidate that is chosen when it is within one standard error of the best.
        clock: maturity of what the candidates are judged by.
        sample: as in `Training`.
    """

    model: ModelName
    metric: str
    names: Sequence[str]
    key: Callable[[str], str]
    train: Task[..., Path]
    arguments: Mapping[str, Any]
    scheduler: str
    members: Sequence[str]
    judge: Callable[[Path], CandidateReport]
    example: Callable[[], pl.DataFrame]
    rows: Path
    clock: Maturity
    ensemble: str | None = None
    sample: str | None = None


def evidence_clock(model: ModelName, test: datetime, known_until: datetime, settings: Settings) -> Maturity:
    """Maturity of what candidates are judged by as of `test`: who left, or the next basket."""
    if model == "churn":
        return label_clock(test, settings.churn, known_until)
    return maturity(test + timedelta(days=settings.recommender.horizon_days), timedelta(0), known_until)


def training_arguments(rows: Path, settings: Settings, data_version: str) -> dict[str, Any]:
    """What `train_candidate` of either model is given; the candidates' folder lies beside their rows."""
    folder = rows.parent / "candidates"
    return {"rows_folder": rows, "settings": settings, "folder": folder, "data_version": data_version}


Found = Mapping[str, RunRef]
Trained = Callable[[Work, str], Path]


def train_candidates(works: Sequence[Work], settings: Settings) -> list[Training]:
    """Train and log the candidates whose run is not there yet; point each alias challenger to the chosen one."""
    registry = Registry(settings.mlflow)
    known = {work.model: _find_runs(work, registry, settings) for work in works}
    with in_workers(works, known, how_many_at_once(works, settings.dask.workers)) as trained:
        return [_log_new(work, known[work.model], trained, registry, settings) for work in works]


def _find_runs(work: Work, registry: Registry, settings: Settings) -> dict[str, RunRef]:
    """The runs that are complete and have their files."""
    logger = get_run_logger()
    tasks.describe_experiment(registry, work.model, settings.promotion)
    found = {}
    for name in work.names:
        run = tasks.find_run(registry, work.model, work.key(name))
        if run is not None and (lost := tasks.why_lost(registry, run)):
            logger.warning("%s %s: retraining: %s", work.model, name, lost)
            tasks.discard_run(registry, run)
        elif run is not None:
            logger.info("%s %s: nothing new; run %s", work.model, name, run.run_id)
            found[name] = run
    return found


def how_many_at_once(works: Sequence[Work], workers: int) -> int:
    """How many candidates are trained at once: one a worker, as far as they fit into the memory beside the flow.

    The flow is reckoned as another one: it judges one candidate while others are trained.
    """
    rows = max(sum(map(_uncompressed, work.rows.glob("*.parquet"))) for work in works)
    fit = int(free_memory() / (_MEMORY + _MEMORY_PER_BYTE * rows)) - 1
    return max(1, min(workers, fit))


def _uncompressed(file: Path) -> int:
    about = pq.read_metadata(file)
    return sum(about.row_group(group).total_byte_size for group in range(about.num_row_groups))


@contextmanager
def in_workers(works: Sequence[Work], known: Mapping[ModelName, Found], at_once: int) -> Iterator[Trained]:
    """Start to train all new candidates, each in one worker; yield the function that gives a candidate's folder.

    It waits for a candidate that a worker trains, and trains others itself: the blend, once its members are there, and
    all of them where training is `IN_PROCESS`. The last named begin first, because they take longest. After an error in
    the block the workers stop.
    """

    def trained(work: Work, name: str) -> Path:
        if name == BLEND:
            for member in work.members:
                trained(work, member)
        if (work.model, name) in futures:
            return futures[work.model, name].result()
        return work.train(name=name, **work.arguments, scheduler=IN_PROCESS)

    with ThreadPoolExecutor(at_once) as pool:  # Prefect's own runner cannot be left before its work is done
        futures = {
            (work.model, name): pool.submit(
                copy_context().run, partial(work.train, name=name, **work.arguments, scheduler=work.scheduler)
            )
            for work in works
            if work.scheduler != IN_PROCESS
            for name in reversed(_wanted(work, known[work.model]))
        }
        try:
            yield trained
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for scheduler in {work.scheduler for work in works} - {IN_PROCESS}:
                stop_parts(scheduler)
            raise


def _wanted(work: Work, known: Found) -> list[str]:
    """What the workers train: new candidates but the blend, and all members of a new blend, as a folder may be gone."""
    new = [name for name in work.names if name not in known]
    return [name for name in dict.fromkeys((*new, *work.members) if BLEND in new else new) if name != BLEND]


def _log_new(work: Work, known: Found, trained: Trained, registry: Registry, settings: Settings) -> Training:
    """Judge and log the new candidates in the order in which they are named; register the chosen one."""
    logger, runs = get_run_logger(), dict(known)
    new = tuple(name for name in work.names if name not in known)
    for name in new:
        report, told = work.judge(trained(work, name)), settings.model_dump(mode="json")
        runs[name] = tasks.log_candidate(
            registry,
            work.model,
            report,
            run_key=work.key(name),
            example=work.example(),
            settings=told,
            tags={LABEL_MATURITY: str(work.clock)},
        )
        figure = runs[name].metrics[f"validation_{work.metric}"]
        logger.info("%s %s: validation %s %.4f", work.model, name, work.metric, figure.value)
    in_order = tuple(runs[name] for name in work.names)
    best = choose_on_validation(in_order, work.metric, work.ensemble, settings.promotion.confidence)
    logger.info("%s: %s is chosen on validation", work.model, best.candidate)
    challenger = tasks.register_challenger(registry, work.model, best, metric=f"test_{work.metric}")
    return Training(work.model, in_order, challenger, work.rows, work.metric, new, work.sample)


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
