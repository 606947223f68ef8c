"""`python -m everstay.registry rollback churn`: the champion before the present one serves again."""

import argparse
import sys
from collections.abc import Sequence

from everstay.errors import EverstayError
from everstay.lake import Lake
from everstay.registry.rollout import roll_back
from everstay.registry.store import Registry
from everstay.registry.versions import DESCRIPTIONS
from everstay.settings import load_settings


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 when it was done, 1 with a message when it could not be."""
    parser = argparse.ArgumentParser(prog="python -m everstay.registry", description="Commands on registered models.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser("rollback", help="restore the previous champion and record it")
    command.add_argument("model", choices=tuple(DESCRIPTIONS))
    model = parser.parse_args(arguments).model
    try:
        settings = load_settings()
        lake = Lake(settings.data.folder, settings.data.buckets)
        restored = roll_back(Registry(settings.mlflow), lake, model)
    except EverstayError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{model}: version {restored.version} ({restored.candidate}, as of {restored.as_of[:10]}) is champion again")
    return 0


if __name__ == "__main__":
    sys.exit(main())
