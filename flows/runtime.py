"""What a flow runs on: the lake, its lock, the Dask scheduler, and errors without tracebacks."""

import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from prefect.artifacts import create_markdown_artifact

from everstay import tables as t
from everstay.errors import EverstayError, SettingsError
from everstay.lake import Lake
from everstay.partitions import IN_PROCESS, open_cluster
from everstay.settings import Settings, load_settings
from everstay.storage import Folder
from everstay.validation import ValidationReport, to_markdown, write_report

log = logging.getLogger("everstay.flows")

_MISREAD = frozenset("#?[]|%")  # Delta tables are found by URI
_QUIET_LOGGERS = ("distributed", "dask", "great_expectations")  # they log every step; errors are still logged
_ENGINE_LOGGERS = ("prefect.flow_runs", "prefect.task_runs")


def open_lake(settings: Settings) -> Lake:
    """The lake that the settings name.

    Raises:
        SettingsError: its folder, or that of the reports, cannot be written.
    """
    if strange := sorted(_MISREAD.intersection(settings.data.folder)):
        folder = f"data.folder '{settings.data.folder}' in the settings"
        raise SettingsError(f"{folder} contains {strange[0]}, which is special in a table's address: rename it")
    _check_place("data.folder", settings.data.folder)
    _check_place("report_folder", settings.report_folder)
    return Lake(settings.data.folder, settings.data.buckets, settings.source.shop)


@cache
def _check_place(key: str, uri: str) -> None:
    """Write and remove an empty file, once per process: otherwise a run would fail midway."""
    probe = Folder(uri) / f"_probe-{os.getpid()}"
    try:
        with probe.writing("empty"):
            pass
        probe.clear()
    except (OSError, ValueError) as error:  # Arrow's errors are one of them
        said = str(error).partition("\n")[0]
        raise SettingsError(f"{key} '{uri}' in the settings cannot be written: {said}") from None


def newest_recorded_at(lake: Lake) -> datetime | None:
    """When the newest event that is stored was recorded, never rounded up; None in a lake without events."""
    if lake.open(t.EVENTS) is None or not (snapshot := lake.snapshot()).event_count:
        return None
    return snapshot.newest_recorded_at


def work_folder(settings: Settings, *names: str) -> Path:
    """A local folder for intermediate results of a run; everything in it can be recomputed."""
    lake = Folder(settings.data.folder)
    return Path(lake.uri if lake.is_local else ".work", "_work", *names)


def parts_folder(settings: Settings, name: str) -> Folder:
    """A folder beside the lake's tables, where every worker can write and read the parts of a table."""
    return Folder(settings.data.folder) / "_work" / name


@contextmanager
def dask_scheduler(settings: Settings, scheduler: str | None) -> Iterator[str]:
    """The scheduler of the calling flow, or one for this flow alone.

    Args:
        settings: says which, or how many local workers.
        scheduler: address that the calling flow opened; None when this flow was started by itself.
    """
    set_logs()
    if scheduler is not None:
        yield scheduler
    else:
        with open_cluster(settings.dask) as address:
            yield address


def training_scheduler(settings: Settings, scheduler: str) -> str:
    """Where candidates are trained: side by side in this machine's workers, or one after another in this process.

    In this process where the workers may be other machines, which see neither the rows nor this machine's devices, and
    where one candidate occupies the devices: a GPU, or several of anything.
    """
    import torch  # not before everstay, which says how its threads wait

    training = settings.training
    is_plain = training.devices == 1 and (training.accelerator == "cpu" or not torch.accelerator.is_available())
    return scheduler if is_plain and not settings.dask.scheduler else IN_PROCESS


@contextmanager
def working_alone(settings: Settings) -> Iterator[None]:
    """Wait until no other run on this machine works with the lake, and lock it; a killed run's lock is released.

    Raises:
        SettingsError: the lake's folder cannot be written.
    """
    open_lake(settings)  # checks it
    file = work_folder(settings) / "lock"
    file.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(file, thread_local=False, is_singleton=True)  # a flow within a flow has it already
    try:
        lock.acquire(blocking=False)
    except Timeout:
        log.warning("another run is using %s: waiting until it ends", settings.data.folder)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def show_validation(reports: Sequence[ValidationReport], settings: Settings, name: str) -> Path | None:
    """Write the validation page, show it as a Prefect artifact, and stop when a `critical` expectation fails.

    Returns:
        The page; None when nothing was validated.

    Raises:
        DataRejected: names each failed expectation and the page.
    """
    if not reports:
        return None
    page = write_report(reports, Path(settings.report_folder, name))
    create_markdown_artifact(to_markdown(reports), key=f"validation-{name}", description="Validation with examples")
    for report in reports:
        report.raise_for_failures(page)
    return page


def run(flow: Callable[..., Any], **parameters: Any) -> Any:
    """Run a flow from the command line: a mistake ends in its message and exit status 1, not in a traceback."""
    set_logs()
    try:
        load_settings()  # a mistake in them is told before a Prefect server starts for the flow
        return flow(**parameters)
    except EverstayError as error:
        print(f"\neverstay: {error}", file=sys.stderr)
        sys.exit(1)


def set_logs() -> None:
    """Log what a person needs, in a terminal and in a scheduled run alike: epochs, but not each step of a library.

    Where an `EverstayError` ended a task or flow, Prefect logs only its message.
    """
    logging.getLogger("everstay").setLevel(logging.INFO)  # epochs; Prefect shows them by logging.extra_loggers
    for name in _QUIET_LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    for name in _ENGINE_LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(known, _MistakeFilter) for known in logger.filters):
            logger.addFilter(_MistakeFilter())


class _MistakeFilter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        """Drop the traceback, keep the record."""
        if record.exc_info and isinstance(record.exc_info[1], EverstayError):
            record.exc_info = None
        return True
