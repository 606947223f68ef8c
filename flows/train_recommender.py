"""Fit every recommender candidate, judge each on the next basket, log a run each, register the best as challenger."""

from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import polars as pl
from prefect import flow

from everstay import recommender
from everstay.code_version import code_version
from everstay.features.sequences import HISTORY_ITEM, TARGET_ITEM
from everstay.lake import Snapshot
from everstay.registry.identity import run_key
from everstay.settings import Settings, load_settings
from flows import leftovers, runtime, tasks
from flows.build_features import choose_split
from flows.candidates import Training, Work, evidence_clock, judged_by, train_candidates, training_arguments

_EXAMPLE_ROWS = 5


@flow(name="train-recommender")
def train_recommender(scheduler: str | None = None) -> Training:
    """Train what is new; a rerun with the same data, settings and code finds the runs and trains nothing.

    Args:
        scheduler: Dask scheduler of a calling flow.

    Raises:
        NotReady: too little history, or no basket to judge by.
    """
    settings = load_settings()
    with runtime.working_alone(settings), runtime.dask_scheduler(settings, scheduler) as address:
        snapshot = runtime.open_lake(settings).snapshot()
        return train_candidates([recommender_work(snapshot, settings, address)], settings)[0]


def recommender_work(snapshot: Snapshot, settings: Settings, scheduler: str) -> Work:
    """What training the recommender means; the rows are prepared if absent."""
    data_version, as_of = snapshot.data_version, choose_split(snapshot, settings).test
    rows = basket_rows(snapshot, as_of, settings, scheduler)

    def key(name: str) -> str:
        candidate = recommender.candidate_key(name, settings, data_version)
        config = {"candidate": candidate, "judged": judged_by("recommender", settings)}
        return run_key("recommender", name, config, data_version, as_of)

    return Work(
        model="recommender",
        metric=settings.promotion.recommender_metric,
        names=settings.recommender.candidates,
        key=key,
        train=tasks.train_recommender_candidate,
        arguments=training_arguments(rows, settings, data_version),
        scheduler=runtime.training_scheduler(settings, scheduler),
        members=recommender.BLENDED,
        judge=lambda home: tasks.judge_recommender_candidate(home, rows, settings),
        example=partial(_example, rows),
        rows=rows,
        clock=evidence_clock("recommender", as_of, snapshot.recorded_until, settings),
    )


def basket_rows(snapshot: Snapshot, as_of: datetime, settings: Settings, scheduler: str) -> Path:
    """The folder of histories and next baskets at both as-ofs; they are computed if absent."""
    horizon = settings.recommender.horizon_days
    segment_by, with_ratings = settings.recommender.segment_by, "rating_factors" in settings.recommender.candidates
    named = f"{snapshot.data_version}-{as_of:%Y%m%d}-{horizon}-{code_version('recommender')}"
    named += (f"-{segment_by}" if segment_by else "") + ("-ratings" if with_ratings else "")
    folder = runtime.work_folder(settings, "recommender", named, "rows_and_items")
    if folder.exists():
        leftovers.mark_used(folder.parent)
        return folder
    validation, test = (
        tasks.compute_baskets(
            snapshot,
            moment,
            horizon,
            known_at,
            runtime.parts_folder(settings, f"baskets-{moment:%Y%m%d}"),
            scheduler,
            with_ratings=with_ratings,
        )
        # what is chosen on validation must not depend on what was recorded after the test's as-of
        for moment, known_at in ((as_of - timedelta(days=horizon), as_of), (as_of, snapshot.recorded_until))
    )
    return tasks.prepare_recommender_rows(snapshot, validation, test, folder, segment_by)


def _example(rows: Path) -> pl.DataFrame:
    """Of users with a history: an example of cold users shows what nobody asks about."""
    test = recommender.BasketRows.read(rows).test.drop(TARGET_ITEM)
    return test.filter(pl.col(HISTORY_ITEM).list.len() > 0).head(_EXAMPLE_ROWS)


if __name__ == "__main__":
    runtime.run(train_recommender)
