"""The churn network: a recurrent layer or transformer over a user's day tokens, plus the user's activity features.

Shapes: B rows, L tokens, K numbers per token, E features, W token width, H state width.
"""

import torch
from torch import Tensor, nn

from everstay.churn.batches import Batch
from everstay.churn.config import NetworkConfig
from everstay.churn.returns import OUTLOOKS, SHARES
from everstay.churn.transformer import CausalTransformer


class ChurnNetwork(nn.Module):
    """Log-odds of churning, and of shorter silences, from day tokens and features.

    A linear path from the features to the output carries what a logistic regression knows; the rest is learned on top.
    """

    def __init__(self, config: NetworkConfig, features: int, types: int, token_numbers: int) -> None:
        super().__init__()
        self.kinds = nn.Embedding(types, config.token_width)
        self.numbers = nn.Linear(token_numbers, config.token_width)
        self.state = (
            CausalTransformer(config)
            if config.reader == "transformer"
            else nn.GRU(config.token_width, config.state_width, batch_first=True)
        )
        self.is_hazard = config.is_hazard
        self.features = nn.Sequential(
            nn.Dropout(config.dropout / 2),
            nn.Linear(features, config.feature_width),
            nn.GELU(),
            nn.Dropout(config.dropout),
        )
        self.joint = nn.Sequential(
            nn.LayerNorm(config.feature_width + 2 * config.state_width),
            nn.Dropout(config.dropout),
            nn.Linear(config.feature_width + 2 * config.state_width, config.feature_width),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.feature_width, OUTLOOKS),
        )
        self.linear = nn.Linear(features, OUTLOOKS)
        self.usual_history: Tensor
        """(2H,) mean of `read` over the training rows, the baseline of reasons; a buffer, not trained."""
        self.register_buffer("usual_history", torch.zeros(2 * config.state_width))

    def forward(self, batch: Batch) -> Tensor:
        """A batch -> log-odds of churning (B,)."""
        return self.outlook(batch)[:, 0]

    def outlook(self, batch: Batch) -> Tensor:
        """A batch -> (B, OUTLOOKS), the first of which are the log-odds of churning; see `returns`."""
        return self.head(batch.features, self.read(batch.kinds, batch.numbers, batch.lengths))

    def head(self, features: Tensor, history: Tensor) -> Tensor:
        """Features (B, E) and history encodings (B, 2H) -> (B, OUTLOOKS)."""
        joint = self.joint(torch.cat([self.features(features), history], dim=1)) + self.linear(features)
        return hazard_outlook(joint) if self.is_hazard else joint

    def read(self, kinds: Tensor, numbers: Tensor, lengths: Tensor) -> Tensor:
        """Tokens (B, L), (B, L, K), (B,) -> (B, 2H): the state after the last token, and the mean of all states.

        Right-padding cannot reach the states that are used; no tokens give zeros.
        """
        states = self.states(kinds, numbers)
        is_token = (torch.arange(kinds.shape[1], device=kinds.device) < lengths[:, None]).to(states.dtype)
        states = states * is_token[:, :, None]
        last = states[torch.arange(len(lengths), device=kinds.device), (lengths - 1).clamp(min=0)]
        return torch.cat([last, states.sum(dim=1) / lengths.clamp(min=1)[:, None]], dim=1)

    def states(self, kinds: Tensor, numbers: Tensor) -> Tensor:
        """Tokens (B, L), (B, L, K) -> (B, L, H): the causal state after each token."""
        tokens = nn.functional.gelu(self.kinds(kinds) + self.numbers(numbers))
        states = self.state(tokens)
        return states[0] if isinstance(states, tuple) else states


def hazard_outlook(raw: Tensor) -> Tensor:
    """Raw hazards -> an outlook whose silences never grow with time.

    Args:
        raw: (B, OUTLOOKS): log-odds of coming back in each quarter of the window, given not before, in the order of
            time; then the log of the days with an order.

    Returns:
        (B, OUTLOOKS) as in `returns`: the silence of a part is the product of its quarters' chances of no return.

    >>> hazard_outlook(torch.zeros(1, 5)).round(decimals=3).tolist()[0]  # 1/2 in every quarter: 1/16, 1/2, 1/4, 1/8
    [-2.70..., 0.0, -1.09..., -1.94..., 0.0]
    """
    quarters = len(SHARES)
    log_silence = nn.functional.logsigmoid(-raw[:, :quarters]).cumsum(dim=1).clamp(max=-1e-6)
    log_odds = log_silence - torch.log(-torch.expm1(log_silence))
    places = [round(share * quarters) - 1 for share in SHARES]
    return torch.cat([log_odds[:, places], raw[:, quarters:]], dim=1)
