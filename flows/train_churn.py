"""Fit every churn candidate on the same rows, judge and log each, register the best or the blend as challenger."""

from functools import partial
from pathlib import Path

import polars as pl
from prefect import flow, get_run_logger

from everstay import churn
from everstay.code_version import code_version
from everstay.registry.identity import run_key
from everstay.settings import BLENDED, Settings, load_settings
from flows import leftovers, runtime, tasks
from flows.build_features import FeatureSet, build_features
from flows.candidates import Training, Work, evidence_clock, judged_by, train_candidates, training_arguments

_EXAMPLE_ROWS = 5


@flow(name="train-churn")
def train_churn(scheduler: str | None = None) -> Training:
    """Train what is new; a rerun with the same data, settings and code finds the runs and trains nothing.

    Args:
        scheduler: Dask scheduler of a calling flow.

    Raises:
        NotReady: too little history, or nobody left, or nobody stayed.
    """
    settings = load_settings()
    with runtime.working_alone(settings), runtime.dask_scheduler(settings, scheduler) as address:
        features = build_features(scheduler=address)
        return train_candidates([churn_work(features, settings, address)], settings)[0]


def churn_work(features: FeatureSet, settings: Settings, scheduler: str) -> Work:
    """What training churn means; the rows are prepared if absent."""
    rows = churn_rows(features, settings, scheduler)
    data_version = features.snapshot.data_version

    def key(name: str) -> str:
        candidate = churn.candidate_key(name, settings, data_version)
        config = {"candidate": candidate, "features": features.key, "judged": judged_by("churn", settings)}
        return run_key("churn", name, config, data_version, features.split.test)

    return Work(
        model="churn",
        metric=settings.promotion.churn_metric,
        names=settings.churn.candidates,
        key=key,
        train=tasks.train_churn_candidate,
        arguments=training_arguments(rows, settings, data_version),
        scheduler=runtime.training_scheduler(settings, scheduler),
        members=[name for name in BLENDED if name in settings.churn.candidates],
        judge=lambda home: tasks.judge_churn_candidate(home, rows, settings),
        example=partial(_example, rows),
        rows=rows,
        clock=evidence_clock("churn", features.split.test, features.snapshot.recorded_until, settings),
        ensemble=churn.BLEND,
        sample=_told(features),
    )


def churn_rows(features: FeatureSet, settings: Settings, scheduler: str) -> Path:
    """The folder of the training rows of a feature set; they are prepared if absent."""
    named = f"{features.key[:16]}-{code_version('churn')}"
    if told := _told(features):
        get_run_logger().info(told)
    folder = runtime.work_folder(settings, "churn", named, "rows_and_unlabelled")
    if folder.exists():
        leftovers.mark_used(folder.parent)
        return folder
    tokens_folder = runtime.parts_folder(settings, "day_tokens")
    as_ofs, share = features.split.as_ofs, features.share
    tokens = tasks.compute_tokens(features.snapshot, as_ofs, churn.MAX_TOKENS, tokens_folder, scheduler, share)
    return tasks.prepare_churn_rows(runtime.open_lake(settings), tokens, features.split, folder, share)


def _told(features: FeatureSet) -> str | None:
    if features.share == 1:
        return None
    return f"trained and tested on a fixed sample: about {features.share:.0%} of {features.users:,} users"


def _example(rows: Path) -> pl.DataFrame:
    return churn.ChurnRows.read(rows).test.drop(churn.LABEL_COLUMNS).head(_EXAMPLE_ROWS)


if __name__ == "__main__":
    runtime.run(train_churn)
