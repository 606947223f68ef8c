"""A real Prefect server and a real worker: a deployment is applied, triggered, and seen complete."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from everstay import tables as t
from everstay.errors import SettingsError
from everstay.lake import Lake
from everstay.settings import Prefect, load_settings
from flows import deployments
from tests.flows.conftest import write_settings

_WAIT_SECONDS = 240


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def state_of(api: str, run_id: str) -> str:
    return str(httpx.get(f"{api}/flow_runs/{run_id}", timeout=30).json()["state"]["type"])


def test_a_triggered_deployment_runs_in_a_worker_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    port = free_port()
    monkeypatch.setenv("EVERSTAY_SETTINGS", str(write_settings(tmp_path, port=port)))
    monkeypatch.setenv("EVERSTAY_PREFECT__DAILY_CRON", "15 2 * * *")
    monkeypatch.setenv("EVERSTAY_PREFECT__TIME_ZONE", "Europe/Berlin")
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
    settings = load_settings()
    environment = deployments.deployment_environment(settings)
    api = settings.prefect.api_url
    with deployments.prefect_server(settings, environment):
        deployments.apply_deployments(environment)
        daily = httpx.get(f"{api}/deployments/name/score-users/daily", timeout=30).json()
        assert daily["schedules"][0]["schedule"]["cron"] == "15 2 * * *"
        assert daily["schedules"][0]["schedule"]["timezone"] == "Europe/Berlin"
        assert daily["parameters"] == {"ingest_first": True}
        weekly = httpx.get(f"{api}/deployments/name/retention-pipeline/weekly", timeout=30).json()
        assert weekly["schedules"][0]["schedule"]["cron"] == settings.prefect.weekly_cron
        manual = httpx.get(f"{api}/deployments/name/ingest-events/manual", timeout=30).json()
        created = httpx.post(f"{api}/deployments/{manual['id']}/create_flow_run", json={}, timeout=30).json()
        command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", deployments.POOL]
        worker = subprocess.Popen(command, env=environment, cwd=deployments.PROJECT)
        try:
            end = time.monotonic() + _WAIT_SECONDS
            while (state := state_of(api, created["id"])) not in ("COMPLETED", "FAILED", "CRASHED"):
                assert time.monotonic() < end, f"the run is still {state}"
                time.sleep(1)
        finally:
            worker.terminate()
            worker.wait(timeout=60)
    assert state == "COMPLETED"
    assert Lake(str(tmp_path / "lake"), 2).snapshot().event_count > 10_000
    assert Lake(str(tmp_path / "lake"), 2).read(t.ITEMS).height == 60
    assert os.environ.get("PREFECT_API_URL") != api, "the test left the server's address behind"


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (
            {"daily_cron": "every day"},
            'prefect.daily_cron in everstay.toml: Value error, Invalid cron string: "every day"',
        ),
        ({"weekly_cron": "0 4 *"}, "prefect.weekly_cron in everstay.toml"),
        (
            {"time_zone": "Europe/Berln"},
            'prefect.time_zone in everstay.toml: Value error, Invalid timezone: "Europe/Berln"',
        ),
    ],
)
def test_a_schedule_that_is_none(wrong: dict[str, str], words: str):
    deployments.check_schedules(Prefect())
    with pytest.raises(SettingsError) as told:
        deployments.check_schedules(Prefect(**wrong))
    assert words in str(told.value)
