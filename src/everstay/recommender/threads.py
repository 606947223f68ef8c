"""Work on many users, divided among as many threads as PyTorch uses, each of which runs single-threaded products."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Lock

import torch

_ONE_AT_A_TIME = Lock()  # PyTorch's thread count is global to the process


def share_out(function: Callable[[slice], None], users: int, at_once: int) -> None:
    """Call `function` in parallel on slices of `at_once` users; within a call, products use one thread."""
    pieces = [slice(first, min(first + at_once, users)) for first in range(0, users, at_once)]
    with _one_thread_each() as threads:
        if threads == 1 or len(pieces) == 1:
            for piece in pieces:
                function(piece)
        else:
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(function, pieces))


@contextmanager
def _one_thread_each() -> Iterator[int]:
    """Yield the number of worker threads, and limit each product to one thread."""
    with _ONE_AT_A_TIME:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield min(threads, os.cpu_count() or 1)
        finally:
            torch.set_num_threads(threads)
