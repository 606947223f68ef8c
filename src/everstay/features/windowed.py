"""Declarations: what a user did in the last days, weeks and months, how regularly, how recently.

A count or sum is 0 where nothing happened; what is undefined is null, never NaN.
"""

from collections.abc import Iterator

import polars as pl

from everstay.features.event_sums import ACTIVE, COUNTED, FIRST
from everstay.features.feature import Feature, divide, in_window, ratio, trend
from everstay.features.kernels import DAY
from everstay.features.ledger import HOUR, MONEY
from everstay.features.order_sums import GAPS, LAST_ORDER

HABIT_DAYS = 364  # the window that weekday and hour are taken from


def windowed(days: int) -> Iterator[Feature]:
    """What happened in one window."""
    orders, spend, discount = (in_window(name, days) for name in ("orders", "spend", "discount"))

    def feature(name: str, unit: str, meaning: str, value: pl.Expr | None = None) -> Feature:
        return Feature(f"{name}_{days}d", unit, days, meaning, in_window(name, days) if value is None else value)

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
        ratio(discount, spend + discount),
    )
    yield feature("basket", "currency per order", "spend / orders; null without an order", ratio(spend, orders * MONEY))
    yield from (feature(word, "events", f"events of type {kind}") for word, kind in COUNTED.items())
    yield feature("distinct_items_seen", "items", "different items of any event")


def trends(days: int) -> Iterator[Feature]:
    """A window compared with the one before it."""
    words = "(in the window - in the one before) / (in both); null without any"
    for name in ("orders", "spend"):
        change = trend(in_window(name, days), in_window(name, 2 * days))
        yield Feature(f"{name}_trend_{days}d", "change", 2 * days, f"{name}: {words}", change)


def since(name: str, age: str, meaning: str) -> Feature:
    """An age in days."""
    return Feature(name, "days", None, meaning, divide(pl.col(age), DAY))


def overall() -> Iterator[Feature]:
    """Times since first and last events, and the rhythm of orders."""
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
    orders = in_window("orders", HABIT_DAYS)
    weekend, hours = ratio(in_window("weekend_orders", HABIT_DAYS), orders), in_window("time_of_day", HABIT_DAYS)
    meaning = "orders on Saturday or Sunday (UTC); null without one"
    yield Feature(f"weekend_share_{HABIT_DAYS}d", "share", HABIT_DAYS, meaning, weekend)
    meaning = "mean time of day (UTC) of orders; null without an order"
    yield Feature(f"hour_mean_{HABIT_DAYS}d", "hours", HABIT_DAYS, meaning, ratio(hours, orders * HOUR))
    for word, kind in COUNTED.items():
        yield since(f"{word}_recency_days", f"{word}_age", f"since the last {kind}; null without")
