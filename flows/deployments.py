"""Everything a schedule needs: a Prefect server, the deployments of prefect.yaml, and a worker. Ctrl-C stops them."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil
from prefect.client.schemas.schedules import CronSchedule
from pydantic import ValidationError

from everstay.errors import NotReady, SettingsError
from everstay.interrupts import unwind_on_interrupt
from everstay.settings import Prefect, Settings, load_settings
from flows import runtime
from flows.interrupted_runs import end_interrupted_runs

POOL = "everstay"
PROJECT = Path(__file__).resolve().parents[1]

_START_SECONDS = 120  # the first start migrates the server's database
_PATIENCE_SECONDS = 30


def serve() -> None:
    """Start a server when none answers, apply the deployments, and work until Ctrl-C or SIGTERM.

    Raises:
        SettingsError: a schedule in the settings is invalid, or the server's address.
    """
    settings = load_settings()
    check_schedules(settings.prefect)
    environment = deployment_environment(settings)
    try:
        unwind_on_interrupt()
        print(f"Prefect server at {settings.prefect.api_url}: starting, unless it is already running ...", flush=True)
        with prefect_server(settings, environment) as is_own:
            if is_own and (ended := end_interrupted_runs(settings.prefect.api_url)):
                print(f"Runs that were interrupted with the last worker: {ended}, now marked as crashed.", flush=True)
            print("Deployments of prefect.yaml: applying ...", flush=True)
            apply_deployments(environment)
            print(describe_schedules(settings, is_own=is_own), flush=True)
            _work(environment)
    except KeyboardInterrupt:
        print("Stopped: the worker, and the server when it was started here.")


def check_schedules(settings: Prefect) -> None:
    """Refuse what Prefect would refuse, before a server is started for it."""
    for key in ("daily_cron", "weekly_cron"):
        try:
            CronSchedule(cron=getattr(settings, key), timezone=settings.time_zone)
        except ValidationError as error:
            (problem, *_) = error.errors()
            wrong = "time_zone" if problem["loc"] == ("timezone",) else key
            raise SettingsError(f"prefect.{wrong} in the settings: {problem['msg']}") from None


def describe_schedules(settings: Settings, *, is_own: bool) -> str:
    """What runs when, where to see it, how to start something now, and what goes on when the command ends."""
    schedules, address = settings.prefect, settings.prefect.api_url.removesuffix("/api")
    stopped = "Ctrl-C stops the worker and the server."
    if not is_own:
        stopped = (
            "Ctrl-C stops only the worker: the server was running before this command. If an earlier `make deploy` was"
            "\nkilled or still runs, its worker also keeps running what is due (docs/runbook.md says how to stop both)."
        )
    return (
        f"\n  score-users/daily          {schedules.daily_cron} ({schedules.time_zone}): ingest, then score"
        f"\n  retention-pipeline/weekly  {schedules.weekly_cron} ({schedules.time_zone}): the main job"
        f"\n  .../manual                 every other flow, started by hand"
        f"\n\nSee and start them at {address}/deployments. The worker runs what is due as long as this command runs;"
        f"\n{stopped}\n"
    )


def deployment_environment(settings: Settings) -> dict[str, str]:
    """The environment of server, deployment and worker; prefect.yaml takes its schedules from it."""
    return {
        **os.environ,
        "PREFECT_API_URL": settings.prefect.api_url,
        "DEPLOY_PROJECT": str(PROJECT),
        "DEPLOY_DAILY_CRON": settings.prefect.daily_cron,
        "DEPLOY_WEEKLY_CRON": settings.prefect.weekly_cron,
        "DEPLOY_TIME_ZONE": settings.prefect.time_zone,
    }


@contextmanager
def prefect_server(settings: Settings, environment: Mapping[str, str]) -> Iterator[bool]:
    """Use the server at the address in the settings, or start one there for the duration of the block.

    Yields:
        Whether it was started here; then no worker is running yet.

    Raises:
        NotReady: the server does not answer in time, or the address is another machine's and nothing answers there.
        SettingsError: the address is invalid, or not that of a server's API.
    """
    url = settings.prefect.api_url
    address = urlsplit(url)
    try:
        port, is_there = address.port or 4200, _answers(url)
    except (ValueError, httpx.InvalidURL) as error:
        raise SettingsError(f"prefect.api_url '{url}' in the settings is not an address: {error}") from None
    if is_there:
        yield False
        return
    if address.hostname not in ("127.0.0.1", "localhost"):
        raise NotReady(f"no Prefect server answers at {url}: start it, or correct prefect.api_url in the settings")
    if not url.endswith("/api"):
        wanted = f"{address.scheme}://{address.netloc}/api"
        raise SettingsError(f"prefect.api_url '{url}' in the settings does not end in /api: write {wanted}")
    command = [*_cli("server", "start"), "--host", "127.0.0.1", "--port", str(port)]
    server = subprocess.Popen(command, env=dict(environment), cwd=PROJECT, stdout=subprocess.DEVNULL)
    try:
        _wait_for(url, server)
        yield True
    finally:
        _end(server)


def apply_deployments(environment: Mapping[str, str]) -> None:
    """Create the work pool and the deployments of prefect.yaml, or bring them up to date."""
    _prefect(environment, "work-pool", "create", POOL, "--type", "process", "--overwrite")
    _prefect(environment, "--no-prompt", "deploy", "--all")


def _work(environment: Mapping[str, str]) -> None:
    worker = subprocess.Popen([*_cli("worker", "start"), "--pool", POOL], env=dict(environment), cwd=PROJECT)
    try:
        while worker.poll() is None:  # not wait(): with Polars' signal handler Ctrl-C does not interrupt it
            time.sleep(0.2)
    finally:
        with suppress(subprocess.TimeoutExpired):
            worker.wait(2)  # a terminal's Ctrl-C has reached it too; signalled twice, a worker kills itself
        _end(worker)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a server or a worker, then what it started and left behind: a worker does not wait for its flow runs."""
    if process.poll() is not None:
        return
    started = psutil.Process(process.pid).children(recursive=True)
    process.terminate()
    try:
        process.wait(_PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for left in psutil.wait_procs(started, timeout=5)[1]:
        with suppress(psutil.NoSuchProcess):
            left.kill()


def _cli(*words: str) -> list[str]:
    return [sys.executable, "-m", "prefect", *words]


def _prefect(environment: Mapping[str, str], *words: str) -> None:
    done = subprocess.run(_cli(*words), env=dict(environment), cwd=PROJECT, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise NotReady(f"`prefect {' '.join(words)}` failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")


def _wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end and server.poll() is None:
        if _answers(url):
            return
        time.sleep(0.5)
    raise NotReady(f"the Prefect server at {url} did not start within {_START_SECONDS} seconds; is the port taken?")


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=2).is_success
    except httpx.HTTPError:
        return False


if __name__ == "__main__":
    runtime.run(serve)
