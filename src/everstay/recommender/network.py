"""The network: what fits the user's recent orders, mixed with what the user is due to buy again.

The repeat-explore mixture follows RepeatNet (Ren et al., AAAI 2019): P(item) = g R(item) + (1 - g) E(item). E is a
softmax over all items of causal self-attention over orders (SASRec: Kang and McAuley, 2018) plus how popular items are;
R is a softmax over the user's own items of a small network of their purchase times (`repeats.FEATURES`); g is learned
too. Untrained, it is personal frequency: R and g come from decayed counts, E from recent popularity; what is learned is
added to that.

Shapes: B users, T positions (position 0 = no order seen, position n = n orders seen), D dimensions, V items, Q
questions, P own items of questions, N candidates, K trends.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  # the name every PyTorch reader expects

from everstay.recommender import repeats
from everstay.recommender.attention import CausalBlock, pad_sequences
from everstay.recommender.loss import segment_logsumexp
from everstay.recommender.network_config import NetworkConfig
from everstay.recommender.trends import TREND_WEEKS

ORDER_FEATURES = 2
"""log(1 + days since the order before) and log(items)."""

_FIRST_SCORE = repeats.FEATURES.index("log_decayed_84d")
_FIRST_TREND = 4  # weeks
_FIRST_PRIOR = 100.0  # orders of the average user, added to the user's own


class Questions(NamedTuple):
    """A batch of inputs to the network.

    Attributes:
        line_item: item index of each line of the orders seen.
        order_start: (orders,) first line of each order.
        order_features: (orders, `ORDER_FEATURES`).
        lengths: (B,) orders of each user's sequence.
        user: (Q,) whose sequence a question looks at.
        place: (Q,) number of orders of that sequence it sees.
        trends: (weeks, K, V) log shares of items at the as-ofs of the questions.
        week: (Q,) row of `trends`.
        own_question: (P,) ascending.
        own_item: (P,) ascending within a question.
        own_features: (P, F) `repeats.FEATURES`.
    """

    line_item: Tensor
    order_start: Tensor
    order_features: Tensor
    lengths: Tensor
    user: Tensor
    place: Tensor
    trends: Tensor
    week: Tensor
    own_question: Tensor
    own_item: Tensor
    own_features: Tensor

    def to(self, device: torch.device) -> "Questions":
        """The same on another device."""
        return Questions(*(tensor.to(device) for tensor in self))


@dataclass(frozen=True)
class Repeat:
    """The repeat side of questions: log g (Q,), log (1 - g) (Q,), log R of the own items (P,)."""

    log_repeat: Tensor
    log_explore: Tensor
    log_own: Tensor


class RepeatNetwork(nn.Module):
    """Self-attention over orders and a repeat head, mixed.

    Args:
        config: its sizes.
        items: size of the vocabulary.
    """

    feature_mean: Tensor
    feature_scale: Tensor

    def __init__(self, config: NetworkConfig, items: int) -> None:
        super().__init__()
        width, own = config.dimensions, len(repeats.FEATURES) + len(TREND_WEEKS)
        self.items = items
        self.embedding = nn.Embedding(items, width)
        self.bias = nn.Parameter(torch.zeros(items))
        self.trend_weight = nn.Parameter(torch.tensor([float(weeks == _FIRST_TREND) for weeks in TREND_WEEKS]))
        self.place = nn.Parameter(torch.zeros(config.max_orders + 1, width))
        self.order_features = nn.Linear(ORDER_FEATURES, width)
        self.order_norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(CausalBlock(width, config.heads, config.dropout) for _ in range(config.blocks))
        self.norm = nn.LayerNorm(width)
        self.own_embedding = nn.Embedding(items, config.item_dimensions)
        self.own_score = nn.Sequential(
            nn.Linear(own + 1 + config.item_dimensions, config.repeat_width),
            nn.GELU(),
            nn.Linear(config.repeat_width, config.repeat_width),
            nn.GELU(),
            nn.Linear(config.repeat_width, 1),
        )
        self.gate = nn.Sequential(
            nn.Linear(width + 3, config.repeat_width), nn.GELU(), nn.Linear(config.repeat_width, 1)
        )
        self.log_prior = nn.Parameter(torch.tensor(math.log(_FIRST_PRIOR)))
        self.register_buffer("feature_mean", torch.zeros(own))
        self.register_buffer("feature_scale", torch.ones(own))
        nn.init.normal_(self.embedding.weight, std=0.02)
        nn.init.normal_(self.own_embedding.weight, std=0.02)
        for head in (self.own_score, self.gate):
            for parameter in head[-1].parameters():
                nn.init.zeros_(parameter)

    def encode(self, questions: Questions) -> Tensor:
        """Encode the orders that each question sees: (Q, D)."""
        orders = F.embedding_bag(questions.line_item, self.embedding.weight, questions.order_start, mode="mean")
        seen = self.order_norm(orders) + self.order_features(questions.order_features)
        places = F.pad(pad_sequences(seen, questions.lengths), (0, 0, 1, 0))  # place 0: nothing seen yet
        hidden = self.dropout(places + self.place[: places.shape[1]])
        for block in self.blocks:
            hidden = block(hidden)
        return self.norm(hidden[questions.user, questions.place])

    def explore_logits(self, hidden: Tensor, questions: Questions, candidates: Tensor | None = None) -> Tensor:
        """Logits of E for candidates (N,), or for all items: (Q, N)."""
        weight, trends = self.embedding.weight, questions.trends
        bias: Tensor = self.bias
        if candidates is not None:
            weight, bias, trends = weight[candidates], bias[candidates], trends[:, :, candidates]
        popular = torch.einsum("wkn,k->wn", trends, self.trend_weight) + bias
        return torch.addmm(popular[questions.week], hidden, weight.T)

    def explore_logits_at(self, hidden: Tensor, questions: Questions, question: Tensor, item: Tensor) -> Tensor:
        """Logits of E for pairs of question and item: (pairs,)."""
        popular = questions.trends[questions.week[question], :, item] @ self.trend_weight + self.bias[item]
        return popular + (hidden[question] * self.embedding.weight[item]).sum(dim=1)

    def repeat(self, hidden: Tensor, questions: Questions) -> Repeat:
        """Probability of a repeat, and of each own item in one."""
        question, item = questions.own_question, questions.own_item
        trends = questions.trends[questions.week[question], :, item]
        known = (torch.cat([questions.own_features, trends], dim=1) - self.feature_mean) / self.feature_scale
        fit = (hidden[question] * self.embedding.weight[item]).sum(dim=1, keepdim=True)
        score = questions.own_features[:, _FIRST_SCORE]
        score = score + self.own_score(torch.cat([known, fit, self.own_embedding(item)], dim=1))[:, 0]
        total = segment_logsumexp(score, question, len(hidden))
        counts = torch.bincount(question, minlength=len(hidden))
        has_own = counts > 0
        strength = torch.where(has_own, total, 0.0)
        sizes = torch.stack([torch.log1p(counts), strength, strength - torch.log1p(counts)], dim=1)
        gate = strength - self.log_prior + self.gate(torch.cat([hidden, sizes], dim=1))[:, 0]
        return Repeat(
            log_repeat=torch.where(has_own, F.logsigmoid(gate), -math.inf),
            log_explore=torch.where(has_own, F.logsigmoid(-gate), 0.0),
            log_own=score - total[question],
        )

    def forward(self, questions: Questions) -> Tensor:
        """Log probability of every item: (Q, V)."""
        hidden = self.encode(questions)
        explore = F.log_softmax(self.explore_logits(hidden, questions), dim=1)
        repeat = self.repeat(hidden, questions)
        mixed = explore + repeat.log_explore[:, None]
        pair = (questions.own_question, questions.own_item)
        own = torch.logaddexp(mixed[pair], repeat.log_repeat[questions.own_question] + repeat.log_own)
        return mixed.index_put(pair, own)
