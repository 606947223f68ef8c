"""Gated recurrent units as a causal block: position t of a sequence is computed from positions 0..t only.

Shapes: B = sequences, T = length of the longest, D = dimensions; padded positions are computed but never read.
"""

from torch import Tensor, nn


class RecurrentBlock(nn.Module):
    """One layer of GRU4Rec (Hidasi et al., ICLR 2016), as wide as the embeddings so that scores stay cosines with them.

    It is trained with the loss of attention, a softmax over sampled items, which is far better for GRU4Rec too than its
    own of 2016 (Hidasi and Karatzoglou, CIKM 2018; Klenitskiy and Vasilev, RecSys 2023).
    """

    def __init__(self, dimensions: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dimensions)
        self.units = nn.GRU(dimensions, dimensions, batch_first=True)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, D)."""
        state, _ = self.units(self.norm(x))
        added: Tensor = x + self.dropout(state)
        return added
