"""Declarations: how a user buys: basket and price, discounts, variety and loyalty, returns, cadence, lifecycle."""

from collections.abc import Iterator

import polars as pl

from everstay.features.behaviour import entropy, top_share
from everstay.features.event_sums import FIRST
from everstay.features.feature import Feature, divide, in_window, ratio
from everstay.features.kernels import DAY
from everstay.features.ledger import MONEY
from everstay.features.order_sums import FIRST_ORDER, LAST_ORDER
from everstay.features.windowed import since

_GAP_MEAN, _GAP_STD, _GAP_LAST, _GAP_MAX = (pl.col(f"gap_{word}") for word in ("mean", "std", "last", "max"))

NEW_DAYS = 28
"""A user is new this long after the first order, and won back this long after coming back."""
AWAY_DAYS = 84
"""A gap as long as this is an absence."""
USUAL_DAYS, LEAST_USUAL_DAYS = 28, 7
"""The usual gap assumed for a user without one, and the least that is assumed for any."""
SLIPPING, LAPSED = 1.5, 3.0
"""Silences, in usual gaps, beyond which a user is slipping and has lapsed."""


def buying(days: int) -> Iterator[Feature]:
    """Basket, price and discounts."""
    orders, items, spend = (in_window(name, days) for name in ("orders", "items", "spend"))

    def feature(name: str, unit: str, meaning: str, value: pl.Expr) -> Feature:
        return Feature(f"{name}_{days}d", unit, days, meaning, value)

    yield feature("pieces_per_order", "pieces per order", "items / orders; null without an order", ratio(items, orders))
    yield feature(
        "piece_price", "currency per piece", "spend / items; null without a piece", ratio(spend, items * MONEY)
    )
    discounted, coupons = in_window("discounted_orders", days), in_window("coupons", days)
    meaning = "orders from which anything was taken off; null without an order"
    yield feature("discounted_order_share", "share", meaning, ratio(discounted, orders))
    yield feature(
        "coupons_per_order", "coupons per order", "coupons / orders; null without an order", ratio(coupons, orders)
    )
    meaning = "pieces returned / pieces bought; above 1 when what was bought before comes back; null without a piece"
    yield feature("return_ratio", "ratio", meaning, ratio(in_window("returned_pieces", days), items))
    distinct, repeats = in_window("distinct_items", days), in_window("repeat_items", days)
    meaning = "of the different items bought, those bought before the window as well; null without one"
    yield feature("repeat_item_share", "share", meaning, ratio(repeats, distinct))


def variety(days: int) -> Iterator[Feature]:
    """Spread over categories, and loyalty to one of them."""
    for word, plural in (("category", "categories"), ("brand", "brands")):
        meaning = f"entropy of the {plural} of purchase lines; null without one that has it"
        yield Feature(f"{word}_entropy_{days}d", "nats", days, meaning, entropy(word, days))
        meaning = f"purchase lines of the most frequent {word}; null without one that has it"
        yield Feature(f"{word}_top_share_{days}d", "share", days, meaning, top_share(word, days))


def basket_trend(days: int) -> Feature:
    """The mean order in a window compared with that in the one before."""
    recent = [in_window(name, days).cast(pl.Float64) for name in ("spend", "orders")]
    before = [in_window(name, 2 * days) - in_window(name, days) for name in ("spend", "orders")]
    one, other = recent[0] * before[1], before[0] * recent[1]  # both means times both numbers of orders
    meaning = "basket: (in the window - in the one before) / (sum of both); null without an order or spend in each"
    has_both = (recent[1] > 0) & (before[1] > 0)
    value = pl.when(has_both).then(ratio(one - other, one + other))
    return Feature(f"basket_trend_{days}d", "change", 2 * days, meaning, value)


def cadence() -> Iterator[Feature]:
    """The present silence compared with the user's own gaps."""
    recency = divide(pl.col(LAST_ORDER), DAY)
    yield since("first_order_days", FIRST_ORDER, "since the first order; null without an order")
    meaning = "from the first event to the first order; null without an order"
    until = divide(pl.col(FIRST) - pl.col(FIRST_ORDER), DAY)
    yield Feature("days_to_first_order", "days", None, meaning, until)
    meaning = "gap_std_days / gap_mean_days: 0 when the gaps are all equal; null below two gaps"
    yield Feature("gap_variation", "ratio", None, meaning, divide(_GAP_STD, _GAP_MEAN))
    meaning = "gap_last_days / gap_mean_days; null where that is"
    yield Feature("last_to_mean_gap", "ratio", None, meaning, divide(_GAP_LAST, _GAP_MEAN))
    meaning = "recency_days / gap_max_days: above 1 the user was never away so long; null without a gap"
    yield Feature("recency_to_max_gap", "ratio", None, meaning, divide(recency, _GAP_MAX))
    meaning = "(recency_days - gap_mean_days) / gap_std_days; null below two gaps or where all are equal"
    overdue = ratio(recency - _GAP_MEAN, _GAP_STD)
    yield Feature("overdue", "standard deviations", None, meaning, overdue)


def lifecycle() -> Feature:
    """Where a user stands, by their own cadence."""
    recency = divide(pl.col(LAST_ORDER), DAY)
    usual = pl.max_horizontal(_GAP_MEAN.fill_null(float(USUAL_DAYS)), pl.lit(float(LEAST_USUAL_DAYS)))
    is_recent = recency < NEW_DAYS
    state = (
        pl.when(pl.col(LAST_ORDER).is_null()).then(0)
        .when(divide(pl.col(FIRST_ORDER), DAY) < NEW_DAYS).then(1)
        .when((_GAP_LAST >= AWAY_DAYS) & is_recent).then(5)
        .when(recency <= SLIPPING * usual).then(2)
        .when(recency <= LAPSED * usual).then(3)
        .otherwise(4)
    )  # fmt: skip
    meaning = (
        f"0 no order yet, 1 new (first order less than {NEW_DAYS} days ago), 2 active, 3 slipping (silent for more "
        f"than {SLIPPING:g} usual gaps), 4 lapsed (more than {LAPSED:g}), 5 won back (an order less than {NEW_DAYS} "
        f"days ago after {AWAY_DAYS} days or more without); the usual gap is gap_mean_days, at least "
        f"{LEAST_USUAL_DAYS}, {USUAL_DAYS} where that is null"
    )
    return Feature("lifecycle_state", "state", None, meaning, state)
