"""Prepared rows, fitted candidates, judged publications and what killed campaigns left, unused for a week.

All of it lies under `_work/` and can be recomputed. Folder names include the data and code versions, so that every
delivery and every edit of a model leaves one behind.
"""

import os
import shutil
import time
from pathlib import Path

from everstay.settings import Settings
from flows import runtime

UNUSED_DAYS = 7
"""No run lasts this long: what was not used since is used by no live run."""

_ROOMS = ("churn", "recommender", "back_test", "campaign")
_REMOVED = ".removed"


def mark_used(folder: Path) -> None:
    """Mark a folder of `_work/` as in use by a run, even if the run only reads there."""
    os.utime(folder)


def remove_unused(settings: Settings) -> list[str]:
    """Remove the folders in which nothing was written or marked for `UNUSED_DAYS`; give their names.

    A folder is renamed first: an interruption leaves no half-deleted folder under its name.
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
    """When the folder or anything in it was last written, in seconds since 1970; now, if something just vanished."""
    try:
        return max(path.stat().st_mtime for path in (folder, *folder.rglob("*")))
    except FileNotFoundError:
        return time.time()
