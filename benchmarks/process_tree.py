"""Run a command and watch it: the seconds that it reports, and the peak memory of it and all its children."""

import contextlib
import json
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

_EVERY_SECONDS = 0.1
_PAUSE = 30  # times as long as a sample took: the kernel walks all pages for it, on the cores that are measured


@dataclass(frozen=True)
class Watched:
    """What a command reported (the JSON object on the last line that it printed) and what it took.

    Attributes:
        told: numbers by name.
        seconds: from start to end, with the interpreter's start.
        peak_bytes: proportional set size of the whole process tree, so that shared pages count once.
    """

    told: dict[str, float]
    seconds: float
    peak_bytes: int


def watch(command: Sequence[str], folder: Path | None = None) -> Watched:
    """Run a command to its end.

    Raises:
        RuntimeError: it failed; the message is the end of what it wrote.
    """
    began = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    peak = 0
    while process.poll() is None:
        looked = time.perf_counter()
        peak = max(peak, _tree_bytes(process.pid))
        _wait(process, max(_EVERY_SECONDS, _PAUSE * (time.perf_counter() - looked)))
    printed, complained = process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}:\n{complained[-3000:]}")
    told = json.loads(printed.strip().splitlines()[-1])
    return Watched(told, time.perf_counter() - began, peak)


def _wait(process: subprocess.Popen[str], seconds: float) -> None:
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)


def _tree_bytes(pid: int) -> int:
    try:
        root = psutil.Process(pid)
        processes = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    return sum(_bytes(process) for process in processes)


def _bytes(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0
