"""A digest of the code that computes something, for cache keys: results of other code are recomputed."""

import hashlib
import importlib.util
from functools import cache
from importlib.metadata import version
from pathlib import Path

ROOMS = {
    "features": ("event_ids", "features", "lake", "tables"),
    "sources": ("blanks", "event_ids", "lake", "sources", "tables"),
    "metrics": ("metrics",),
    "churn": ("churn", "device_batches", "event_ids", "features", "lake", "metrics", "tables", "training"),
    "recommender": ("recommender", "device_batches", "event_ids", "features", "lake", "metrics", "tables", "training"),
}
"""Kind of result to the rooms (modules and packages) whose code decides it."""

UNDECIDING = frozenset(
    {"code_version", "configuration", "errors", "interrupts", "partitions", "recommender_settings", "settings",
     "settings_mistakes", "source_settings", "storage", "tuning", "value_settings"}
)  # fmt: skip
"""Rooms that those import but that decide no result: the values of settings are part of every key already."""

_LIBRARIES = (
    "everstay", "implicit", "lightgbm", "numba", "numpy", "polars", "pytorch-lightning", "scikit-learn", "scipy",
    "torch",
)  # fmt: skip
_SOURCES = (".py", ".jinja")


@cache
def code_version(computed: str) -> str:
    """Digest the source files that decide one of `ROOMS` and the versions of the libraries they use: 16 hex digits.

    A digest rather than a version number that somebody must remember to bump: an edited comment also causes a
    recomputation, which costs minutes, but a result of other code is never mistaken for one of the present code.
    """
    digest = hashlib.sha256()
    for name in _LIBRARIES:
        digest.update(f"{name} {version(name)}\n".encode())
    for room in ROOMS[computed]:
        for name, path in source_files(f"everstay.{room}"):
            digest.update(f"{room}/{name}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def source_files(module: str) -> list[tuple[str, Path]]:
    """The files of a package and its subpackages, or the file of a module, by name; found without importing it."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        return []
    origin = Path(spec.origin)
    if not spec.submodule_search_locations:
        return [(origin.name, origin)]
    files = (path for path in origin.parent.rglob("*") if path.suffix in _SOURCES)
    return sorted((path.relative_to(origin.parent).as_posix(), path) for path in files)
