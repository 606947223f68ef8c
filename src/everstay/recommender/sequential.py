"""The trained sequential network as a ranker, or several of them, averaged."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import polars as pl
import torch
from torch import Tensor

from everstay import tables as t
from everstay.recommender.baselines import popularity
from everstay.recommender.histories import Histories, IntArray
from everstay.recommender.model import Scores
from everstay.recommender.network_config import SequentialConfig
from everstay.recommender.reasons import POPULAR, first_known, linked
from everstay.recommender.sequences import SequenceBatch, Sequences, lay_out
from everstay.recommender.sequential_network import SequentialNetwork
from everstay.recommender.vocabulary import Vocabulary

_LEFT_OUT = 10  # latest items that may be a reason; each costs another forward pass


@dataclass(frozen=True)
class SequentialRanker:
    """M networks of d dimensions, what users without a history get, and shop ids for reasons.

    Attributes:
        config: of the networks.
        networks: trained, from different seeds.
        share: (items,) popularity.
        item_ids: shop ids.
    """

    config: SequentialConfig
    networks: tuple[SequentialNetwork, ...]
    share: Scores
    item_ids: pl.Series

    @classmethod
    def build(cls, vocabulary: Vocabulary, config: SequentialConfig, networks: Sequence[SequentialNetwork]) -> Self:
        """Combine networks with the vocabulary's popularity and item ids."""
        return cls(config, tuple(networks), popularity(vocabulary, 364), vocabulary.items[t.ITEM_ID])

    def scores(self, histories: Histories) -> Scores:
        """Mean cosines divided by the temperature, (n, items); popularity for a user without a history."""
        scores: Scores = self.user_vectors(histories) @ self.item_vectors().T
        return scores

    @torch.inference_mode()
    def user_vectors(self, histories: Histories) -> Scores:
        """(n, M d + 1); the last column, popularity, is for users without a history, who have nothing else."""
        known, batch = self._known(histories)
        users = np.zeros((histories.user_count, len(self.networks) * self.config.dimensions + 1), np.float32)
        users[:, -1] = 1.0
        if len(known):
            scale = self.config.temperature * len(self.networks)
            users[known, :-1] = (self._expected(batch) / scale).float().cpu().numpy()
            users[known, -1] = 0.0
        return users

    @torch.inference_mode()
    def item_vectors(self) -> Scores:
        """(items, M d + 1), popularity last."""
        return np.column_stack([self._items().float().cpu().numpy(), self.share])

    @torch.inference_mode()
    def explain(self, histories: Histories, user: IntArray, item: IntArray) -> list[str]:
        """The user's item without which the score would drop most, possibly the item itself, or popularity.

        The drop is computed by leave-one-out: the networks run without each of the latest items in turn.
        """
        known, batch = self._known(histories)
        row_of = np.full(histories.user_count, -1)
        row_of[known] = np.arange(len(known))
        row, source = row_of[user], np.full(len(item), -1)
        asked = np.flatnonzero(row >= 0)
        if len(asked):
            source[asked] = self._strongest(batch, torch.from_numpy(row[asked]), torch.from_numpy(item[asked])).numpy()
        return first_known(linked(histories, (user, item), source, self.item_ids), otherwise=POPULAR)

    def _known(self, histories: Histories) -> tuple[IntArray, SequenceBatch]:
        """Users with a history, and their latest items as a batch."""
        sequences = Sequences.of(histories).latest(self.config.max_items)
        known = np.flatnonzero(sequences.lengths > 0)
        batch = lay_out(sequences.select(known))
        device = self.networks[0].embedding.weight.device
        return known, SequenceBatch(batch.items.to(device), batch.lengths.to(device))

    def _expected(self, batch: SequenceBatch) -> Tensor:
        """Vectors of the item after each sequence, the networks' side by side, (S, M d)."""
        return torch.cat([network.last(batch) for network in self.networks], dim=1)

    def _items(self, item: Tensor | None = None) -> Tensor:
        """Vectors of some items, or of all, the networks' side by side, (C, M d)."""
        return torch.cat([network.unit_items(item) for network in self.networks], dim=1)

    def _strongest(self, batch: SequenceBatch, row: Tensor, item: Tensor) -> Tensor:
        """The item index, per pair, of the item in its sequence without which the pair's score is smallest."""
        wanted = self._items(item)
        lowest = torch.full(row.shape, torch.inf)
        strongest = batch.items[row, batch.lengths[row] - 1].clone()
        for back in range(1, min(_LEFT_OUT, int(batch.lengths.max())) + 1):
            shorter, has = _without(batch, back)
            pairs = torch.nonzero(has[row])[:, 0]
            rest = self._expected(SequenceBatch(shorter.items[has], shorter.lengths[has]))
            place = has.cumsum(0) - 1
            left = (rest[place[row[pairs]]] * wanted[pairs]).sum(dim=1)
            is_lower = left < lowest[pairs]
            better = pairs[is_lower]
            lowest[better] = left[is_lower]
            strongest[better] = batch.items[row[better], batch.lengths[row[better]] - back]
        return strongest.cpu()


def _without(batch: SequenceBatch, back: int) -> tuple[SequenceBatch, Tensor]:
    """Sequences without the item `back` from the end, and whether a sequence has it and another item."""
    place = torch.arange(batch.items.shape[1], device=batch.items.device)
    gone = (batch.lengths - back)[:, None]
    moved = torch.where(place >= gone, batch.items.roll(-1, dims=1), batch.items)
    return SequenceBatch(moved, batch.lengths - 1), (batch.lengths > 1) & (gone[:, 0] >= 0)
