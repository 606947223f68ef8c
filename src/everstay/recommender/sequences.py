"""Purchase histories as plain sequences of items, and batches of them with little padding.

Shapes: S = sequences, T = length of the longest in a batch, M = transitions (an item and the one that follows it).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from everstay.recommender.histories import Histories, IntArray, spread
from everstay.recommender.network_config import SequentialConfig

_SORTED_TOGETHER = 24  # batches; enough for batches of similar lengths, few enough that their composition changes


@dataclass(frozen=True)
class Sequences:
    """Items in the order in which they were bought.

    Attributes:
        item: (elements,) item index.
        start: (S + 1,) first element of each sequence.
    """

    item: IntArray
    start: IntArray

    @classmethod
    def of(cls, histories: Histories) -> Self:
        """One sequence per user; the items of an order are sorted by index."""
        return cls(histories.line_item, histories.order_start[histories.user_start])

    @property
    def lengths(self) -> IntArray:
        """(S,) items in each."""
        return np.diff(self.start)

    def density(self, items: int) -> float:
        """Transitions per item, of so many items.

        >>> Sequences(np.array([1, 2, 1, 0]), np.array([0, 3, 4])).density(4)
        0.5
        """
        return float(np.maximum(self.lengths - 1, 0).sum() / items)

    def latest(self, most: int) -> Self:
        """The last `most` items of each."""
        counts = np.minimum(self.lengths, most)
        return self._ranges(self.start[1:] - counts, counts)

    def windows(self, most: int) -> Self:
        """Cut into windows of at most `most` transitions, from the end backwards; each transition is in one of them.

        >>> cut = Sequences(np.arange(6), np.array([0, 1, 6])).windows(3)
        >>> [cut.item[a:b].tolist() for a, b in zip(cut.start[:-1], cut.start[1:])]
        [[1, 2], [2, 3, 4, 5]]
        """
        transitions = np.maximum(self.lengths - 1, 0)
        sequence, back = spread(np.zeros_like(transitions), -(-transitions // most))
        end = self.start[1:][sequence] - back * most
        begin = np.maximum(end - most - 1, self.start[:-1][sequence])
        order = np.lexsort((begin, sequence))
        return self._ranges(begin[order], (end - begin)[order])

    def select(self, sequence: IntArray) -> Self:
        """A subset of them, in this order."""
        return self._ranges(self.start[sequence], self.lengths[sequence])

    def _ranges(self, start: IntArray, counts: IntArray) -> Self:
        _, element = spread(start, counts)
        return type(self)(self.item[element], np.concatenate([[0], np.cumsum(counts)]).astype(np.int64))


class SequenceBatch(NamedTuple):
    """Right-padded sequences; the padding is item 0 and never read.

    Attributes:
        items: (S, T) item index.
        lengths: (S,) at least 1.
    """

    items: Tensor
    lengths: Tensor


class Transitions(NamedTuple):
    """A training batch: every position of every sequence predicts the next item.

    Attributes:
        batch: what is seen.
        target: (M,) the item that follows each position, sequence by sequence.
        candidates: (C,) items of the softmax, ascending, every target among them; None: all.
    """

    batch: SequenceBatch
    target: Tensor
    candidates: Tensor | None


def lay_out(sequences: Sequences) -> SequenceBatch:
    """Right-pad sequences of similar length."""
    lengths = sequences.lengths
    items = np.zeros((len(lengths), lengths.max(initial=1)), np.int64)
    items[np.arange(items.shape[1]) < lengths[:, None]] = sequences.item
    return SequenceBatch(torch.from_numpy(items), torch.from_numpy(lengths))


def transitions(sequences: Sequences, drawn: IntArray | None) -> Transitions:
    """Split sequences of two or more items into inputs and targets.

    Args:
        sequences: of the batch.
        drawn: distinct sampled items; the candidates are the targets and the first of these that are not targets, in
            all as many as were sampled; None: all items are candidates.
    """
    elements = np.arange(len(sequences.item))
    is_first, is_last = np.zeros((2, len(elements)), bool)
    is_first[sequences.start[:-1]] = True
    is_last[sequences.start[1:] - 1] = True
    start = sequences.start - np.arange(len(sequences.start))
    target = sequences.item[~is_first]
    candidates = None if drawn is None else _fill_up(np.unique(target), drawn)
    return Transitions(
        lay_out(Sequences(sequences.item[~is_last], start)),
        torch.from_numpy(target),
        None if candidates is None else torch.from_numpy(candidates),
    )


def _fill_up(targets: IntArray, drawn: IntArray) -> IntArray:
    """The targets and others, ascending: always as many as were sampled, so that every batch has the same shape."""
    others = drawn[~np.isin(drawn, targets)]
    return np.sort(np.concatenate([targets, others[: len(drawn) - len(targets)]]))


class SequenceBatches:
    """Training batches of nearly `config.batch_items` transitions, of sequences of similar length.

    Args:
        sequences: of all users; cut into windows of `config.max_items` transitions.
        items: size of the vocabulary.
        config: sizes of batches.
        seed: of the sampling, together with the epoch from `set_epoch`.
    """

    def __init__(self, sequences: Sequences, items: int, config: SequentialConfig, seed: int) -> None:
        self.windows = sequences.windows(config.max_items)
        self.items = items
        self.config = config
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch; each one groups and samples differently."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[Transitions]:
        generator = np.random.default_rng((self.seed, self.epoch))
        groups = self._groups(generator)
        for group in generator.permutation(len(groups)):
            yield transitions(self.windows.select(groups[group]), self._draw(generator))

    def _groups(self, generator: np.random.Generator) -> list[IntArray]:
        """Split shuffled windows into batches: `_SORTED_TOGETHER` batches' worth at a time is sorted by length.

        A batch ends with the window that reaches the size minus one window, so that none exceeds the size.
        """
        size = self.config.batch_items - self.config.max_items
        lengths = self.windows.lengths - 1
        shuffled = generator.permutation(len(lengths))
        chunk = np.cumsum(lengths[shuffled]) // (size * _SORTED_TOGETHER)
        ordered = shuffled[np.lexsort((lengths[shuffled], chunk))]
        group = (np.cumsum(lengths[ordered]) - 1) // size
        return np.split(ordered, np.flatnonzero(np.diff(group)) + 1)

    def _draw(self, generator: np.random.Generator) -> IntArray | None:
        if self.items <= self.config.candidates:
            return None
        return generator.choice(self.items, self.config.candidates, replace=False)
