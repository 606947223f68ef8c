"""What churn should mean in this shop: how long people usually wait, and whom each horizon would call a leaver."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import numpy as np
import polars as pl
from numpy.typing import NDArray

from everstay import tables as t
from everstay.errors import NotReady
from everstay.features import EventReader, churn_labels, last_mature_as_of, net_purchases
from everstay.metrics.comparison import Interval
from everstay.metrics.proportion import share_interval
from everstay.partitions import map_parts
from everstay.retention.sample_size import auc_half_width, fewest_leavers
from everstay.settings import Churn

QUANTILES = (0.5, 0.75, 0.8, 0.85, 0.9, 0.95, 0.99)
DEFAULT_QUANTILE = 0.9
"""The horizon that the data suggests: nine of ten gaps are shorter, each repeater counting the same."""
HORIZONS = (30, 60, 90)

_CONFIDENCE = 0.95
_WHOLE = 1_000_000_000  # weight of one repeater, so that sums run over whole numbers
_ROUNDING = 1e-6  # share that whole weights may lack: a repeater with a thousand gaps lacks as much at most
_READ = (t.USER_ID, t.OCCURRED_AT, t.RECORDED_AT, t.EVENT_TYPE, t.ORDER_ID, t.QUANTITY, t.AMOUNT)


@dataclass(frozen=True)
class Gaps:
    """Gaps between the order days of repeaters.

    Attributes:
        counts: gaps of each number of days, (days,).
        weights: the same with every repeater counting as one, in billionths, (days,).
        repeaters: users with a gap.
        buyers: users with an order.
    """

    counts: NDArray[np.int64]
    weights: NDArray[np.int64]
    repeaters: int
    buyers: int

    def quantile(self, share: float, *, by_user: bool) -> int:
        """Days that this share of the gaps does not exceed."""
        mass = np.cumsum(self.weights if by_user else self.counts)
        return int(np.searchsorted(mass, (share - _ROUNDING) * mass[-1]))


@dataclass(frozen=True)
class HorizonAdvice:
    """What one horizon would give.

    Attributes:
        horizon_days: of the definition.
        as_of: the last midnight whose labels are known.
        users: in the population then.
        leavers: of them.
        base_rate: their share, with its 95% interval; None without users.
        auc_half_width: of a 95% interval on ROC-AUC that so many leavers and stayers allow; None without both.
        fewest_leavers: that are needed at this base rate; None where it is 0 or 1.
        problem: why there are no figures; else empty.
    """

    horizon_days: int
    as_of: datetime
    users: int
    leavers: int
    base_rate: Interval | None
    auc_half_width: float | None
    fewest_leavers: int | None
    problem: str = ""


@dataclass(frozen=True)
class Definition:
    """Gaps, and the advice for every horizon; the suggested one is `suggested_days`."""

    gaps: Gaps
    suggested_days: int
    advice: tuple[HorizonAdvice, ...]


def advise_definition(
    reader: EventReader, first_event_at: datetime, known_until: datetime, churn: Churn, scheduler: str
) -> Definition:
    """Count gaps and leavers, by what is known at `known_until`.

    Args:
        reader: of events; a snapshot.
        first_event_at: when the log begins.
        known_until: nothing recorded later is used.
        churn: look-back, gap and lateness; its horizon is one of those that are tried.
        scheduler: address from `partitions.open_cluster`.

    Raises:
        NotReady: nothing was known then, or nobody had bought on two days.
    """
    if known_until <= first_event_at:
        raise NotReady(
            f"nothing was known at {known_until:%Y-%m-%d %H:%M}: the data begins at {first_event_at:%Y-%m-%d %H:%M}; "
            "set a later as_of in the settings, or remove it"
        )
    days = (known_until - first_event_at) // timedelta(days=1) + 2
    count = partial(_bucket_gaps, reader=reader, known_until=known_until, days=days)
    gaps = _together(map_parts(count, reader.buckets, scheduler))
    if gaps.repeaters == 0:
        raise NotReady(f"none of {gaps.buyers:,} buyers ordered on two days yet: there is no gap to learn from")
    suggested = max(1, gaps.quantile(DEFAULT_QUANTILE, by_user=True))
    horizons = sorted({*HORIZONS, suggested, churn.horizon_days})
    tried = [churn.model_copy(update={"horizon_days": horizon}) for horizon in horizons]
    label = partial(_bucket_leavers, reader=reader, known_until=known_until, tried=tried)
    found = np.sum(map_parts(label, reader.buckets, scheduler), axis=0)
    advice = [
        _advise(one, int(users), int(leavers), first_event_at, known_until)
        for one, (users, leavers) in zip(tried, found, strict=True)
    ]
    return Definition(gaps, suggested, tuple(advice))


def user_gaps(purchases: pl.DataFrame, days: int) -> Gaps:
    """Gaps of the users of one bucket; `days` is more than any of them."""
    day = pl.col(t.OCCURRED_AT).dt.truncate("1d").alias("day")
    order_days = purchases.select(t.USER_ID, day).unique().sort(t.USER_ID, "day")
    gap = pl.col("day").diff().over(t.USER_ID).dt.total_days().alias("gap")
    gaps = order_days.with_columns(gap).drop_nulls().with_columns((_WHOLE // pl.len().over(t.USER_ID)).alias("weight"))
    waited, weight = gaps["gap"].to_numpy().astype(np.int64), gaps["weight"].to_numpy().astype(np.int64)
    weights = np.zeros(days, dtype=np.int64)
    np.add.at(weights, waited, weight)
    counts = np.bincount(waited, minlength=days)
    return Gaps(counts, weights, gaps[t.USER_ID].n_unique(), order_days[t.USER_ID].n_unique())


def _bucket_gaps(bucket: int, *, reader: EventReader, known_until: datetime, days: int) -> Gaps:
    return user_gaps(net_purchases(reader.read_events(bucket, known_until, _READ)), days)


def _together(parts: Sequence[Gaps]) -> Gaps:
    counts, weights = (np.sum([getattr(part, name) for part in parts], axis=0) for name in ("counts", "weights"))
    return Gaps(counts, weights, sum(part.repeaters for part in parts), sum(part.buyers for part in parts))


def _bucket_leavers(
    bucket: int, *, reader: EventReader, known_until: datetime, tried: Sequence[Churn]
) -> list[tuple[int, int]]:
    """Users and leavers of one bucket by every definition, each at its last as-of with known labels."""
    events = reader.read_events(bucket, known_until, _READ)
    labels = [churn_labels(events, last_mature_as_of(known_until, one), one, known_until) for one in tried]
    return [(len(one), int(one[t.CHURNED].sum())) for one in labels]


def _advise(churn: Churn, users: int, leavers: int, first_event_at: datetime, known_until: datetime) -> HorizonAdvice:
    as_of, days = last_mature_as_of(known_until, churn), churn.horizon_days
    if as_of - timedelta(days=churn.look_back_days) < first_event_at - timedelta(days=1):
        problem = (
            f"the history is too short: {churn.look_back_days} days of look-back do not fit before {as_of:%Y-%m-%d}"
        )
        return HorizonAdvice(days, as_of, users, leavers, None, None, None, problem)
    if users == 0:
        return HorizonAdvice(days, as_of, 0, 0, None, None, None, "nobody bought within the look-back")
    rate, both = share_interval(leavers, users, _CONFIDENCE), 0 < leavers < users
    width = auc_half_width(leavers, users - leavers) if both else None
    least = fewest_leavers(rate.value) if both else None
    return HorizonAdvice(days, as_of, users, leavers, rate, width, least)
