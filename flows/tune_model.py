"""Search for better settings of one candidate, on validation only; written for review, never applied."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from prefect import flow, get_run_logger, task

from everstay.churn import tune as churn_tune
from everstay.errors import SettingsError
from everstay.recommender import tune as recommender_tune
from everstay.registry import searches
from everstay.registry.store import Registry
from everstay.settings import Settings, load_settings
from everstay.tuning import Search, check_trials
from flows import runtime
from flows.build_features import build_features, choose_split
from flows.train_churn import churn_rows
from flows.train_recommender import basket_rows

_DEFAULT = "sequential"
# Not in `flows.tasks`: what searches and trains takes seconds to import, which scoring need not pay.
_tune_churn = task(name="tune-churn", task_run_name="tune-{name}")(churn_tune.tune_candidate)
_tune_recommender = task(name="tune-recommender", task_run_name="tune-{name}")(recommender_tune.tune_candidate)
_log_search = task(name="log-search")(searches.log_search)
_TUNABLE = {"churn": churn_tune.tunable, "recommender": recommender_tune.tunable}


@dataclass(frozen=True)
class Judged:
    """What a search is judged by.

    Attributes:
        rows: folder of the training rows.
        data_version: of the lake they come from.
        as_ofs: of the validation.
        metric: reported for every configuration.
    """

    rows: Path
    data_version: str
    as_ofs: Sequence[datetime]
    metric: str


@flow(name="tune-model")
def tune_model(model: str = _DEFAULT, trials: int = 20, scheduler: str | None = None) -> Path:
    """Try configurations, log a nested run for each, and write the best one for a person to judge.

    Args:
        model: the candidate whose configuration is varied, as `split_name` understands it.
        trials: how many are tried, the default included.
        scheduler: Dask scheduler of a calling flow.

    Returns:
        The file with the best configuration; no model reads it.

    Raises:
        SettingsError: no candidate of that name declares a search space, or there are no trials.
        NotReady: too little history, or nobody to judge by.
    """
    room, candidate = split_name(model)
    check_trials(trials)
    settings = load_settings()
    with runtime.working_alone(settings), runtime.dask_scheduler(settings, scheduler) as address:
        judged = _churn_rows(settings, address) if room == "churn" else _recommender_rows(settings, address)
    tune = _tune_churn if room == "churn" else _tune_recommender
    search = tune(candidate, judged.rows, settings, trials)
    words = describe(search, f"{room}.{candidate}", judged)
    run = _log_search(Registry(settings.mlflow), room, candidate, search, words)
    file = Path(settings.report_folder, f"tuned-{room}-{candidate}.toml")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(proposal(search, room, candidate, words), encoding="utf-8")
    get_run_logger().info("%s\nwritten for review: %s (MLflow run %s)", words, file, run)
    return file


def split_name(model: str) -> tuple[str, str]:
    """Which candidate is meant: `churn.lightgbm`, or `lightgbm` where only one room has a candidate of that name.

    Raises:
        SettingsError: names all that can be searched.

    >>> split_name("lightgbm"), split_name("recommender.network")
    (('churn', 'lightgbm'), ('recommender', 'network'))
    """
    known = [(room, name) for room, tunable in _TUNABLE.items() for name in tunable()]
    meant = [(room, name) for room, name in known if model in (name, f"{room}.{name}")]
    if len(meant) == 1:
        return meant[0]
    if meant:
        raise SettingsError(f"'{model}' is several candidates: use MODEL={' or MODEL='.join(map('.'.join, meant))}")
    names = ", ".join(map(".".join, known))
    raise SettingsError(f"no settings to search for MODEL={model}; choose one of {names}")


def _churn_rows(settings: Settings, scheduler: str) -> Judged:
    features = build_features(scheduler=scheduler)
    rows, metric = churn_rows(features, settings, scheduler), settings.promotion.churn_metric.replace("_", " ")
    return Judged(rows, features.snapshot.data_version, features.split.validation, metric)


def _recommender_rows(settings: Settings, scheduler: str) -> Judged:
    snapshot = runtime.open_lake(settings).snapshot()
    as_of = choose_split(snapshot, settings).test
    before = as_of - timedelta(days=settings.recommender.horizon_days)
    return Judged(basket_rows(snapshot, as_of, settings, scheduler), snapshot.data_version, (before,), "NDCG")


def describe(search: Search, name: str, judged: Judged) -> str:
    """What was found, in one sentence."""
    ended = sum(trial.figure is None for trial in search.trials)
    days = ", ".join(f"{moment:%Y-%m-%d}" for moment in judged.as_ofs)
    return (
        f"{name}: validation {judged.metric} {search.best.figure:.4f} in trial {search.best.number} of "
        f"{len(search.trials)} ({ended} stopped early), default {search.default.figure:.4f}; "
        f"validated as of {days}; data {judged.data_version}"
    )


def proposal(search: Search, room: str, candidate: str, words: str) -> str:
    """The best configuration as TOML; what differs from the default says so."""
    use = [
        f"# The best of many trials is optimistically biased. To use it, change {type(search.config).__module__}:",
        "# the next training tests it, and the promotion gate decides. Nothing reads this file.",
    ]
    if search.best is search.default:
        use = ["# No other trial was better than the default."]
    lines = [f"# {words}", *use, f"[{room}.{candidate}]"]
    default, best = search.default.values, search.best.values
    for name, value in search.config.model_dump(mode="json").items():
        was = f"  # default {_toml(default[name])}" if name in default and default[name] != best[name] else ""
        lines.append(f"{name} = {_toml(value)}{was}")
    return "\n".join(lines) + "\n"


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return f'"{value}"' if isinstance(value, str) else str(value)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", default=_DEFAULT)
    parser.add_argument("--trials", type=int, default=20)
    arguments = parser.parse_args()
    runtime.run(tune_model, model=arguments.model, trials=arguments.trials)
