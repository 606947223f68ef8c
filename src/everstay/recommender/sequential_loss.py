"""The softmax loss over many items, in memory that does not grow with batch times catalogue.

Shapes: M = positions that predict, C = candidate items, D = dimensions.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  # the name every PyTorch reader expects

_PLACES_AT_ONCE = 512  # every product has this many rows: PyTorch compiles and caches a kernel for each new shape


class _SoftmaxLoss(torch.autograd.Function):
    """Computes gradients together with the loss, in blocks of positions, so that no (M, C) matrix is ever held."""

    @staticmethod
    def forward(ctx: Any, queries: Tensor, items: Tensor, target: Tensor, inverse_temperature: float) -> Tensor:
        dtype, places = product_type(queries.device), len(queries)
        absent = -places % _PLACES_AT_ONCE
        low_items, low_queries = items.to(dtype), F.pad(queries, (0, 0, 0, absent)).to(dtype)
        goals = F.pad(target, (0, absent))[:, None]
        query_gradient, item_gradient = torch.empty_like(low_queries), torch.zeros_like(items)
        loss = queries.new_zeros(())
        for start in range(0, len(low_queries), _PLACES_AT_ONCE):
            part = slice(start, start + _PLACES_AT_ONCE)
            real = min(_PLACES_AT_ONCE, places - start)
            logits = (low_queries[part] @ low_items.T).mul_(inverse_temperature)
            top = logits.amax(dim=1, keepdim=True)
            goal_logit = logits.gather(1, goals[part]).float()
            weights = logits.sub_(top).exp_()
            total = weights.sum(dim=1, keepdim=True, dtype=torch.float32)
            loss += (total.log() + top.float() - goal_logit)[:real].sum()
            weights.mul_((1.0 / total).to(dtype)).scatter_add_(1, goals[part], -weights.new_ones(goals[part].shape))
            query_gradient[part] = weights @ low_items
            item_gradient += weights.T @ low_queries[part]  # a padded row is zero and adds nothing
        scale = inverse_temperature / places
        ctx.save_for_backward(query_gradient[:places].to(queries.dtype).mul_(scale), item_gradient.mul_(scale))
        return loss / places

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:
        query_gradient, item_gradient = ctx.saved_tensors
        return gradient * query_gradient, gradient * item_gradient, None, None


def softmax_loss(queries: Tensor, items: Tensor, target: Tensor, inverse_temperature: float) -> Tensor:
    """Mean over positions of -log softmax(inverse_temperature * queries @ items.T) at the target.

    Args:
        queries: (M, D), at least one.
        items: (C, D).
        target: (M,) row of `items`.
        inverse_temperature: factor of the products.
    """
    loss: Tensor = _SoftmaxLoss.apply(queries, items, target, inverse_temperature)
    return loss


def product_type(device: torch.device) -> torch.dtype:
    """bfloat16 where the processor multiplies it faster than float32: on GPUs, and on CPUs with AMX tiles."""
    is_fast = device.type == "cuda" or torch.cpu._is_amx_tile_supported()
    return torch.bfloat16 if is_fast else torch.float32
