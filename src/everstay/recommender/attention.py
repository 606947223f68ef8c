"""Causal self-attention: position t of a sequence is computed from positions 0..t only.

Shapes: B = sequences, T = length of the longest, D = dimensions. Sequences start at position 0 and are right-padded,
so that the causal mask alone keeps padding from influencing real positions.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  # the name every PyTorch reader expects


class CausalBlock(nn.Module):
    """One pre-norm transformer block (Vaswani et al., 2017; SASRec: Kang and McAuley, 2018)."""

    def __init__(self, dimensions: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.attention_norm = nn.LayerNorm(dimensions)
        self.query_key_value = nn.Linear(dimensions, 3 * dimensions)
        self.output = nn.Linear(dimensions, dimensions)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(dimensions),
            nn.Linear(dimensions, 2 * dimensions),
            nn.GELU(),
            nn.Linear(2 * dimensions, dimensions),
            nn.Dropout(dropout),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, D)."""
        x = x + F.dropout(self._attend(self.attention_norm(x)), self.dropout, self.training)
        return x + self.feed_forward(x)

    def _attend(self, x: Tensor) -> Tensor:
        sequences, places, width = x.shape
        split = self.query_key_value(x).view(sequences, places, 3, self.heads, width // self.heads)
        query, key, value = split.permute(2, 0, 3, 1, 4)
        dropout = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(query, key, value, dropout_p=dropout, is_causal=True)
        return self.output(mixed.transpose(1, 2).reshape(sequences, places, width))


def pad_sequences(elements: Tensor, lengths: Tensor) -> Tensor:
    """Arrange elements (sum of lengths, D) as sequences (B, T, D), right-padded with zeros."""
    places = torch.arange(int(lengths.max()), device=lengths.device)
    is_inside = places < lengths[:, None]
    padded = elements.new_zeros(*is_inside.shape, elements.shape[1])
    padded[is_inside] = elements
    return padded
