"""Where a flow works: folders that cannot be written are told as settings, before anything begins."""

import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from everstay.errors import SettingsError
from everstay.settings import Data, Settings
from flows import runtime


def test_folders_that_can_be_written_are_left_as_they_were(tmp_path: Path):
    settings = Settings(data=Data(folder=f"{tmp_path}/lake"), report_folder=f"{tmp_path}/reports")
    assert runtime.open_lake(settings).uri == f"{tmp_path}/lake"
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    ("lake", "reports", "key"),
    [
        ("{file}/lake", "{folder}", "data.folder"),
        ("ftp://shop/lake", "{folder}", "data.folder"),
        ("{folder}", "{file}/reports", "report_folder"),
    ],
)
def test_a_folder_that_cannot_be_written_is_named_with_its_key(tmp_path: Path, lake: str, reports: str, key: str):
    (tmp_path / "file").write_text("")
    lake, reports = (text.format(file=tmp_path / "file", folder=tmp_path / "new") for text in (lake, reports))
    settings = Settings(data=Data(folder=lake), report_folder=reports)
    with pytest.raises(SettingsError, match=rf"^{key} '.*' in the settings cannot be written: "):
        runtime.open_lake(settings)
    with pytest.raises(SettingsError, match=f"^{key} "), runtime.working_alone(settings):
        pass


@pytest.mark.parametrize("mark", ["#", "?", "[", "%"])
def test_a_folder_that_tables_would_look_for_elsewhere_is_refused(tmp_path: Path, mark: str):
    settings = Settings(data=Data(folder=f"{tmp_path}/a{mark}20b"), report_folder=f"{tmp_path}/reports")
    with pytest.raises(SettingsError, match=rf"data\.folder .* contains {re.escape(mark)}"):
        runtime.open_lake(settings)


def test_a_run_waits_for_another_one_and_not_for_itself(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    settings = Settings(data=Data(folder=f"{tmp_path}/lake"))
    (tmp_path / "lake/_work").mkdir(parents=True)
    held = (
        "import sys, time, filelock\nwith filelock.FileLock(sys.argv[1]):\n print('held', flush=True)\n time.sleep(9)"
    )
    command = [sys.executable, "-c", held, f"{tmp_path}/lake/_work/lock"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        threading.Timer(0.5, other.kill).start()  # a run that is killed holds nothing any more
        with runtime.working_alone(settings), runtime.working_alone(settings):
            assert other.wait() == -signal.SIGKILL
    assert "another run is using" in caplog.text
