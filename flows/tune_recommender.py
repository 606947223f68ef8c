"""Search better settings for one recommender candidate, on validation only; written down for review, never applied."""

import argparse
from datetime import datetime
from pathlib import Path

from prefect import flow, get_run_logger

from everstay.registry.store import Registry
from everstay.settings import load_settings
from everstay.tuning import Search
from flows import runtime, tasks
from flows.build_features import choose_split
from flows.train_recommender import basket_rows


@flow(name="tune-recommender")
def tune_recommender(candidate: str = "sequential", trials: int = 20, scheduler: str | None = None) -> Path:
    """Try configurations, log a nested run for each, and write the best one for a person to judge.

    Args:
        candidate: whose configuration is varied, by the search space that it declares.
        trials: how many are tried, the default included.
        scheduler: Dask scheduler of a calling flow.

    Returns:
        The file with the best configuration; no model reads it.

    Raises:
        SettingsError: the candidate declares no search space.
        NotReady: too little history, or no basket to judge by.
    """
    settings = load_settings()
    snapshot = runtime.open_lake(settings).snapshot()
    as_of = choose_split(snapshot, settings).test
    with runtime.dask_scheduler(settings, scheduler) as address:
        rows = basket_rows(snapshot, as_of, settings, address)
    search = tasks.tune_recommender_candidate(candidate, rows, settings, trials)
    words = describe(search, candidate, snapshot.data_version, as_of)
    run = tasks.log_search(Registry(settings.mlflow), "recommender", candidate, search, words)
    file = Path(settings.report_folder, f"tuned-{candidate}.toml")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(proposal(search, candidate, words), encoding="utf-8")
    get_run_logger().info("%s\nwritten for review: %s (MLflow run %s)", words, file, run)
    return file


def describe(search: Search, candidate: str, data_version: str, as_of: datetime) -> str:
    """What was found, in one sentence."""
    ended = sum(trial.figure is None for trial in search.trials)
    return (
        f"{candidate}: validation NDCG {search.best.figure:.4f} in trial {search.best.number} of {len(search.trials)} "
        f"({ended} ended early), the default's is {search.default.figure:.4f}; "
        f"data {data_version}, a horizon before {as_of:%Y-%m-%d}"
    )


def proposal(search: Search, candidate: str, words: str) -> str:
    """The best configuration as TOML; what differs from the default says so."""
    lines = [
        f"# {words}",
        "# The best of many trials looks better than it is. To use it, change the defaults in recommender/config.py:",
        "# the next training judges it on the test, and the gate decides. Nothing reads this file.",
        f"[{candidate}]",
    ]
    default = search.trials[0].values
    for name, value in search.config.model_dump(mode="json").items():
        was = f"  # default {_toml(default[name])}" if name in default and default[name] != value else ""
        lines.append(f"{name} = {_toml(value)}{was}")
    return "\n".join(lines) + "\n"


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("candidate", nargs="?", default="sequential")
    parser.add_argument("--trials", type=int, default=20)
    arguments = parser.parse_args()
    runtime.run(tune_recommender, candidate=arguments.candidate, trials=arguments.trials)
