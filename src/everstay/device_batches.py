"""Training batches shared out among the devices that train together."""

import math
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from torch import distributed


class DeviceBatches:
    """Of every n batches one for each of n devices, so that an epoch is divided among them; all of them for one device.

    The last batches are repeated where they do not suffice: every device takes the same number of steps.

    Args:
        batches: the same ones, in the same order, on each device; their `set_epoch(int)` and `len`, if they have them,
            are passed on.
    """

    def __init__(self, batches: Iterable[Any]) -> None:
        self.batches = batches

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the batches."""
        if hasattr(self.batches, "set_epoch"):
            self.batches.set_epoch(epoch)

    def __len__(self) -> int:
        return math.ceil(len(self.batches) / _devices()[1])  # type: ignore[arg-type]  # a TypeError tells Lightning: unknown

    def __iter__(self) -> Iterator[Any]:
        rank, count = _devices()
        rest = iter(self.batches)
        while together := list(islice(rest, count)):
            yield together[rank % len(together)]


def _devices() -> tuple[int, int]:
    """This process's rank, and how many train together."""
    if not distributed.is_available() or not distributed.is_initialized():
        return 0, 1
    return distributed.get_rank(), distributed.get_world_size()
