"""What the churn network minimises."""

from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, poisson_nll_loss

_SILENCE_WEIGHT, _ORDER_DAYS_WEIGHT = 0.3, 0.1  # relative to 1 for churning, the actual target


def churn_loss(log_odds: Tensor, churned: Tensor) -> Tensor:
    """Mean negative log-likelihood of the outcomes, a proper score, as calibration needs.

    Args:
        log_odds: (B,) of churning.
        churned: (B,) 0 or 1.

    Returns:
        A scalar.

    >>> import torch
    >>> churn_loss(torch.zeros(2), torch.tensor([0.0, 1.0])).item() == torch.tensor(2.0).log().item()
    True
    """
    return binary_cross_entropy_with_logits(log_odds, churned)


def outlook_loss(outlook: Tensor, returns: Tensor) -> Tensor:
    """`churn_loss`, plus with less weight the same for silence in each part of the window, and Poisson for order days.

    Args:
        outlook: (B, OUTLOOKS) from the network.
        returns: (B, OUTLOOKS) from `everstay.churn.returns`.

    Returns:
        A scalar.

    >>> import torch
    >>> outlook_loss(torch.zeros(1, 3), torch.tensor([[0.0, 1.0, 2.0]])).item()  # 1.3 log 2 + 0.1 (1 - 2 * 0)
    1.001...
    """
    parts = binary_cross_entropy_with_logits(outlook[:, :-1], returns[:, :-1], reduction="none").mean(dim=0)
    days = poisson_nll_loss(outlook[:, -1], returns[:, -1])
    return parts[0] + _SILENCE_WEIGHT * parts[1:].sum() + _ORDER_DAYS_WEIGHT * days
