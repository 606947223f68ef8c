"""`python -m everstay.registry rollback churn`: the previous champion serves again; `... ui`: the MLflow UI."""

import argparse
import subprocess
import sys
from collections.abc import Sequence

from everstay.errors import EverstayError
from everstay.lake import Lake
from everstay.registry.rollout import roll_back
from everstay.registry.store import Registry
from everstay.registry.versions import DESCRIPTIONS
from everstay.settings import Settings, load_settings


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
        print(f"error: {error}", file=sys.stderr)
        return 1
    described = f"{restored.candidate}, as of {restored.as_of[:10]}"
    print(f"{chosen.model}: version {restored.version} ({described}) is champion again")
    return 0


def _serve_ui(settings: Settings) -> int:
    """Run MLflow's own server until it is interrupted."""
    registry = Registry(settings.mlflow)
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", registry.tracking_uri]
    command += ["--host", "127.0.0.1", "--port", str(settings.mlflow.port), "--workers", "1"]
    try:
        return subprocess.run(command, check=False).returncode
    except KeyboardInterrupt:
        return 0


if __name__ == "__main__":
    sys.exit(main())
