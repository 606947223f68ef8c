"""The maturity of every reported number: mature, estimated until then, or not knowable yet, and when it will be.

>>> from datetime import UTC
>>> clock = maturity(datetime(2018, 1, 29, tzinfo=UTC), timedelta(days=2), datetime(2018, 1, 5, tzinfo=UTC))
>>> clock.state, str(clock)
('unknown', 'not knowable before 2018-01-31')
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

State = Literal["mature", "estimated", "unknown"]


@dataclass(frozen=True)
class Maturity:
    """How much a number can be relied on at a moment.

    Attributes:
        state: "mature": everything it counts has been seen. "estimated": some is still to come, and the number allows
            for that (censoring-aware, or a forecast). "unknown": it cannot be known yet.
        knowable_at: when it is mature.
    """

    state: State
    knowable_at: datetime

    def __str__(self) -> str:
        if self.state == "mature":
            return f"mature since {self.knowable_at:%Y-%m-%d}"
        if self.state == "estimated":
            return f"estimated; mature on {self.knowable_at:%Y-%m-%d}"
        return f"not knowable before {self.knowable_at:%Y-%m-%d}"


def maturity(
    window_end: datetime, lateness: timedelta, known_until: datetime, *, is_estimate: bool = False
) -> Maturity:
    """Judge a number that counts what happens before `window_end`.

    Args:
        window_end: end of what is counted, exclusive.
        lateness: how much later events may be recorded.
        known_until: up to when events have been recorded.
        is_estimate: the number allows for what has not been seen: a survival estimate, or a forecast.
    """
    knowable_at = window_end + lateness
    if known_until >= knowable_at:
        return Maturity("mature", knowable_at)
    return Maturity("estimated" if is_estimate else "unknown", knowable_at)
