"""The store twin's random numbers: one independent stream per purpose and block of users.

A block is always simulated in full, also when the shop has fewer users, so that nothing a user does depends on how
many others there are.
"""

from enum import IntEnum

import numpy as np
import numpy.typing as npt

from everstay.settings import StoreTwinSource

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

BLOCK_USERS = 250
"""Users that are simulated together; one chunk of the source."""


class Stream(IntEnum):
    """What the numbers are drawn for. Separate streams, so that changing one leaves the others as they are."""

    CATALOGUE = 0
    USERS = 1
    VISITS = 2
    LINES = 3
    LOOKS = 4
    BROWSING = 5
    CHECKOUT = 6
    RETURNS = 7
    RATINGS = 8
    MESSAGES = 9
    RECORDING = 10
    FAULTS = 11


def generator(settings: StoreTwinSource, stream: Stream, block: int = 0) -> np.random.Generator:
    """The generator of one stream and block, the same in every process.

    >>> settings = StoreTwinSource()
    >>> generator(settings, Stream.USERS, 3).random() == generator(settings, Stream.USERS, 3).random()
    True
    """
    return np.random.default_rng(np.random.SeedSequence(settings.seed, spawn_key=(int(stream), block)))


def block_count(settings: StoreTwinSource) -> int:
    """Blocks that hold at least one of the shop's users."""
    return -(-settings.users // BLOCK_USERS)
