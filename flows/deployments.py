"""Everything a schedule needs: a Prefect server, the deployments of prefect.yaml, and a worker. Ctrl-C stops them."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from everstay.errors import NotReady
from everstay.settings import Settings, load_settings
from flows import runtime

POOL = "everstay"
PROJECT = Path(__file__).resolve().parents[1]

_START_SECONDS = 120  # the first start migrates the server's database


def serve() -> None:
    """Start a server when none answers, apply the deployments, and work until interrupted."""
    settings = load_settings()
    environment = deployment_environment(settings)
    with prefect_server(settings, environment):
        apply_deployments(environment)
        address = settings.prefect.api_url.removesuffix("/api")
        print(f"\nPrefect UI: {address}\nThe worker runs what is scheduled; Ctrl-C stops it and the server.\n")
        try:
            subprocess.run([*_cli("worker", "start"), "--pool", POOL], env=environment, cwd=PROJECT, check=False)
        except KeyboardInterrupt:
            print("stopped")


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
def prefect_server(settings: Settings, environment: Mapping[str, str]) -> Iterator[None]:
    """Use the server at the address in the settings, or start one there for the time of the block.

    Raises:
        NotReady: the server does not answer in time, or the address is another machine's and nothing answers there.
    """
    url = settings.prefect.api_url
    if _answers(url):
        yield
        return
    address = urlsplit(url)
    if address.hostname not in ("127.0.0.1", "localhost"):
        raise NotReady(f"no Prefect server answers at {url} (prefect.api_url in everstay.toml)")
    command = [*_cli("server", "start"), "--host", "127.0.0.1", "--port", str(address.port or 4200)]
    server = subprocess.Popen(command, env=dict(environment), cwd=PROJECT, stdout=subprocess.DEVNULL)
    try:
        _wait_for(url, server)
        yield
    finally:
        server.terminate()
        server.wait(timeout=30)


def apply_deployments(environment: Mapping[str, str]) -> None:
    """Create the work pool and the deployments of prefect.yaml, or bring them up to date."""
    _prefect(environment, "work-pool", "create", POOL, "--type", "process", "--overwrite")
    _prefect(environment, "--no-prompt", "deploy", "--all")


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
