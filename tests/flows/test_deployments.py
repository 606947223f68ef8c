"""A real Prefect server and a real worker: a deployment is applied, triggered, and seen complete; SIGTERM ends them."""

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.schedules import CronSchedule

from everstay import tables as t
from everstay.errors import SettingsError
from everstay.lake import Lake
from everstay.settings import Prefect, Settings
from flows import deployments
from tests.flows.conftest import PYTHONPATH, write_settings

_WAIT_SECONDS = 240


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """`make deploy`: its folder and its server's address. It ends by SIGTERM, and nothing that it started stays."""
    folder, port = tmp_path_factory.mktemp("deployed"), free_port()
    environment = {
        **os.environ,
        "PYTHONPATH": PYTHONPATH,
        "PREFECT_HOME": str(folder / "prefect"),
        "EVERSTAY_SETTINGS": str(write_settings(folder, port=port)),
        "EVERSTAY_PREFECT__DAILY_CRON": "15 2 * * *",
        "EVERSTAY_PREFECT__TIME_ZONE": "Europe/Berlin",
    }
    command, output = [sys.executable, "-m", "flows.deployments"], folder / "output.txt"
    with output.open("w") as file:
        process = subprocess.Popen(command, env=environment, cwd=deployments.PROJECT, stdout=file)
    try:
        end = time.monotonic() + _WAIT_SECONDS
        while "Worker" not in output.read_text():
            assert process.poll() is None
            assert time.monotonic() < end, output.read_text()
            time.sleep(0.3)
        yield folder, f"http://127.0.0.1:{port}/api"
    finally:
        started = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
        ended = process.wait(timeout=90)
        left = psutil.wait_procs(started, timeout=5)[1]
        for other in left:
            other.kill()
    assert len(started) >= 2
    assert not left
    assert ended == 0
    assert "Stopped: the worker" in output.read_text()


def test_schedules_are_those_of_the_settings(deployed: tuple[Path, str]):
    _, api = deployed
    with SyncPrefectClient(api) as client:
        daily = client.read_deployment_by_name("score-users/daily")
        weekly = client.read_deployment_by_name("retention-pipeline/weekly")
    assert daily.schedules[0].schedule == CronSchedule(cron="15 2 * * *", timezone="Europe/Berlin")
    assert daily.parameters == {"ingest_first": True}
    assert weekly.schedules[0].schedule == CronSchedule(cron=Prefect().weekly_cron, timezone="Europe/Berlin")


def test_a_triggered_deployment_runs_in_a_worker_to_its_end(deployed: tuple[Path, str]):
    folder, api = deployed
    with SyncPrefectClient(api) as client:  # asks again where SQLite is busy, as whoever starts a run does
        manual = client.read_deployment_by_name("ingest-events/manual")
        run = client.create_flow_run_from_deployment(manual.id)
        end = time.monotonic() + _WAIT_SECONDS
        while not (state := client.read_flow_run(run.id).state).is_final():
            assert time.monotonic() < end, f"the run is still {state}"
            time.sleep(1)
    assert state.is_completed()
    assert Lake(str(folder / "lake"), 2).snapshot().event_count > 10_000
    assert Lake(str(folder / "lake"), 2).read(t.ITEMS).height == 60


def test_what_goes_on_after_ctrl_c_is_told(deployed: tuple[Path, str]):
    _, api = deployed
    settings = Settings(prefect=Prefect(api_url=api))
    with deployments.prefect_server(settings, os.environ) as is_own:
        assert not is_own
    assert httpx.get(f"{api}/health", timeout=30).is_success
    assert "Ctrl-C stops only the worker: the server" in deployments.describe_schedules(settings, is_own=is_own)
    assert "Ctrl-C stops the worker and the server." in deployments.describe_schedules(settings, is_own=True)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (
            {"daily_cron": "every day"},
            'prefect.daily_cron in the settings: Value error, Invalid cron string: "every day"',
        ),
        ({"weekly_cron": "0 4 *"}, "prefect.weekly_cron in the settings"),
        (
            {"time_zone": "Europe/Berln"},
            'prefect.time_zone in the settings: Value error, Invalid timezone: "Europe/Berln"',
        ),
    ],
)
def test_a_schedule_that_is_none(wrong: dict[str, str], words: str):
    deployments.check_schedules(Prefect())
    with pytest.raises(SettingsError) as told:
        deployments.check_schedules(Prefect(**wrong))
    assert words in str(told.value)


@pytest.mark.parametrize("port", ["99999", "42OO"])
def test_a_server_s_address_that_is_none(port: str):
    url = f"http://127.0.0.1:{port}/api"
    server = deployments.prefect_server(Settings(prefect=Prefect(api_url=url)), os.environ)
    with (
        pytest.raises(SettingsError, match=re.escape(f"prefect.api_url '{url}' in the settings is not an address")),
        server,
    ):
        pass


@pytest.mark.parametrize("end", ["", "/", "/api/", "/apis"])
def test_a_server_s_address_without_its_api(end: str):
    settings = Settings(prefect=Prefect(api_url=f"http://127.0.0.1:1{end}"))
    words = re.escape(f"127.0.0.1:1{end}' in the settings does not end in /api: write http://127.0.0.1:1/api")
    with pytest.raises(SettingsError, match=words), deployments.prefect_server(settings, os.environ):
        pass
