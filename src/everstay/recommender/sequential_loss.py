"""The softmax loss over many items in memory that does not grow with batch times catalogue.

Shapes: M = places that predict, C = candidate items, D = dimensions.
"""

from typing import Any

import torch
from torch import Tensor

_PLACES_AT_ONCE = 1_024


class _SoftmaxLoss(torch.autograd.Function):
    """Computes gradients beside the loss, some places at a time, so that no (M, C) matrix outlives its chunk."""

    @staticmethod
    def forward(ctx: Any, queries: Tensor, items: Tensor, target: Tensor, inverse_temperature: float) -> Tensor:
        dtype = product_type(queries.device)
        low_items = items.to(dtype)
        query_gradient, item_gradient = torch.empty_like(queries), torch.zeros_like(items)
        loss = queries.new_zeros(())
        for start in range(0, len(queries), _PLACES_AT_ONCE):
            part = slice(start, start + _PLACES_AT_ONCE)
            low_queries, goal = queries[part].to(dtype), target[part, None]
            logits = (low_queries @ low_items.T).mul_(inverse_temperature)
            top = logits.amax(dim=1, keepdim=True)
            goal_logit = logits.gather(1, goal).float()
            weights = logits.sub_(top).exp_()
            total = weights.sum(dim=1, keepdim=True, dtype=torch.float32)
            loss += (total.log() + top.float() - goal_logit).sum()
            weights.mul_((1.0 / total).to(dtype)).scatter_add_(1, goal, -weights.new_ones(goal.shape))
            query_gradient[part] = (weights @ low_items).float()
            item_gradient += (weights.T @ low_queries).float()
        scale = inverse_temperature / len(queries)
        ctx.save_for_backward(query_gradient.mul_(scale), item_gradient.mul_(scale))
        return loss / len(queries)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:
        query_gradient, item_gradient = ctx.saved_tensors
        return gradient * query_gradient, gradient * item_gradient, None, None


def softmax_loss(queries: Tensor, items: Tensor, target: Tensor, inverse_temperature: float) -> Tensor:
    """Mean over places of -log softmax(inverse_temperature * queries @ items.T) at the target.

    Args:
        queries: (M, D), at least one.
        items: (C, D).
        target: (M,) row of `items`.
        inverse_temperature: what products are multiplied by.
    """
    loss: Tensor = _SoftmaxLoss.apply(queries, items, target, inverse_temperature)
    return loss


def product_type(device: torch.device) -> torch.dtype:
    """bfloat16 where the processor multiplies it faster than float32: on GPUs, and on CPUs with its tiles (AMX)."""
    is_fast = device.type == "cuda" or torch.cpu._is_amx_tile_supported()
    return torch.bfloat16 if is_fast else torch.float32
