"""What makes two training runs the same: a key of everything that decides a candidate, and the code that made it."""

import hashlib
import json
import subprocess
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from everstay.code_version import code_version

_LAYOUT = 2  # of what a run holds; 2: bounds are named uncertainty_low/... and uncertainty_high/...


def run_key(model: str, candidate: str, config: Mapping[str, Any], data_version: str, as_of: datetime) -> str:
    """Name a training run by what decides its outcome: 32 hex digits.

    The commit is not part of it, so an edited README retrains nothing; the model's source files are, so an edited
    network does.

    Args:
        model: "churn" or "recommender".
        candidate: "network", "boosting", ...
        config: all settings that reach the candidate, its seed included; must be writable as JSON.
        data_version: of the lake's snapshot.
        as_of: the moment the candidate is judged at.
    """
    parts = {
        "model": model,
        "candidate": candidate,
        "config": config,
        "data_version": data_version,
        "as_of": as_of.isoformat(),
        "code": code_version(model),
        "layout": _LAYOUT,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def commit() -> str | None:
    """The git commit this package runs from, with `-dirty` when files are changed; None outside git."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return answer.stdout.strip() or None
