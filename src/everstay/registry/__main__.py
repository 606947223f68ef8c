"""`python -m everstay.registry rollback churn`: the previous champion serves again; `... ui`: the MLflow UI."""

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress

from everstay.errors import EverstayError
from everstay.interrupts import unwind_on_interrupt
from everstay.lake import Lake
from everstay.registry.rollout import roll_back
from everstay.registry.store import Registry
from everstay.registry.versions import DESCRIPTIONS
from everstay.registry.views import addresses, describe_experiment
from everstay.settings import Settings, load_settings

_QUIET = {
    "PYTHONWARNINGS": "ignore:starlette.middleware.wsgi is deprecated",  # by MLflow 3.17's own server
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # seven processes for judging language models
}
_PATIENCE_SECONDS = 20


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 when it was done, 1 with a message when it could not be."""
    parser = argparse.ArgumentParser(prog="python -m everstay.registry", description="Commands on registered models.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    rollback = commands.add_parser("rollback", help="restore the previous champion and record it")
    rollback.add_argument("model", choices=tuple(DESCRIPTIONS))
    commands.add_parser("ui", help="serve the MLflow UI on the project's store, on this machine only")
    chosen = parser.parse_args(arguments)
    try:
        settings = load_settings()
        if chosen.command == "ui":
            return _serve_ui(settings)
        lake = Lake(settings.data.folder, settings.data.buckets)
        restored = roll_back(Registry(settings.mlflow), lake, chosen.model)
    except EverstayError as error:
        print(f"everstay: {error}", file=sys.stderr)
        return 1
    described = f"{restored.candidate}, as of {restored.as_of[:10]}"
    print(f"{chosen.model}: version {restored.version} ({described}) is champion again")
    return 0


def _serve_ui(settings: Settings) -> int:
    """Print the addresses, then run MLflow's own server until it is interrupted."""
    registry = Registry(settings.mlflow)
    for model in DESCRIPTIONS:
        describe_experiment(registry, model, settings.promotion)
    for name, address in addresses(registry, settings.mlflow.port).items():
        print(f"{name:22} {address}")
    print("The server is up in a few seconds and listens on this machine only. Ctrl-C stops it.", flush=True)
    store = ["--backend-store-uri", registry.tracking_uri, "--registry-store-uri", registry.tracking_uri]
    listen = ["--host", "127.0.0.1", "--port", str(settings.mlflow.port), "--workers", "1"]
    command = [sys.executable, "-m", "mlflow", "server", *store, *listen, "--uvicorn-opts", "--log-level warning"]
    server = subprocess.Popen(command, env={**_QUIET, **os.environ}, start_new_session=True)
    try:
        unwind_on_interrupt()
        while server.poll() is None:  # not wait(): with Polars' signal handler Ctrl-C does not interrupt it
            time.sleep(0.2)
        return server.returncode
    except KeyboardInterrupt:
        return 0
    finally:
        _end(server)


def _end(server: subprocess.Popen[bytes]) -> None:
    """End the server and its workers; a terminal's Ctrl-C does not reach them, as MLflow would print a traceback."""
    with suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGTERM)
    try:
        server.wait(_PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(server.pid, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
