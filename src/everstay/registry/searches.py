"""A search for settings as MLflow runs: one for the search, and nested in it one for each configuration tried."""

import time

from mlflow.entities import Metric, Param, RunTag
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NOTE

from everstay.registry.store import Registry
from everstay.registry.tracking import end_abandoned
from everstay.tuning import Search, Trial

FIGURE = "validation_figure"
WATCHED = "watched"


def log_search(registry: Registry, experiment: str, candidate: str, search: Search, note: str) -> str:
    """Log a search; trials that were stopped early become killed runs, and so do runs that were left half-way.

    Args:
        registry: the store.
        experiment: "churn" or "recommender"; searches are kept beside it, in `<experiment>-tuning`.
        candidate: whose settings were searched.
        search: all trials.
        note: what a person should know about it.

    Returns:
        The id of the search's run.
    """
    client, home = registry.client, registry.experiment_id(f"{experiment}-tuning")
    end_abandoned(registry, f"{experiment}-tuning")
    tags = {"candidate": candidate, MLFLOW_RUN_NOTE: note}
    now = time.time_ns() // 1_000_000
    name, clock = f"{candidate}, {len(search.trials)} trials", now - sum(map(_milliseconds, search.trials))
    parent: str = client.create_run(home, start_time=clock, run_name=name, tags=tags).info.run_id
    for trial in search.trials:
        clock += _milliseconds(trial)
        _log_trial(registry, home, parent, candidate, trial, clock)
    params = [Param(name, str(value)) for name, value in search.best.values.items()]
    figures = {FIGURE: search.best.figure, f"default_{FIGURE}": search.default.figure}
    metrics = [Metric(name, value, now, 0) for name, value in figures.items() if value is not None]
    client.log_batch(parent, metrics=metrics, params=params, tags=[RunTag("best_trial", str(search.best.number))])
    client.set_terminated(parent, "FINISHED", now)
    return parent


def _milliseconds(trial: Trial) -> int:
    return int(trial.seconds * 1_000)


def _log_trial(registry: Registry, home: str, parent: str, candidate: str, trial: Trial, ended: int) -> None:
    client = registry.client
    run = client.create_run(
        home,
        start_time=ended - _milliseconds(trial),
        run_name=f"{candidate} {trial.number}",
        tags={MLFLOW_PARENT_RUN_ID: parent, "candidate": candidate},
    )
    metrics = [Metric(WATCHED, value, ended, epoch) for epoch, value in enumerate(trial.curve, 1)]
    if trial.figure is not None:
        metrics.append(Metric(FIGURE, trial.figure, ended, 0))
    params = [Param(name, str(value)) for name, value in trial.values.items()]
    client.log_batch(run.info.run_id, metrics=metrics, params=params)
    client.set_terminated(run.info.run_id, "KILLED" if trial.figure is None else "FINISHED", ended)
