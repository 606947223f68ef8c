"""What the churn network minimises."""

from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits


def churn_loss(log_odds: Tensor, churned: Tensor) -> Tensor:
    """Mean of minus the log-likelihood of the outcomes, the proper score that calibration asks for.

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
