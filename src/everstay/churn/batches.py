"""Batches of rows with histories of similar length, so that hardly any padding is computed."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from everstay.churn.encoding import Tokens


class Batch(NamedTuple):
    """B rows; L tokens in the longest history, padded at the end.

    Attributes:
        features: (B, E) normalised.
        kinds: (B, L) token types; 0 in padding.
        numbers: (B, L, K); 0 in padding.
        lengths: (B,) tokens of each row.
        returns: (B, OUTLOOKS) from `returns`; 0 where it is not known.
        rows: (B,) which rows of the encoded frame these are.
    """

    features: Tensor
    kinds: Tensor
    numbers: Tensor
    lengths: Tensor
    returns: Tensor
    rows: Tensor


@dataclass
class LengthBatches:
    """An iterable of `Batch` over all rows, each row once.

    Attributes:
        features: (N, E) float32.
        tokens: of the same N rows.
        returns: (N, OUTLOOKS) float32.
        batch_rows: B.
        seed: of the order; None: by length only, always the same (for validation and scoring).
        epoch: further seed, set before each epoch by `everstay.training`.
    """

    features: NDArray[np.float32]
    tokens: Tokens
    returns: NDArray[np.float32]
    batch_rows: int
    seed: int | None = None
    epoch: int = 0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch; each one has another order."""
        self.epoch = epoch

    def __len__(self) -> int:
        return math.ceil(len(self.features) / self.batch_rows)

    def __iter__(self) -> Iterator[Batch]:
        for rows in self._row_groups():
            yield make_batch(self.features, self.tokens, self.returns, rows)

    def _row_groups(self) -> list[NDArray[np.int64]]:
        """Rows of each batch: sorted by length, ties in random order, batches in random order."""
        lengths = np.diff(self.tokens.starts)
        if self.seed is None:
            order = np.argsort(lengths, kind="stable")
            return [order[start : start + self.batch_rows] for start in range(0, len(order), self.batch_rows)]
        generator = np.random.default_rng((self.seed, self.epoch))
        order = np.lexsort((generator.random(len(lengths)), lengths))
        groups = [order[start : start + self.batch_rows] for start in range(0, len(order), self.batch_rows)]
        return [groups[index] for index in generator.permutation(len(groups))]


def make_batch(
    features: NDArray[np.float32], tokens: Tokens, returns: NDArray[np.float32], rows: NDArray[np.int64]
) -> Batch:
    """Gather `rows` into padded tensors."""
    starts, lengths = tokens.starts[rows], np.diff(tokens.starts)[rows]
    place = np.arange(max(1, lengths.max(initial=0)))
    is_token = place < lengths[:, None]
    kinds = np.zeros(is_token.shape, np.int64)
    numbers = np.zeros((*is_token.shape, tokens.numbers.shape[1]), np.float32)
    source = (starts[:, None] + place)[is_token]
    kinds[is_token] = tokens.kinds[source]
    numbers[is_token] = tokens.numbers[source]
    parts = (features[rows], kinds, numbers, lengths, returns[rows], rows)
    return Batch(*(torch.from_numpy(part) for part in parts))
