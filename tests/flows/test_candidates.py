"""Where and in which order candidates are trained; which of them becomes challenger."""

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from prefect import flow, task

from everstay.errors import NotReady
from everstay.metrics.comparison import Interval
from everstay.partitions import IN_PROCESS, map_parts, open_cluster
from everstay.registry.refs import RunRef
from everstay.settings import Dask, Promotion, Settings, Training, Value
from flows import candidates
from flows.candidates import Work, choose_on_validation, evidence_clock, how_many_at_once, in_workers, judged_by
from flows.runtime import training_scheduler

BOUND = 1.959964  # standard errors on either side of a figure at 95% confidence


def run(candidate: str, value: float, error: float) -> RunRef:
    figure = Interval(value, value - BOUND * error, value + BOUND * error)
    return RunRef("churn", candidate, candidate, "m", "d", "v", "2024-01-01", {"validation_average_precision": figure})


@pytest.mark.parametrize(
    ("blend", "ensemble", "chosen"),
    [(0.481, "blend", "blend"), (0.479, "blend", "network"), (0.481, None, "network"), (0.51, None, "blend")],
)
def test_the_ensemble_is_chosen_within_one_standard_error_of_the_best(
    blend: float, ensemble: str | None, chosen: str
) -> None:
    runs = (run("logistic", 0.45, 0.3), run("network", 0.50, 0.02), run("blend", blend, 0.001))
    assert choose_on_validation(runs, "average_precision", ensemble, 0.95).candidate == chosen


def test_other_costs_and_other_intervals_are_judged_anew() -> None:
    usual, costly = Settings(), Settings(value=Value(offer_cost=9.0))
    narrow = Settings(promotion=Promotion(confidence=0.6))
    assert judged_by("churn", costly) != judged_by("churn", usual) != judged_by("churn", narrow)
    assert judged_by("recommender", narrow) != judged_by("recommender", usual) == judged_by("recommender", costly)


JUDGED = datetime(2024, 1, 1, tzinfo=UTC)


def test_candidates_are_judged_by_outcomes_that_are_known_from_a_day_on():
    settings = Settings()
    days = {"churn": 28 + 2, "recommender": settings.recommender.horizon_days}
    for model, later in days.items():
        for known, words in ((later - 1, "not knowable before"), (later, "mature since")):
            clock = evidence_clock(model, JUDGED, JUDGED + timedelta(days=known), settings)
            assert str(clock) == f"{words} {JUDGED + timedelta(days=later):%Y-%m-%d}"


@task
def train(name: str, log: Path, scheduler: str) -> Path:
    with log.open("a") as file:
        file.write(f"{name} {scheduler}\n")
    return log.parent / name


def work_of(folder: Path, names: Sequence[str] = (), scheduler: str = IN_PROCESS) -> Work:
    return Work(
        model="churn",
        metric="average_precision",
        names=names,
        key=str,
        train=train,
        arguments={"log": folder / "log"},
        scheduler=scheduler,
        members=["boosting", "network"],
        judge=None,  # type: ignore[arg-type]
        example=pl.DataFrame,
        rows=folder,
        clock=evidence_clock("churn", JUDGED, JUDGED, Settings()),
    )


@pytest.mark.parametrize(
    ("scheduler", "order"),
    [
        (IN_PROCESS, ["recency", "network", "boosting", "network", "blend"]),  # a second time nothing is trained
        ("tcp://workers", ["boosting tcp://workers", "network tcp://workers", "recency tcp://workers", "blend"]),
    ],
)
def test_a_blend_follows_its_members_and_brings_back_the_one_whose_folder_may_be_gone(
    tmp_path: Path, prefect_api: None, scheduler: str, order: list[str]
):
    work = work_of(tmp_path, ["recency", "boosting", "network", "blend"], scheduler)
    new = ["recency", "network", "blend"]

    @flow
    def go() -> list[Path]:
        with in_workers([work], {"churn": {"boosting": run("boosting", 0.5, 0.1)}}, 1) as trained:
            return [trained(work, name) for name in new]

    assert go() == [tmp_path / name for name in new]
    assert [line.strip() for line in (tmp_path / "log").read_text().splitlines()] == order


@task
def take_minutes(name: str, log: Path, scheduler: str) -> Path:
    map_parts(time.sleep, [120.0], scheduler)
    return log.parent / name


def test_an_error_is_told_before_the_workers_have_trained_the_rest(tmp_path: Path, prefect_api: None):
    @flow
    def go(address: str) -> None:
        work = replace(work_of(tmp_path, ["recency", "boosting", "network"], address), train=take_minutes)
        with in_workers([work], {"churn": {}}, 1):
            time.sleep(3)  # the first is on its way
            raise NotReady("nothing can be learned")

    with open_cluster(Dask(workers=1)) as address:
        began = time.monotonic()
        with pytest.raises(NotReady, match="nothing can be learned"):
            go(address)
        assert time.monotonic() - began < 60


def test_as_many_candidates_are_trained_at_once_as_fit_into_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    small, large = tmp_path / "small", tmp_path / "large"
    for folder, rows in ((small, 1), (large, 250_000)):
        folder.mkdir()
        for part in ("train", "test"):
            pq.write_table(pa.table({"x": range(rows)}), folder / f"{part}.parquet", use_dictionary=False)
    both = [work_of(small), work_of(large)]
    monkeypatch.setattr(candidates, "_MEMORY", 2e6)
    monkeypatch.setattr(candidates, "_MEMORY_PER_BYTE", 2.0)  # of twice 2 MB of rows: 10 MB a candidate, and the flow
    for free, works, at_once in ((35e6, both, 2), (35e6, both[:1], 4), (25e6, both, 1), (1e6, both, 1), (1e9, both, 4)):
        monkeypatch.setattr(candidates, "free_memory", lambda free=free: free)
        assert how_many_at_once(works, workers=4) == at_once


@pytest.mark.parametrize(
    ("settings", "where"),
    [
        (Settings(), "tcp://127.0.0.1:1"),
        (Settings(dask=Dask(scheduler="tcp://10.0.0.1:8786")), IN_PROCESS),  # another machine's workers see no folder
        (Settings(training=Training(devices=2)), IN_PROCESS),
        (Settings(training=Training(accelerator="cpu")), "tcp://127.0.0.1:1"),
    ],
)
def test_candidates_are_trained_in_this_machine_s_workers_unless_they_share_a_device(settings: Settings, where: str):
    assert training_scheduler(settings, "tcp://127.0.0.1:1") == where


def test_with_a_gpu_candidates_are_trained_one_after_another(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("torch.accelerator.is_available", lambda: True)
    assert training_scheduler(Settings(), "tcp://127.0.0.1:1") == IN_PROCESS
    assert training_scheduler(Settings(training=Training(accelerator="cpu")), "tcp://127.0.0.1:1") != IN_PROCESS
