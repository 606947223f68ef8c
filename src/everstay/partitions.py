"""Apply a function to every part of some work, in this process or on a Dask cluster. The only module that imports Dask.

Parts are user buckets, files to read, or candidates to train.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar, cast

import dask
import polars as pl
import psutil
from dask.system import CPU_COUNT
from distributed import Client, LocalCluster, get_worker
from distributed.diagnostics.plugin import ForwardLoggingPlugin
from distributed.scheduler import KilledWorker
from distributed.system import MEMORY_LIMIT

from everstay.errors import EverstayError, NotReady, SettingsError
from everstay.interrupts import deaf_children
from everstay.settings import Dask
from everstay.storage import Folder

Work = TypeVar("Work")
Result = TypeVar("Result")

log = logging.getLogger(__name__)

IN_PROCESS = ""
"""The scheduler address that means: no scheduler, compute here."""

_LOGGER = "everstay"
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")  # PyTorch uses the least of the first two
_WORKER = {
    "POLARS_MAX_THREADS": "1",
    "MALLOC_TRIM_THRESHOLD_": str(1 << 28),  # Dask's 64 KiB frees every array's pages, to be faulted in again
    "MALLOC_MMAP_THRESHOLD_": str(1 << 28),
    "DASK_LOGGING__DISTRIBUTED": "error",  # otherwise each start and end would be logged
}


@contextmanager
def open_cluster(settings: Dask) -> Iterator[str]:
    """Yield the address of a Dask scheduler for the duration of the block.

    It is the one named in the settings, or a local one with `settings.workers` processes of one thread each that
    listens on 127.0.0.1 only; with no workers it is `IN_PROCESS`.
    """
    if settings.scheduler:
        yield settings.scheduler
    elif settings.workers == 0:
        yield IN_PROCESS
    else:
        threads = dict.fromkeys(_THREADS, str(max(1, CPU_COUNT // settings.workers)))
        environment = {
            f"distributed.nanny.pre-spawn-environ.{name}": text for name, text in (_WORKER | threads).items()
        }
        with dask.config.set(environment), _local_cluster(settings.workers) as cluster:
            yield cluster.scheduler_address


def _local_cluster(workers: int) -> LocalCluster:
    with deaf_children():
        return LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            memory_limit=MEMORY_LIMIT,  # a part that needs more than its share of it is not killed for that
            silence_logs=logging.ERROR,
        )


def map_parts(
    function: Callable[[Work], Result], parts: Sequence[Work], scheduler: str, *, connect_seconds: float = 20
) -> list[Result]:
    """Apply a pure, picklable `function` to every part and return the results in the order of `parts`.

    A part whose worker died is retried at most three times, Dask's default. What a part tells everstay's loggers, from
    INFO on, is logged here, in the context of the caller, and no longer by the worker.

    Args:
        function: must give the same result when it is run twice.
        parts: user buckets, files to read, or candidates to train.
        scheduler: address from `open_cluster`.
        connect_seconds: how long to wait for the scheduler.

    Raises:
        NotReady: no scheduler answers at that address.
        SettingsError: the address is invalid.
        EverstayError: a part killed every worker that tried it, or `stop_parts` stopped it.
        Exception: whatever `function` raised, unchanged.
    """
    if scheduler == IN_PROCESS:
        return [function(part) for part in parts]
    try:
        client = _Client(scheduler, timeout=connect_seconds, set_as_default=False)
    except (ValueError, TypeError) as error:  # invalid, or a protocol that this environment lacks
        raise SettingsError(
            f"dask.scheduler in the settings is '{scheduler}': {error}; write tcp://host:8786"
        ) from None
    except OSError:
        raise NotReady(
            f"no Dask scheduler answers at {scheduler}: start it, or clear dask.scheduler in the settings"
        ) from None
    try:
        with client:
            if not client.nthreads():  # not an error: some clusters start their workers when there is work
                log.warning("the Dask scheduler at %s has no worker yet: waiting until one joins", scheduler)
            client.subscribe_topic(topic := f"everstay-{client.id}", _log_here)
            outcomes = client.gather(client.map(partial(_told, function=function, topic=topic), parts, pure=False))
    except CancelledError:
        raise EverstayError("the workers were stopped before they had done their part") from None
    except KilledWorker as error:
        raise EverstayError(
            f"{error.allowed_failures + 1} workers died on the same part of the work, most likely out of memory: "
            "set fewer dask.workers, or give each more memory, and re-run"
        ) from None
    for outcome in outcomes:
        if isinstance(outcome, EverstayError):
            raise outcome
    return cast(list[Result], outcomes)


def stop_parts(scheduler: str) -> None:
    """Stop what the workers of `open_cluster` are doing and start them anew; who waits for a result gets an error."""
    with _Client(scheduler, set_as_default=False) as client:
        client.restart(wait_for_workers=False)


def free_memory() -> int:
    """Bytes that this process and those it started may still take, within a container's limit too."""
    here, used = psutil.Process(), 0
    for process in (here, *here.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            used += process.memory_info().rss
    return min(psutil.virtual_memory().available, MEMORY_LIMIT - used)


class _Client(Client):
    """Dask's client, closed at once when it cannot start.

    Otherwise the garbage collector closes it at some arbitrary moment, possibly while the next client holds the lock
    that closing needs: a deadlock.
    """

    def start(self, **kwargs: object) -> None:
        try:
            super().start(**kwargs)
        except Exception:
            self.close()
            raise


def _told(part: Work, *, function: Callable[[Work], Result], topic: str) -> Result | EverstayError:
    """Return a user's mistake as a value: Dask would log it as a failure of the worker, with a traceback."""
    try:
        with _log_to(topic):
            return function(part)
    except EverstayError as error:
        return error


@contextmanager
def _log_to(topic: str) -> Iterator[None]:
    """Send what this thread logs within the block to the client that subscribes to the topic."""
    forwarding, thread = ForwardLoggingPlugin(_LOGGER, logging.INFO, topic), threading.get_ident()
    forwarding.setup(worker := get_worker())
    ours = cast(logging.Handler, forwarding.handler)
    ours.addFilter(lambda record: record.thread == thread)
    logger = logging.getLogger(_LOGGER)
    logger.setLevel(logging.INFO)
    logger.propagate = False  # Prefect, where a worker has imported it, would write the line too
    for other in logger.handlers[:]:
        if not isinstance(other, type(ours)):  # which another thread's part may have
            logger.removeHandler(other)
    try:
        yield
    finally:
        forwarding.teardown(worker)


def _log_here(event: tuple[float, dict[str, Any]]) -> None:
    record = logging.makeLogRecord(event[1])
    logger = logging.getLogger(record.name)
    if logger.isEnabledFor(record.levelno):
        logger.handle(record)


@dataclass(frozen=True)
class Parts:
    """A table computed part by part, one Arrow file each; not yet published. Small and picklable.

    Attributes:
        folder: where the files lie; every worker can reach it.
        numbers: the parts that exist, in order.
    """

    folder: Folder
    numbers: tuple[int, ...]

    def read(self, number: int, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """One part; all columns when None."""
        return self.folder.read_frame(_part_file(number), columns)

    def read_all(self) -> pl.DataFrame:
        """All parts, in order."""
        return pl.concat([self.read(number) for number in self.numbers])

    def remove(self) -> None:
        """Delete the files."""
        self.folder.clear()


def compute_parts(
    function: Callable[[int], pl.DataFrame], buckets: Sequence[int], folder: Folder, scheduler: str
) -> Parts:
    """Apply `function` to every bucket in the workers, which write the results themselves.

    Args:
        function: one bucket's number to its rows; pure and picklable.
        buckets: user buckets.
        folder: gets the files; what it held before is removed.
        scheduler: address from `open_cluster`.
    """
    folder.clear()
    map_parts(partial(_compute_part, function=function, folder=folder), buckets, scheduler)
    return Parts(folder, tuple(buckets))


def _compute_part(bucket: int, *, function: Callable[[int], pl.DataFrame], folder: Folder) -> None:
    folder.write_frame(_part_file(bucket), function(bucket))


def _part_file(number: int) -> str:
    return f"part-{number:05d}.arrow"
