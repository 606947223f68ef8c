"""Partitions: the same result in this process and in worker processes, also when a worker dies."""

import logging
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from functools import partial
from pathlib import Path

import dask
import polars as pl
import psutil
import pytest
from dask.system import CPU_COUNT
from distributed import LocalCluster, get_worker
from distributed.system import MEMORY_LIMIT
from polars.testing import assert_frame_equal

from everstay.errors import EverstayError, NotReady, SettingsError, SourceError
from everstay.partitions import IN_PROCESS, compute_parts, free_memory, map_parts, open_cluster, stop_parts
from everstay.settings import Dask
from everstay.storage import Folder


def square(number: int) -> int:
    return number * number


def fail_at_three(number: int) -> int:
    if number == 3:
        raise ValueError("three")
    return number


def die_once(number: int, *, folder: Path) -> int:
    """Kill the worker at the first try of part 2; the second try finds the trace of the first."""
    trace = folder / "died"
    if number == 2 and not trace.exists():
        trace.touch()
        os._exit(1)
    return number


def rows(bucket: int) -> pl.DataFrame:
    return pl.DataFrame({"bucket": [bucket] * bucket}, schema={"bucket": pl.Int64})


@pytest.fixture(scope="module")
def scheduler():
    with open_cluster(Dask(workers=2)) as address:
        yield address


def test_no_workers_means_this_process():
    with open_cluster(Dask(workers=0)) as address:
        assert address == IN_PROCESS
        assert map_parts(lambda _: os.getpid(), [1], address) == [os.getpid()]


def test_the_scheduler_of_the_settings_is_used_as_it_is():
    with open_cluster(Dask(scheduler="tcp://10.0.0.1:8786")) as address:
        assert address == "tcp://10.0.0.1:8786"


def test_workers_listen_on_this_machine_only(scheduler: str):
    assert scheduler.startswith("tcp://127.0.0.1:")
    here = psutil.Process()
    sockets = [socket for one in (here, *here.children(recursive=True)) for socket in one.net_connections("inet")]
    assert {socket.laddr.ip for socket in sockets if socket.status == psutil.CONN_LISTEN} == {"127.0.0.1"}


def test_results_come_in_the_order_of_the_parts(scheduler: str):
    parts = list(range(20, 0, -1))
    assert map_parts(square, parts, scheduler) == map_parts(square, parts, IN_PROCESS) == [n * n for n in parts]


def test_the_work_s_own_error_arrives_unchanged(scheduler: str):
    for address in (scheduler, IN_PROCESS):
        with pytest.raises(ValueError, match=r"^three$"):
            map_parts(fail_at_three, [1, 2, 3], address)


def test_a_worker_that_dies_costs_no_result(tmp_path: Path):
    with open_cluster(Dask(workers=2)) as address:
        assert map_parts(partial(die_once, folder=tmp_path), [0, 1, 2, 3], address) == [0, 1, 2, 3]
    assert (tmp_path / "died").exists()


def die(number: int) -> int:
    os._exit(number)


def test_a_part_that_kills_every_worker_is_told():
    told = pytest.raises(EverstayError, match=r"1 workers died on the same part .* set fewer dask\.workers")
    once = dask.config.set({"distributed.scheduler.allowed-failures": 0})
    with once, open_cluster(Dask(workers=1)) as address, told:
        map_parts(die, [1], address)


def test_a_scheduler_that_does_not_answer_is_named():
    with pytest.raises(NotReady, match=r"tcp://127\.0\.0\.1:9: start it"):
        map_parts(square, [1], "tcp://127.0.0.1:9", connect_seconds=0.5)


def test_a_scheduler_without_workers_is_told_while_the_work_waits(caplog: pytest.LogCaptureFixture):
    place = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0", "threads_per_worker": 1}
    with LocalCluster(n_workers=0, protocol="tcp", **place) as cluster, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(map_parts, square, [3], cluster.scheduler_address)
        end = time.monotonic() + 20
        while "has no worker yet: waiting until one joins" not in caplog.text:
            assert time.monotonic() < end
            time.sleep(0.01)
        assert not waiting.done()
        cluster.scale(1)
        assert waiting.result(20) == [9]


