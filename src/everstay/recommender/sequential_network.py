"""Which item comes next, from the items before: SASRec (Kang and McAuley, 2018) or GRU4Rec, with cosine scores.

Shapes: S = sequences, T = positions, M = positions that predict, D = dimensions, V = items.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  # the name every PyTorch reader expects

from everstay.recommender.attention import CausalBlock
from everstay.recommender.network_config import SequentialConfig
from everstay.recommender.recurrence import RecurrentBlock
from everstay.recommender.sequences import SequenceBatch


class SequentialNetwork(nn.Module):
    """Item embeddings, plus for attention an embedding of the distance to the sequence's end, then causal blocks.

    Args:
        config: sizes.
        items: size of the vocabulary.
    """

    def __init__(self, config: SequentialConfig, items: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(items, config.dimensions)
        self.distance = nn.Embedding(config.max_items, config.dimensions) if config.encoder == "attention" else None
        self.input_dropout = nn.Dropout(config.input_dropout)
        self.blocks = nn.ModuleList(_block(config) for _ in range(config.blocks))
        self.norm = nn.LayerNorm(config.dimensions)
        self.apply(_start_small)

    def forward(self, batch: SequenceBatch) -> Tensor:
        """Predict the item after each position: unit vectors (M, D), sequence by sequence."""
        items, lengths = batch
        place, hidden = torch.arange(items.shape[1], device=items.device), self.embedding(items)
        if self.distance is not None:
            distance = (lengths[:, None] - 1 - place).clamp(0, self.distance.num_embeddings - 1)
            hidden = hidden + self.distance(distance)
        hidden = self.input_dropout(hidden)
        for block in self.blocks:
            hidden = block(hidden)
        return F.normalize(self.norm(hidden[place < lengths[:, None]]), dim=-1)

    def last(self, batch: SequenceBatch) -> Tensor:
        """Predict the item after each sequence: unit vectors (S, D). Sequences of similar length are batched."""
        expected = self.embedding.weight.new_empty(len(batch.lengths), self.norm.normalized_shape[0])
        for part in batch.lengths.argsort().split(_SEQUENCES_AT_ONCE):
            lengths = batch.lengths[part]
            every_place = self(SequenceBatch(batch.items[part, : int(lengths.max())], lengths))
            expected[part] = every_place[lengths.cumsum(0) - 1]
        return expected

    def unit_items(self, item: Tensor | None = None) -> Tensor:
        """Unit vectors of some items (C, D), or of all (V, D)."""
        return F.normalize(self.embedding.weight if item is None else self.embedding(item), dim=-1)


def _block(config: SequentialConfig) -> nn.Module:
    if config.encoder == "gru":
        return RecurrentBlock(config.dimensions, config.dropout)
    return CausalBlock(config.dimensions, config.heads, config.dropout)


def _start_small(part: nn.Module) -> None:
    """Initialise blocks near zero, so that the last item's embedding dominates at first.

    With PyTorch's larger default weights the blocks drown the embeddings, and learning takes longer.
    """
    if isinstance(part, nn.Linear | nn.Embedding):
        nn.init.normal_(part.weight, std=_INITIAL_SCALE)
    if isinstance(part, nn.Linear):
        nn.init.zeros_(part.bias)


_INITIAL_SCALE = 0.02
_SEQUENCES_AT_ONCE = 256
