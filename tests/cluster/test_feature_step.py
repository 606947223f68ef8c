"""The feature step on a cluster and an object store: the same tables with nothing but settings changed."""

import os
import signal
import threading
import time
from pathlib import Path

import polars as pl
import pytest
from distributed import Client
from polars.testing import assert_frame_equal

from everstay import tables as t
from everstay.lake import Lake
from flows.build_features import build_features
from flows.ingest_events import ingest_events
from tests.cluster.machines import (
    BUCKET,
    NETWORK,
    can_make_namespaces,
    dask_cluster,
    network_namespaces,
    object_store,
)
from tests.flows.conftest import prefect_api, write_settings

__all__ = ["prefect_api"]

BUILT = (t.USER_FEATURES, t.CHURN_LABELS)
BUCKETS = 8
LAKE = f"s3://{BUCKET}/lake"


def ingest(folder: Path, monkeypatch: pytest.MonkeyPatch, lake: str, scheduler: str = "") -> None:
    """Ingest with the small shop's settings, changed in nothing but where; they stay those of this process."""
    folder.mkdir()
    settings = {
        "EVERSTAY_SETTINGS": str(write_settings(folder)),
        "EVERSTAY_DATA__FOLDER": lake,
        "EVERSTAY_DATA__BUCKETS": str(BUCKETS),
        "EVERSTAY_DASK__SCHEDULER": scheduler,
    }
    set_all(monkeypatch, settings)
    ingest_events()


def build(lake: str) -> list[pl.DataFrame]:
    """Build features by the settings of this process; give the tables."""
    build_features()
    tables = [Lake(lake, BUCKETS).read(table) for table in BUILT]
    return [table.sort(t.USER_ID, t.AS_OF) for table in tables if table is not None]


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory, prefect_api: None) -> list[pl.DataFrame]:
    """The tables as this process builds them, in a folder."""
    folder = tmp_path_factory.mktemp("here")
    with pytest.MonkeyPatch.context() as patch:
        ingest(folder / "settings", patch, str(folder / "lake"))
        return build(str(folder / "lake"))


@pytest.mark.slow
def test_a_cluster_and_an_object_store_give_the_same_table_though_a_worker_is_killed(
    here: list[pl.DataFrame], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with object_store() as variables, dask_cluster(variables) as scheduler:
        set_all(monkeypatch, variables)
        ingest(tmp_path / "there", monkeypatch, LAKE, scheduler)
        killer = Killer(scheduler)
        killer.start()
        assert killer.is_watching.wait(60)
        there = build(LAKE)
        killer.join()
        assert killer.killed_while_working
    for mine, theirs in zip(here, there, strict=True):
        assert mine.height > 1_000
        assert_frame_equal(theirs, mine, check_exact=True)


@pytest.mark.slow
@pytest.mark.skipif(not can_make_namespaces(), reason="network namespaces need root and iproute2")
def test_workers_on_machines_of_their_own_give_the_same_table(
    here: list[pl.DataFrame], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with (
        network_namespaces(2) as names,
        object_store(NETWORK[0]) as variables,
        dask_cluster(variables, names) as scheduler,
    ):
        set_all(monkeypatch, variables)
        with Client(scheduler, set_as_default=False) as client:
            client.wait_for_workers(2, timeout=60)
            addresses = {worker.split("//")[1].split(":")[0] for worker in client.scheduler_info()["workers"]}
        assert addresses == set(NETWORK[1:3])
        ingest(tmp_path / "there", monkeypatch, LAKE, scheduler)
        there = build(LAKE)
    for mine, theirs in zip(here, there, strict=True):
        assert_frame_equal(theirs, mine, check_exact=True)


class Killer(threading.Thread):
    """Kills the first worker that is seen at work once it watches."""

    def __init__(self, scheduler: str) -> None:
        super().__init__(daemon=True)
        self.scheduler = scheduler
        self.is_watching = threading.Event()
        self.killed_while_working = False

    def run(self) -> None:
        """Look every few milliseconds."""
        with Client(self.scheduler, set_as_default=False) as client:
            client.wait_for_workers(2, timeout=60)
            self.is_watching.set()
            end = time.monotonic() + 300
            while time.monotonic() < end and not self.killed_while_working:
                pids = client.run(os.getpid)
                for worker, tasks in client.processing().items():
                    if any("told" in task for task in tasks) and worker in pids:
                        os.kill(pids[worker], signal.SIGKILL)
                        self.killed_while_working = True
                        break
                time.sleep(0.01)


def set_all(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    """Set environment variables for this process."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