def test_parts_are_written_by_the_workers_and_read_in_order(scheduler: str, tmp_path: Path):
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "part-00099.arrow").write_text("from an earlier run")
    parts = compute_parts(rows, range(4), Folder(str(tmp_path / "parts")), scheduler)
    assert parts.numbers == (0, 1, 2, 3)
    assert_frame_equal(parts.read_all(), pl.concat([rows(n) for n in range(4)]))
    assert_frame_equal(parts.read(3), rows(3))
    assert len(parts.folder.files()) == 4
    parts.remove()
    assert not (tmp_path / "parts").exists()


SAID: ContextVar[str] = ContextVar("SAID", default="nowhere")


def say(number: int) -> int:
    logging.getLogger("everstay.churn").info("part %d", number)
    logging.getLogger("everstay.churn").debug("unheard")
    return number


def test_what_workers_log_is_logged_here_once_in_the_context_of_the_caller(
    scheduler: str, caplog: pytest.LogCaptureFixture
):
    heard = []

    def hear(record: logging.LogRecord) -> bool:
        if record.name == "everstay.churn":
            heard.append((record.getMessage(), SAID.get()))
        return True

    caplog.handler.addFilter(hear)
    caplog.set_level(logging.INFO, "everstay")

    def call(number: int) -> list[int]:
        SAID.set(f"call {number}")
        return map_parts(say, [number, number + 1], scheduler)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(call, [10, 20]))
    assert sorted(heard) == [(f"part {n}", f"call {n // 10 * 10}") for n in (10, 11, 20, 21)]
    caplog.set_level(logging.WARNING, "everstay")
    map_parts(say, [30], scheduler)
    assert len(heard) == 4


def share(_: int) -> tuple[int, int]:
    import torch

    return torch.get_num_threads(), get_worker().memory_manager.memory_limit


def test_a_single_worker_has_the_whole_machine(monkeypatch: pytest.MonkeyPatch):
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)  # what the environment says would go before
    with open_cluster(Dask(workers=1)) as address:
        assert map_parts(share, [0], address) == [(CPU_COUNT, MEMORY_LIMIT)]


def test_workers_that_are_stopped_leave_their_part_and_take_another():
    with open_cluster(Dask(workers=1)) as address, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(map_parts, time.sleep, [120.0], address)
        time.sleep(3)
        stop_parts(address)
        with pytest.raises(EverstayError, match="stopped before they had done their part"):
            waiting.result(30)
        assert map_parts(square, [3], address) == [9]


def test_free_memory_is_what_the_limit_leaves(monkeypatch: pytest.MonkeyPatch):
    used = psutil.Process().memory_info().rss
    monkeypatch.setattr("everstay.partitions.MEMORY_LIMIT", 10 * used)
    assert free_memory() < 9.5 * used
    monkeypatch.setattr("everstay.partitions.MEMORY_LIMIT", 1 << 60)
    assert free_memory() <= psutil.virtual_memory().total


def refuse_at_three(number: int) -> int:
    if number == 3:
        raise SourceError("orders.csv row 3: is not readable")
    return number


def test_a_person_s_mistake_arrives_as_it_was_told(scheduler: str, caplog: pytest.LogCaptureFixture):
    for address in (scheduler, IN_PROCESS):
        with pytest.raises(SourceError, match=r"^orders\.csv row 3: is not readable$"):
            map_parts(refuse_at_three, [1, 2, 3], address)
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize("address", ["127.0.0.1", "http://127.0.0.1:8786"])
def test_what_is_no_address_of_a_scheduler(address: str):
    before = threads()
    with pytest.raises(SettingsError, match=r"dask\.scheduler in the settings .* write tcp://host:8786"):
        map_parts(str, [1], address)
    assert threads() == before  # the client is closed; the garbage collector may come while a lock of Dask's is held


def threads() -> list[str]:
    return sorted(thread.name for thread in threading.enumerate())
