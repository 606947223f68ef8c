"""A name of the code that computes something: what was stored by other code is not found, but computed anew."""

import hashlib
import importlib.util
from functools import cache
from importlib.metadata import version
from pathlib import Path

ROOMS = {
    "features": ("event_ids", "features", "lake", "tables"),
    "sources": ("blanks", "event_ids", "lake", "sources", "tables"),
    "metrics": ("metrics",),
    "churn": ("churn", "event_ids", "features", "lake", "metrics", "tables", "training"),
    "recommender": ("recommender", "event_ids", "features", "lake", "metrics", "tables", "training"),
}
"""What is computed, to the rooms whose code decides it."""

UNDECIDING = frozenset(
    {"code_version", "errors", "interrupts", "partitions", "recommender_settings", "settings", "settings_mistakes",
     "source_settings", "storage", "tuning", "value_settings"}
)  # fmt: skip
"""Rooms that those import and that decide nothing: values of settings are in every key by themselves."""

_LIBRARIES = (
    "everstay", "implicit", "lightgbm", "numba", "numpy", "polars", "pytorch-lightning", "scikit-learn", "scipy",
    "torch",
)  # fmt: skip
_SOURCES = (".py", ".jinja")


@cache
def code_version(computed: str) -> str:
    """Name the source files that decide one of `ROOMS`, and the libraries they stand on: 16 hex digits.

    It is one digest and no number that somebody must remember to raise: an edited comment computes anew as well, which
    costs minutes, and nothing that was made by other code is ever taken for what the present code makes.
    """
    digest = hashlib.sha256()
    for name in _LIBRARIES:
        digest.update(f"{name} {version(name)}\n".encode())
    for room in ROOMS[computed]:
        for name, path in source_files(f"everstay.{room}"):
            digest.update(f"{room}/{name}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def source_files(module: str) -> list[tuple[str, Path]]:
    """The files of a package, of those below it too, or the file of a module, by name; found without an import."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        return []
    origin = Path(spec.origin)
    if not spec.submodule_search_locations:
        return [(origin.name, origin)]
    files = (path for path in origin.parent.rglob("*") if path.suffix in _SOURCES)
    return sorted((path.relative_to(origin.parent).as_posix(), path) for path in files)
