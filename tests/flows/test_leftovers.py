"""What no run has used for a week is removed, and nothing else."""

import os
import time
from pathlib import Path

import pytest

from everstay.settings import Data, Settings
from flows import leftovers, runtime

DAY = 24 * 3600


def make(folder: Path, days: float) -> Path:
    """A candidate's file whose every folder was written so many days ago."""
    file = folder / "candidates" / "network" / "weights"
    file.parent.mkdir(parents=True)
    file.write_text("")
    for path in (file, *file.parents[:3]):
        os.utime(path, (time.time() - days * DAY,) * 2)
    return folder


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data=Data(folder=str(tmp_path)))


def test_only_what_is_old_in_every_part_is_removed(settings: Settings, tmp_path: Path):
    old, young = (make(runtime.work_folder(settings, "churn", name), days) for name, days in (("old", 8), ("young", 6)))
    other = make(runtime.work_folder(settings, "recommender", "other"), 30)
    written = make(runtime.work_folder(settings, "recommender", "written"), 30)
    (written / "candidates" / "network" / "checkpoint").write_text("")
    read = make(runtime.work_folder(settings, "churn", "read"), 30)
    leftovers.mark_used(read)
    halved = make(runtime.work_folder(settings, "churn", "halved.removed"), 9)
    parts, events = make(tmp_path / "_work" / "day_tokens", 30), make(tmp_path / "events", 30)
    judged = make(runtime.work_folder(settings, "back_test", "judged"), 8)
    killed = make(runtime.work_folder(settings, "campaign", "killed"), 8)
    removed = ["churn/halved.removed", "churn/old", "recommender/other", "back_test/judged", "campaign/killed"]
    assert leftovers.remove_unused(settings) == removed
    assert not any(folder.exists() for folder in (old, other, halved, judged, killed, Path(f"{old}.removed")))
    assert all((folder / "candidates").exists() for folder in (young, written, read, parts, events))
    assert leftovers.remove_unused(settings) == []


def test_a_clock_that_went_back_removes_nothing(settings: Settings):
    folder = make(runtime.work_folder(settings, "churn", "of tomorrow"), -400)
    assert leftovers.remove_unused(settings) == []
    assert folder.exists()


def test_a_folder_in_which_something_just_vanished_is_in_use(settings: Settings):
    folder = make(runtime.work_folder(settings, "churn", "busy"), 30)
    (folder / "candidates" / "gone").symlink_to(folder / "nowhere")
    os.utime(folder / "candidates", (time.time() - 30 * DAY,) * 2)
    assert leftovers.remove_unused(settings) == []
    assert folder.exists()


def test_a_new_shop_has_nothing_to_remove(settings: Settings):
    assert leftovers.remove_unused(settings) == []
