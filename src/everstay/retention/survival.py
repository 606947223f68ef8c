"""Share of users who came back by a day, when not all were observed that long: the Kaplan-Meier estimate."""

import numpy as np
from numpy.typing import NDArray

from everstay.metrics.comparison import Interval
from everstay.metrics.proportion import share_interval

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_CONFIDENCE, _NORMAL_90 = 0.9, 1.6448536269514722


def share_by(repeated: IntArray, waiting: IntArray, day: int) -> Interval | None:
    """Share of the users whose second order came within `day` days of the first, with its 90% interval.

    Users observed for a shorter time are censored (Kaplan and Meier 1958); the interval is Greenwood's
    on the log of the survival, within 0 to 1. Where nobody or everybody came back it is not defined, and the bounds are
    Wilson's, of the users who are not censored by then.

    Args:
        repeated: users by days from the first order to the second, (days,).
        waiting: users without a second, by days they were observed, (days,).
        day: of the share.

    Returns:
        None if nobody was observed that long, unless all of those at risk had come back before.

    >>> share_by(np.array([0, 2, 1]), np.array([0, 0, 1]), 1)
    Interval(value=0.5, low=0.1907174011477385, high=0.896739016029614)
    """
    ended = repeated + waiting
    at_risk = ended[::-1].cumsum()[::-1]
    last = min(day, int(np.count_nonzero(at_risk)) - 1)  # the last day on which somebody was at risk
    if last < 0:
        return None
    came, risk = repeated[: last + 1], at_risk[: last + 1]
    kept = float(np.prod(1 - came / risk))
    if last < day and kept > 0:
        return None
    if kept in (0.0, 1.0):
        back = int(came.sum())
        return share_interval(back, back or int(at_risk[day]), _CONFIDENCE)
    error = float(np.sqrt(np.sum(came / (risk * (risk - came)))))
    spread = np.exp(_NORMAL_90 * error / abs(np.log(kept)))  # on log(-log survival), so that bounds stay within 0 to 1
    return Interval(1 - kept, float(1 - kept ** (1 / spread)), float(1 - kept**spread))
