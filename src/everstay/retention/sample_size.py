"""How many leavers a definition must yield before models can be told apart: the arithmetic.

The variance of ROC-AUC is that of Hanley and McNeil (1982), "The meaning and use of the area under a receiver operating
characteristic (ROC) curve", Radiology 143, for exponential scores; for normal ones it is a fifth too wide.
"""

from bisect import bisect_left

ASSUMED_AUC = 0.85
"""Of the model that is to be judged: what boosting reaches on shops like these."""
WANTED_HALF_WIDTH = 0.03
"""Of a 95% interval on ROC-AUC: candidates commonly lie 0.01 to 0.05 apart."""
EVENTS_PER_FEATURE = 10
"""Leavers per feature of an unpenalised regression (Peduzzi and others 1996)."""

_Z = 1.959964


def auc_half_width(leavers: int, stayers: int, auc: float = ASSUMED_AUC) -> float:
    """Half the width of a 95% interval on ROC-AUC, for at least one of each.

    >>> round(auc_half_width(335, 1973), 4)
    0.0265
    """
    one, two = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    spread = auc * (1 - auc) + (leavers - 1) * (one - auc**2) + (stayers - 1) * (two - auc**2)
    return _Z * float((spread / (leavers * stayers)) ** 0.5)


def fewest_leavers(base_rate: float) -> int:
    """Leavers at which the interval is as narrow as wanted, when this share (between 0 and 1) of the users leaves.

    >>> least = fewest_leavers(0.145)
    >>> auc_half_width(least, round(least * 0.855 / 0.145)) <= WANTED_HALF_WIDTH
    True
    """

    def is_enough(leavers: int) -> bool:
        return auc_half_width(leavers, max(1, round(leavers * (1 - base_rate) / base_rate))) <= WANTED_HALF_WIDTH

    most = 1
    while not is_enough(most):
        most *= 2
    return bisect_left(range(most + 1), True, lo=1, key=is_enough)  # the more leavers, the narrower
