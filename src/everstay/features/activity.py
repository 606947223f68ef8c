"""Activity features: what a user did in the last 7, 28, 84 and 364 days before an as-of, how regularly, and how lately.

Sums are exact (see `sums`); floats appear only in the last step, at most two divisions per cell.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl
from polars import selectors as cs

from everstay import tables as t
from everstay.features.sums import (
    COUNTED,
    DAY,
    HABIT_DAYS,
    HOUR,
    MONEY,
    TREND_WINDOWS,
    WINDOWS,
    condense,
    exactly,
    user_sums,
)  # fmt: skip


@dataclass(frozen=True)
class Feature:
    """One declared feature.

    Attributes:
        name: column, with its window.
        unit: of the value.
        window_days: days before the as-of that it looks at; None: the whole history.
        meaning: in words, with the condition under which it is null.
    """

    name: str
    unit: str
    window_days: int | None
    meaning: str


_PER_WINDOW = (
    ("orders", "orders", "orders placed, returned or not"),
    ("spend", "currency", "paid for purchases"),
    ("items", "pieces", "pieces bought"),
    ("distinct_items", "items", "different items bought"),
    ("distinct_categories", "categories", "different categories bought from; items without category do not count"),
    ("active_days", "days", "different UTC days with an event of the user's own; a message sent to them is none"),
    ("discount", "currency", "taken off purchases"),
    ("discount_share", "share", "discount / (spend + discount); null without either"),
    ("basket", "currency per order", "spend / orders; null without an order"),
    *((word, "events", f"events of type {kind}") for kind, word in COUNTED),
)
_PER_TREND = (
    ("orders_trend", "share", "(orders in the window - orders in the one before) / (orders in both); null without any"),
    ("spend_trend", "share", "(spend in the window - spend in the one before) / (spend in both); null without any"),
)
_OVERALL = (
    Feature("recency_days", "days", None, "since the last order; null without an order"),
    Feature("tenure_days", "days", None, "since the first event"),
    Feature("inactive_days", "days", None, "since the last event of the user's own; null when there is none"),
    Feature("gap_mean_days", "days", None, "mean gap between successive days with an order; null below two such days"),
    Feature("gap_median_days", "days", None, "median of these gaps"),
    Feature("gap_std_days", "days", None, "sample standard deviation of these gaps; null below two gaps"),
    Feature("gap_last_days", "days", None, "the latest of these gaps"),
    Feature("gap_max_days", "days", None, "the longest of these gaps"),
    Feature("recency_to_mean_gap", "ratio", None, "recency_days / gap_mean_days; null where that is"),
    Feature("recency_to_median_gap", "ratio", None, "recency_days / gap_median_days; null where that is"),
    Feature(
        f"weekend_share_{HABIT_DAYS}d", "share", HABIT_DAYS, "orders on Saturday or Sunday (UTC); null without one"
    ),
    Feature(f"hour_mean_{HABIT_DAYS}d", "hours", HABIT_DAYS, "mean time of day (UTC) of orders; null without an order"),
    *(Feature(f"{word}_recency_days", "days", None, f"since the last {kind}; null without") for kind, word in COUNTED),
)
FEATURES: tuple[Feature, ...] = (
    *(Feature(f"{name}_{days}d", unit, days, text) for name, unit, text in _PER_WINDOW for days in WINDOWS),
    *(Feature(f"{name}_{days}d", unit, 2 * days, text) for name, unit, text in _PER_TREND for days in TREND_WINDOWS),
    *_OVERALL,
)
"""All columns of `activity_features`, in order. Counts and sums are 0 where nothing happened; never NaN."""


def activity_features(events: pl.DataFrame, items: pl.DataFrame, as_of: datetime) -> pl.DataFrame:
    """Compute `FEATURES` for every user of one bucket with an event before `as_of`.

    Uses only events that occurred and were recorded before the as-of; a window of n days is `[as_of - n days, as_of)`.

    Args:
        events: `tables.EVENTS`, in any row order; users of one bucket or of many.
        items: `tables.ITEMS`; an item that is not there has no category.
        as_of: a midnight UTC.

    Returns:
        `USER_ID`, `AS_OF`, then one Float64 column per feature (null: undefined), sorted by user.
    """
    return activity_slices(events, items, [as_of])


def activity_slices(events: pl.DataFrame, items: pl.DataFrame, as_ofs: Sequence[datetime]) -> pl.DataFrame:
    """Stack `activity_features` of several as-ofs, in the order given."""
    ledger = condense(events, items)
    tables = [_features(user_sums(ledger, as_of), as_of).collect() for as_of in as_ofs]
    return pl.concat(tables)


def _features(sums: pl.LazyFrame, as_of: datetime) -> pl.LazyFrame:
    """Turn sums into features: zeros where nothing happened, money in currency, shares, trends and times since."""
    table = sums.with_columns(cs.matches(r"_[0-9]+d$").fill_null(0)).with_columns(*_RATIOS)
    table = table.with_columns(*_UNITS).with_columns(
        (pl.col("recency_days") / pl.col("gap_mean_days")).alias("recency_to_mean_gap"),
        (pl.col("recency_days") / pl.col("gap_median_days")).alias("recency_to_median_gap"),
    )
    user = pl.col(t.USER_ID).cast(pl.String)
    return table.select(user, pl.lit(as_of, t.TIME).alias(t.AS_OF), *_VALUES).sort(t.USER_ID)


def _ratios() -> Iterator[pl.Expr]:
    """Shares, baskets, trends and habits, from sums that are still exact."""
    for days in WINDOWS:
        discount, spend, orders = (pl.col(f"{name}_{days}d") for name in ("discount", "spend", "orders"))
        yield _ratio(discount, spend + discount).alias(f"discount_share_{days}d")
        yield _ratio(spend, orders * MONEY).alias(f"basket_{days}d")
    for days in TREND_WINDOWS:
        for name in ("orders", "spend"):
            recent, both = pl.col(f"{name}_{days}d"), pl.col(f"{name}_{2 * days}d")
            yield _ratio(2 * recent - both, both).alias(f"{name}_trend_{days}d")
    orders = pl.col(f"orders_{HABIT_DAYS}d")
    yield _ratio(pl.col("weekend_orders"), orders).alias(f"weekend_share_{HABIT_DAYS}d")
    yield _ratio(pl.col("time_of_day"), orders * HOUR).alias(f"hour_mean_{HABIT_DAYS}d")


def _units() -> Iterator[pl.Expr]:
    """Money in the currency, ages in days."""
    yield from (exactly(pl.col(f"{name}_{days}d"), MONEY) for name in ("spend", "discount") for days in WINDOWS)
    ages = {"recency_days": "last_order_age", "tenure_days": "first_age", "inactive_days": "active_age"}
    ages |= {f"{word}_recency_days": f"{word}_age" for _, word in COUNTED}
    yield from (exactly(pl.col(age), DAY).alias(name) for name, age in ages.items())


def _ratio(part: pl.Expr, whole: pl.Expr) -> pl.Expr:
    """Quotient, null where the divisor is zero."""
    return pl.when(whole != 0).then(part / whole)


_RATIOS, _UNITS = tuple(_ratios()), tuple(_units())
_VALUES = tuple(pl.col(feature.name).cast(pl.Float64) for feature in FEATURES)
