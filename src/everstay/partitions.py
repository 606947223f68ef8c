"""Apply a function to every user bucket, in this process or on a Dask cluster. The only module that imports Dask."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import dask
from distributed import Client, LocalCluster, progress

from everstay.errors import NotReady
from everstay.settings import Dask

Work = TypeVar("Work")
Result = TypeVar("Result")

IN_PROCESS = ""
"""The scheduler address that means: no scheduler, compute here."""

_RETRIES = 2  # a worker that died (out of memory, machine gone) is no reason to lose the run


@contextmanager
def open_cluster(settings: Dask) -> Iterator[str]:
    """Give the address of a Dask scheduler for the time of the block.

    It is the one named in the settings, or a local one with `settings.workers` processes of one thread each that
    listens on 127.0.0.1 only; with no workers it is `IN_PROCESS`.
    """
    if settings.scheduler:
        yield settings.scheduler
    elif settings.workers == 0:
        yield IN_PROCESS
    else:
        with (
            dask.config.set({"distributed.nanny.pre-spawn-environ.POLARS_MAX_THREADS": "1"}),
            LocalCluster(
                n_workers=settings.workers,
                threads_per_worker=1,
                host="127.0.0.1",
                dashboard_address=None,
                memory_limit="auto",
            ) as cluster,
        ):
            yield cluster.scheduler_address


def map_parts(
    function: Callable[[Work], Result], parts: Sequence[Work], scheduler: str, *, show_progress: bool = False
) -> list[Result]:
    """Apply a pure, picklable `function` to every part and return the results in the order of `parts`.

    Args:
        function: must give the same result when it is run twice, for a lost worker's parts are computed again.
        parts: user buckets, or files to read.
        scheduler: address from `open_cluster`.
        show_progress: draw a bar in the terminal.

    Raises:
        NotReady: no scheduler answers at that address.
        Exception: whatever `function` raised, unchanged.
    """
    if scheduler == IN_PROCESS:
        return [function(part) for part in parts]
    try:
        client = Client(scheduler, timeout="20s", set_as_default=False)
    except OSError:
        raise NotReady(
            f"no Dask scheduler answers at {scheduler}: start it, or empty dask.scheduler in everstay.toml"
        ) from None
    with client:
        futures = client.map(function, parts, pure=False, retries=_RETRIES)
        if show_progress:
            progress(futures, notebook=False)
        results: list[Result] = client.gather(futures)
        return results
