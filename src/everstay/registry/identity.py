"""What makes two training runs the same: a key of everything that decides a candidate, and the code that made it."""

import hashlib
import importlib.util
import json
import subprocess
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

_BELOW_MODELS = ("features", "lake", "metrics", "tables", "training")
_LAYOUT = 2  # of what a run holds; 2: bounds are named uncertainty_low/... and uncertainty_high/...
_LIBRARIES = ("everstay", "numpy", "polars", "pytorch-lightning", "scikit-learn", "torch")


def run_key(model: str, candidate: str, config: Mapping[str, Any], data_version: str, as_of: datetime) -> str:
    """Name a training run by what decides its outcome: 32 hex digits.

    The commit is no part of it, so that an edited README trains nothing again; the model's source files are, so that
    an edited network does.

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


@cache
def code_version(model: str) -> str:
    """Name the source files of the model's room and of the rooms below it, and the libraries they stand on."""
    digest = hashlib.sha256()
    for name in _LIBRARIES:
        digest.update(f"{name} {version(name)}\n".encode())
    for room in (model, *_BELOW_MODELS):
        for path in _source_files(f"everstay.{room}"):
            digest.update(f"{room}/{path.name}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def commit() -> str | None:
    """The git commit this package runs from, with `-dirty` when files are changed; None outside git."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return answer.stdout.strip() or None


def _source_files(name: str) -> list[Path]:
    """The files of a package or the file of a module, found without importing it."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        return []
    origin = Path(spec.origin)
    return sorted(origin.parent.glob("*.py")) if spec.submodule_search_locations else [origin]
