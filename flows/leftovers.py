"""Prepared rows, fitted candidates and judged publications under `_work/` that no run has used for a week.

All of it can be made anew. Folders' names hold the data version and the code, so that every delivery and every edit of
a model leaves one behind.
"""

import os
import shutil
import time
from pathlib import Path

from everstay.settings import Settings
from flows import runtime

UNUSED_DAYS = 7
"""No run lasts so long: what was not used since is used by none that is alive."""

_ROOMS = ("churn", "recommender", "back_test")
_REMOVED = ".removed"


def mark_used(folder: Path) -> None:
    """Say that a run works with this folder of `_work/`, also when it only reads there."""
    os.utime(folder)


def remove_unused(settings: Settings) -> list[str]:
    """Remove the folders in which nothing was written or marked for `UNUSED_DAYS`; give their names.

    A folder disappears under its name at once: an end in the middle leaves none that is half there.
    """
    oldest = time.time() - UNUSED_DAYS * 24 * 3600
    removed = []
    for room in _ROOMS:
        for folder in sorted(runtime.work_folder(settings, room).glob("*/")):
            if _last_used(folder) < oldest:
                gone = folder if folder.suffix == _REMOVED else folder.rename(f"{folder}{_REMOVED}")
                shutil.rmtree(gone, ignore_errors=True)
                removed.append(f"{room}/{folder.name}")
    return removed


def _last_used(folder: Path) -> float:
    """When the folder or anything in it was written last, in seconds since 1970; now, when something just vanishes."""
    try:
        return max(path.stat().st_mtime for path in (folder, *folder.rglob("*")))
    except FileNotFoundError:
        return time.time()
