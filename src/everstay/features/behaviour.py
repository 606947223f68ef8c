"""Declarations: how a user moves through the shop: mix of events, funnel, sessions, time of day and week."""

from collections.abc import Iterator

import polars as pl

from everstay.features.code_kernels import UNIT
from everstay.features.event_sums import COUNTED
from everstay.features.feature import Feature, divide, in_window, ratio
from everstay.features.ledger import MINUTE
from everstay.features.measured_sums import ANSWER_DAYS, PARTS_OF_DAY

MIXED = ("views", "searches", "carts", "purchases")


def mix(days: int) -> Iterator[Feature]:
    """Composition of a user's own events."""
    own = in_window("own_events", days)
    yield Feature(f"own_events_{days}d", "events", days, "events of the user's own", own)
    for word in MIXED:
        meaning = f"events of type {COUNTED[word]} / own events; null without one"
        yield Feature(f"{word}_share_{days}d", "share", days, meaning, ratio(in_window(word, days), own))
    meaning = "entropy of the types of own events; null without one"
    yield Feature(f"event_type_entropy_{days}d", "nats", days, meaning, entropy("event_type", days))


def entropy(word: str, days: int) -> pl.Expr:
    """Entropy in nats, null where nothing is counted."""
    total, spread = in_window(f"{word}_total", days), in_window(f"{word}_spread", days)
    return ratio(divide(spread, UNIT), total)


def top_share(word: str, days: int) -> pl.Expr:
    """Share of the most frequent value."""
    return ratio(in_window(f"{word}_top", days), in_window(f"{word}_total", days))


def funnel(days: int) -> Iterator[Feature]:
    """From view to cart to purchase, item by item, in any order within the window."""
    viewed, carted, bought = (in_window(name, days) for name in ("viewed_items", "carted_items", "distinct_items"))

    def rate(name: str, meaning: str, one: pl.Expr, other: pl.Expr, either: str) -> Feature:
        both = one + other - in_window(either, days)
        return Feature(f"{name}_{days}d", "share", days, meaning, ratio(both, one))

    words = "of the different items viewed, those {} as well; null without one"
    yield rate("view_to_cart", words.format("put into the cart"), viewed, carted, "viewed_or_carted_items")
    words_of_cart = "of the different items put into the cart, those bought as well; null without one"
    yield rate("cart_to_purchase", words_of_cart, carted, bought, "carted_or_bought_items")
    yield rate("view_to_purchase", words.format("bought"), viewed, bought, "viewed_or_bought_items")
    carts = in_window("carts", days)
    meaning = f"cart events that a purchase followed within {ANSWER_DAYS} days, as known; null without one"
    answered = ratio(in_window("answered_carts", days), carts)
    yield Feature(f"followed_cart_share_{days}d", "share", days, meaning, answered)


def sessions(days: int) -> Iterator[Feature]:
    """Sessions by the shop's id, without one by breaks of more than 30 minutes; each is dated by its start."""
    count = in_window("sessions", days)
    yield Feature(f"sessions_{days}d", "sessions", days, "sessions begun", count)

    def per_session(name: str, unit: str, meaning: str, value: pl.Expr, parts: int = 1) -> Feature:
        words = f"{meaning}; null without a session"
        return Feature(f"{name}_{days}d", unit, days, words, ratio(value, count * parts))

    depth, time = in_window("session_events", days), in_window("session_time", days)
    yield per_session("session_depth", "events per session", "own events per session", depth)
    yield per_session("session_minutes", "minutes", "mean time from a session's first event to its last", time, MINUTE)
    single, buying = in_window("single_event_sessions", days), in_window("buying_sessions", days)
    yield per_session("bounce_share", "share", "sessions of a single event", single)
    yield per_session("buying_session_share", "share", "sessions with a purchase", buying)


def profile(days: int) -> Iterator[Feature]:
    """Activity by time of day and week."""
    own = in_window("own_events", days)
    for number, part in enumerate(PARTS_OF_DAY):
        meaning = f"own events from {6 * number} to {6 * number + 6} o'clock (UTC); null without one"
        yield Feature(f"{part}_share_{days}d", "share", days, meaning, ratio(in_window(f"{part}_events", days), own))
    meaning = "own events on Saturday or Sunday (UTC); null without one"
    weekend = ratio(in_window("weekend_events", days), own)
    yield Feature(f"weekend_event_share_{days}d", "share", days, meaning, weekend)
    meaning = "entropy of the weekdays (UTC) of orders; null without an order"
    yield Feature(f"weekday_entropy_{days}d", "nats", days, meaning, entropy("weekday", days))
    meaning = "orders on their most frequent weekday (UTC); null without an order"
    yield Feature(f"weekday_top_share_{days}d", "share", days, meaning, top_share("weekday", days))
