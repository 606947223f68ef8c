"""Ctrl-C: a command and the processes it started end at once, with a one-line message."""

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
"""The exit status that a shell reports for an interrupted command."""

_WORDS = "stopped; unfinished work is invisible: re-run the same command to continue"
_STDERR = 2
_once = threading.Lock()


def stop_on_interrupt() -> None:
    """End this process at once on an interrupt, from now on.

    The stack is not unwound: a terminal interrupts child processes too, and libraries would then wait minutes for a
    server or worker that is gone; and everything a command writes survives a kill at any moment. A thread waits for the
    signal, because the main thread handles it only once it returns from compiled code.
    """
    if threading.current_thread() is not threading.main_thread():
        return  # only the main thread can set signal handlers
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    signal.set_wakeup_fd(theirs.detach(), warn_on_full_buffer=False)
    signal.signal(signal.SIGINT, lambda *_: _stop())
    threading.Thread(target=_wait, args=(ours,), name="interrupts", daemon=True).start()


def unwind_on_interrupt() -> None:
    """Turn Ctrl-C and SIGTERM into KeyboardInterrupt, for a command that shuts down a server of its own."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)


@contextmanager
def deaf_children() -> Iterator[None]:
    """Block interrupts for processes started inside the block, or later by threads begun in it.

    Their parent ends them; otherwise each would print a traceback.
    """
    resource_tracker.ensure_running()  # otherwise started with the first process, which would unblock the signal again
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
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            child.kill()
    # Last, for another thread may have been logging; not by the stream, which may be in the middle of that.
    os.write(_STDERR, f"\neverstay: {_WORDS}\n".encode())
    os._exit(STATUS)
