"""Ctrl-C: one line, at once, and no process that was started stays."""

import signal
import subprocess
import sys
import time
from multiprocessing import get_context

import psutil
import pytest

from everstay import interrupts

COMMAND = """
import subprocess, sys, threading, time
from everstay.interrupts import stop_on_interrupt
stop_on_interrupt()
deaf = "import signal, time; signal.signal(2, signal.SIG_IGN); time.sleep(60)"
child = subprocess.Popen([sys.executable, "-c", deaf])
print(child.pid, flush=True)
{work}
"""
LINE = "everstay: stopped; unfinished work is invisible: re-run the same command to continue"
WORK = {
    "asleep": "time.sleep(60)",
    "waiting for a thread": "threading.Event().wait(60)",
    "in code that would tell of it": "try:\n    time.sleep(60)\nexcept BaseException:\n    print('unwound')",
}


def is_running(process: int) -> bool:
    return psutil.pid_exists(process) and psutil.Process(process).status() != psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("work", WORK.values(), ids=WORK)
def test_an_interrupt_ends_the_command_and_what_it_started(work: str):
    command = [sys.executable, "-c", COMMAND.format(work=work)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    child = int(process.stdout.readline())
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    said, told = process.communicate(timeout=10)
    assert process.returncode == interrupts.STATUS == 130
    assert said == ""
    assert told == f"\n{LINE}\n"
    end = time.monotonic() + 10
    while is_running(child):
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("command", "moment"),
    [
        ("everstay.preview", "everstay"),
        ("everstay.preview", "polars.dataframe"),
        ("everstay.registry", "mlflow.version"),
        ("flows.ingest_events", "everstay"),
        ("flows.ingest_events", "prefect.types"),
    ],
)
def test_an_interrupt_while_the_command_is_being_imported(command: str, moment: str):
    """Python tells of each import when it is done."""
    process = subprocess.Popen(
        [sys.executable, "-X", "importtime", "-m", command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    while process.stderr.readline().rpartition("|")[2].strip() != moment:
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    said, told = process.communicate(timeout=10)
    assert process.returncode == interrupts.STATUS
    assert said == ""
    assert told.endswith(f"\n{LINE}\n")
    assert "Traceback" not in told


def blocked() -> bool:
    return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_processes_that_are_started_so_do_not_hear_it():
    with interrupts.deaf_children(), get_context("spawn").Pool(1) as pool:
        assert pool.apply(blocked)
    assert not blocked()
