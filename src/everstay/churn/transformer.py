"""A causal transformer over day tokens: the state at a position depends only on it and on earlier positions.

Shapes: B rows, L tokens, W token width, H state width.
"""

import torch
from torch import Tensor, nn

from everstay.churn.config import NetworkConfig


class CausalTransformer(nn.Module):
    """Token vectors -> states. Order and distance are in the tokens' numbers: days ago, days since the last one."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.enter = nn.Linear(config.token_width, config.state_width)
        self.layers = nn.ModuleList(_Layer(config.state_width, config.heads) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.state_width)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, L, W) -> (B, L, H)."""
        states = self.enter(tokens)
        for layer in self.layers:
            states = layer(states)
        return self.norm(states)


class _Layer(nn.Module):
    """Pre-norm block: causal self-attention, then a position-wise feed-forward network, each with a residual."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.within = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mix, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.step = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, states: Tensor) -> Tensor:
        rows, places, width = states.shape
        parts = self.mix(self.before(states)).view(rows, places, 3, self.heads, width // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        seen = nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        states = states + self.out(seen.transpose(1, 2).reshape(rows, places, width))
        return torch.add(states, self.step(self.within(states)))
