"""Activity features: what a user did in the last days, weeks and months before an as-of, how regularly, how lately.

Each is declared once, with its value as an expression over exact sums (see `sums`): floats appear only in this last
step, at most two divisions per cell. A count or sum is 0 where nothing happened; what is undefined is null, never NaN.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl
import pyarrow as pa

from everstay import tables as t
from everstay.features.ledger import DAY, HOUR, MONEY, Ledger
from everstay.features.sums import (
    ACTIVE,
    COUNTED,
    FIRST,
    GAPS,
    LAST_ORDER,
    divide,
    event_columns,
    longest_window,
    user_sums,
)  # fmt: skip

WINDOWS = (7, 28, 84, 364)
TREND_WINDOWS = (28, 84)
HABIT_DAYS = 364  # the window that weekday and hour are taken from


@dataclass(frozen=True, eq=False)
class Feature:
    """One declared feature.

    Attributes:
        name: column, with its window.
        unit: of the value.
        window_days: days before the as-of that it looks at; None: the whole history.
        meaning: in words, with the condition under which it is null.
        value: over the columns of `user_sums`.
    """

    name: str
    unit: str
    window_days: int | None
    meaning: str
    value: pl.Expr

    @property
    def definition(self) -> str:
        """What it is in one line that is the same in every process; it changes when the value's formula does."""
        return f"{self.name} = {self.value}"

    @property
    def sums(self) -> list[str]:
        """The sums that it is made of."""
        return self.value.meta.root_names()


def _ratio(part: pl.Expr, whole: pl.Expr) -> pl.Expr:
    """Quotient, null where the divisor is zero."""
    return pl.when(whole != 0).then(divide(part, whole))


def _in_window(days: int) -> Iterator[Feature]:
    """What happened in one window."""
    orders, spend, discount = (pl.col(f"{name}_{days}d") for name in ("orders", "spend", "discount"))

    def feature(name: str, unit: str, meaning: str, value: pl.Expr | None = None) -> Feature:
        return Feature(f"{name}_{days}d", unit, days, meaning, pl.col(f"{name}_{days}d") if value is None else value)

    yield feature("orders", "orders", "orders placed, returned or not")
    yield feature("spend", "currency", "paid for purchases", divide(spend, MONEY))
    yield feature("items", "pieces", "pieces bought")
    yield feature("distinct_items", "items", "different items bought")
    yield feature(
        "distinct_categories", "categories", "different categories bought from; items without category do not count"
    )
    yield feature(
        "active_days", "days", "different UTC days with an event of the user's own; a message sent to them is none"
    )
    yield feature("discount", "currency", "taken off purchases", divide(discount, MONEY))
    yield feature(
        "discount_share",
        "share",
        "discount / (spend + discount); null without either",
        _ratio(discount, spend + discount),
    )
    yield feature(
        "basket", "currency per order", "spend / orders; null without an order", _ratio(spend, orders * MONEY)
    )
    yield from (feature(word, "events", f"events of type {kind}") for word, kind in COUNTED.items())
    yield feature("distinct_items_seen", "items", "different items of any event")


def _trends(days: int) -> Iterator[Feature]:
    """A window beside the one before it."""
    words = "(in the window - in the one before) / (in both); null without any"
    for name in ("orders", "spend"):
        recent, both = pl.col(f"{name}_{days}d"), pl.col(f"{name}_{2 * days}d")
        change = _ratio(2 * recent - both, both)
        yield Feature(f"{name}_trend_{days}d", "share", 2 * days, f"{name}: {words}", change)


def _overall() -> Iterator[Feature]:
    """Times since, and the rhythm of orders."""

    def since(name: str, age: str, meaning: str) -> Feature:
        return Feature(name, "days", None, meaning, divide(pl.col(age), DAY))

    recency = since("recency_days", LAST_ORDER, "since the last order; null without an order")
    yield recency
    yield since("tenure_days", FIRST, "since the first event")
    yield since("inactive_days", ACTIVE, "since the last event of the user's own; null when there is none")
    words = (
        "mean gap between successive days with an order; null below two such days", "median of these gaps",
        "sample standard deviation of these gaps; null below two gaps", "the latest of these gaps",
        "the longest of these gaps",
    )  # fmt: skip
    yield from (Feature(f"{gap}_days", "days", None, words[place], pl.col(gap)) for place, gap in enumerate(GAPS))
    for kind in ("mean", "median"):
        meaning = f"recency_days / gap_{kind}_days; null where that is"
        yield Feature(f"recency_to_{kind}_gap", "ratio", None, meaning, divide(recency.value, pl.col(f"gap_{kind}")))
    orders = pl.col(f"orders_{HABIT_DAYS}d")
    weekend, hours = _ratio(pl.col(f"weekend_orders_{HABIT_DAYS}d"), orders), pl.col(f"time_of_day_{HABIT_DAYS}d")
    meaning = "orders on Saturday or Sunday (UTC); null without one"
    yield Feature(f"weekend_share_{HABIT_DAYS}d", "share", HABIT_DAYS, meaning, weekend)
    meaning = "mean time of day (UTC) of orders; null without an order"
    yield Feature(f"hour_mean_{HABIT_DAYS}d", "hours", HABIT_DAYS, meaning, _ratio(hours, orders * HOUR))
    for word, kind in COUNTED.items():
        yield since(f"{word}_recency_days", f"{word}_age", f"since the last {kind}; null without")


def declare_features(windows: Sequence[int] = WINDOWS) -> tuple[Feature, ...]:
    """All features, with these windows in days for what is counted in windows."""
    counted = (feature for days in windows for feature in _in_window(days))
    return (*counted, *(feature for days in TREND_WINDOWS for feature in _trends(days)), *_overall())


FEATURES = declare_features()
"""The columns of `activity_features`, in order."""


def activity_features(events: pl.DataFrame, items: pl.DataFrame, as_of: datetime) -> pl.DataFrame:
    """Compute `FEATURES` for every user of one bucket with an event before `as_of`: see `activity_slices`."""
    return activity_slices(events, items, [as_of])


def activity_slices(
    events: pa.Table | pl.DataFrame,
    items: pl.DataFrame,
    as_ofs: Sequence[datetime],
    features: Sequence[Feature] = FEATURES,
) -> pl.DataFrame:
    """Compute features for every user of one bucket at several as-ofs, in one pass over the events.

    Uses only events that occurred and were recorded before the as-of; a window of n days is `[as_of - n days, as_of)`.

    Args:
        events: `tables.EVENTS` in any row order, or as `Snapshot.read_coded` gives them; of one bucket or of many.
        items: `tables.ITEMS`; an item that is not there has no category.
        as_ofs: midnights UTC.
        features: the ones wanted.

    Returns:
        `USER_ID`, `AS_OF`, then one Float64 column per feature; the as-ofs in the order given, within each the users
        with an event before it, by id.
    """
    names = {name for feature in features for name in feature.sums}
    ascending = sorted(set(as_ofs))
    sums = user_sums(Ledger.of(events, ascending, longest_window(names)), items, names)
    values = (feature.value.cast(pl.Float64).alias(feature.name) for feature in features)
    table = sums.select(pl.col(t.USER_ID).cast(pl.String), t.AS_OF, *values)
    if list(as_ofs) == ascending:
        return table
    by_as_of = table.partition_by(t.AS_OF, as_dict=True)
    return pl.concat([by_as_of.get((as_of,), table.clear()) for as_of in as_ofs])


def needed_columns(features: Sequence[Feature] = FEATURES) -> list[str]:
    """The columns of `tables.EVENTS` that `activity_slices` reads."""
    return event_columns({name for feature in features for name in feature.sums})
