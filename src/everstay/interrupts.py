"""Ctrl-C: a command ends at once and in one line, and with it the processes that it started."""

import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker

import psutil

STATUS = 128 + signal.SIGINT
"""What a shell calls a command that an interrupt ended."""

_WORDS = "stopped; what was half-done is invisible: run the same command again, and it goes on"
_STDERR = 2
_once = threading.Lock()


def stop_on_interrupt() -> None:
    """From now on an interrupt ends this process.

    Nothing is unwound. A terminal interrupts the processes that were started too, and libraries then wait for a server
    or a worker that is gone, for minutes; and whatever a command writes is made so that a kill does no harm at any
    moment. A thread waits for the signal, because the main one hears of it only when it comes back from compiled code.
    """
    if threading.current_thread() is not threading.main_thread():
        return  # only there can signals be asked for
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    signal.set_wakeup_fd(theirs.detach(), warn_on_full_buffer=False)
    signal.signal(signal.SIGINT, lambda *_: _stop())
    threading.Thread(target=_wait, args=(ours,), name="interrupts", daemon=True).start()


def unwind_on_interrupt() -> None:
    """From now on Ctrl-C and SIGTERM are a KeyboardInterrupt, for a command that ends a server of its own in order."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)


@contextmanager
def deaf_children() -> Iterator[None]:
    """Processes that are started inside the block, or later by threads begun in it, do not hear an interrupt.

    Who started them ends them; by themselves they would each answer with a traceback.
    """
    resource_tracker.ensure_running()  # would be started with the first process, and undo what is done here
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _wait(ours: socket.socket) -> None:
    """Python writes the number of each signal as a byte."""
    while signal.SIGINT not in ours.recv(1):
        pass
    _stop()


def _stop() -> None:
    _once.acquire()  # and never released: a second caller waits for the end
    logging.disable()
    os.write(_STDERR, f"\neverstay: {_WORDS}\n".encode())  # the stream itself may be in the middle of a write
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            child.kill()
    os._exit(STATUS)
