"""The artifact folder, where a model and the registry meet: its card, its digest, its loader. No MLflow here."""

import hashlib
import json
import pkgutil
import re
from pathlib import Path
from typing import Any

from everstay.errors import EverstayError

CARD = "artifact.json"
_LOADER = re.compile(r"everstay(\.[a-z_][a-z0-9_]*)+:[a-z_][a-z0-9_]*")


class ArtifactRefused(EverstayError):
    """An artifact folder is incomplete, was changed, or asks for code that is not ours."""


def read_card(folder: Path) -> dict[str, Any]:
    """Read the folder's card: model, name, loader, as-of, data version, configuration.

    Raises:
        ArtifactRefused: there is no card.
    """
    try:
        card: dict[str, Any] = json.loads((folder / CARD).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ArtifactRefused(f"{folder} is not an artifact folder: it holds no {CARD}") from None
    return card


def artifact_digest(folder: Path) -> str:
    """Digest the content of all files: SHA-256 over their relative paths and their own digests, 64 hex digits."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def load_artifact(folder: Path) -> Any:
    """Load the model with the function that the card names, for example `everstay.churn.artifact:load_artifact`.

    Returns:
        What the loader returns: a churn or a recommender model.

    Raises:
        ArtifactRefused: the loader is not a function of ours, and was not called; or the files are of another release.
    """
    loader = str(read_card(folder).get("loader"))
    if not _LOADER.fullmatch(loader):
        raise ArtifactRefused(f"{folder / CARD}: loader '{loader}' is not a function of everstay; it was not called")
    try:
        function = pkgutil.resolve_name(loader)
    except (ImportError, AttributeError) as error:
        raise ArtifactRefused(_of_another_release(folder, error)) from error
    if not str(getattr(function, "__module__", "")).startswith("everstay."):
        # a name that one of our modules merely imported, such as `everstay.churn.artifact:run`
        raise ArtifactRefused(f"{folder / CARD}: loader '{loader}' was not written in everstay; it was not called")
    try:
        return function(folder)
    except EverstayError as error:  # the model's own loader refuses it
        raise ArtifactRefused(str(error)) from error
    except Exception as error:  # files of another layout may raise anything
        raise ArtifactRefused(_of_another_release(folder, error)) from error


def _of_another_release(folder: Path, error: Exception) -> str:
    return (
        f"{folder} cannot be loaded by this release of everstay ({type(error).__name__}: {error}): install the release "
        "that wrote it, or run `make train`, which replaces a champion that cannot be loaded"
    )
