"""What activity features are divided from: exact integer sums, counts and last times of one bucket's users.

Every sum runs over integers (pieces, whole days, microseconds, ten-thousandths of the currency), so its bits depend on
neither the order of rows nor the number of threads.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from everstay import tables as t
from everstay.features.orders import ORDER_DAY, ORDER_KEY, order_day
from everstay.features.slices import known_before

WINDOWS = (7, 28, 84, 364)
TREND_WINDOWS = (28, 84)
ORDER_WINDOWS = tuple(sorted({*WINDOWS, *(2 * days for days in TREND_WINDOWS)}))
HABIT_DAYS = 364  # the window that weekday and hour are taken from
COUNTED = (
    (t.VIEW, "views"),
    (t.CLICK, "clicks"),
    (t.SEARCH, "searches"),
    (t.CART, "carts"),
    (t.COUPON_REDEEMED, "coupons"),
    (t.RETURN, "returns"),
    (t.MESSAGE_OPENED, "messages_opened"),
)
"""Event types that are counted as such, and the word for them in feature names."""
MONEY = 10_000  # parts of the currency that sums are exact in
DAY = 86_400_000_000  # microseconds
HOUR = 3_600_000_000

_COUNT = "count"
_SUMS = ("spend", "discount", "items")
_THING = "thing"


@dataclass(frozen=True)
class Ledger:
    """One bucket's events, condensed once for any number of as-ofs; what was known when can still be told.

    Attributes:
        moments: one row per user, event type, order and time (occurred and recorded): number of events, sums.
        items: one row per user, item and time of purchase, sorted by these.
        categories: the same for the items' categories.
    """

    moments: pl.LazyFrame
    items: pl.LazyFrame
    categories: pl.LazyFrame


def condense(events: pl.DataFrame, items: pl.DataFrame) -> Ledger:
    """Build the ledger from `tables.EVENTS` and `tables.ITEMS`; users and order ids become categoricals."""
    named = (t.USER_ID, t.ORDER_ID, t.EVENT_TYPE)
    times = (t.OCCURRED_AT, t.RECORDED_AT)
    lines = events.lazy().select(pl.col(*named).cast(pl.Categorical), *times, t.AMOUNT, t.DISCOUNT, t.QUANTITY)
    moments = (
        lines.with_columns(order_day())
        .group_by(*named, ORDER_DAY, *times)
        .agg(
            pl.len().cast(pl.Int64).alias(_COUNT),
            (pl.col(t.AMOUNT) * MONEY).round().cast(pl.Int64).sum().alias("spend"),
            (pl.col(t.DISCOUNT) * MONEY).round().cast(pl.Int64).sum().alias("discount"),
            pl.col(t.QUANTITY).cast(pl.Int64).sum().alias("items"),
        )
    )
    purchases = events.lazy().filter(pl.col(t.EVENT_TYPE) == t.PURCHASE)
    bought = purchases.select(pl.col(t.USER_ID).cast(pl.Categorical), t.ITEM_ID, *times)
    categorised = bought.join(items.lazy().select(t.ITEM_ID, t.CATEGORY), on=t.ITEM_ID, how="left")
    frames = pl.collect_all([moments, _sorted_things(bought, t.ITEM_ID), _sorted_things(categorised, t.CATEGORY)])
    return Ledger(*(frame.lazy() for frame in frames))


def _sorted_things(bought: pl.LazyFrame, thing: str) -> pl.LazyFrame:
    """Different (user, thing, times), users and things in any order but together, times ascending."""
    code = pl.col(thing).cast(pl.Categorical).to_physical().alias(_THING)
    rows = bought.filter(pl.col(thing).is_not_null()).select(t.USER_ID, code, t.OCCURRED_AT, t.RECORDED_AT).unique()
    return rows.sort(pl.col(t.USER_ID).to_physical(), _THING, t.OCCURRED_AT)


def user_sums(ledger: Ledger, as_of: datetime) -> pl.LazyFrame:
    """One row for every user with an event before `as_of`, with the counts and sums of all windows; null for none."""
    known = ledger.moments.filter(known_before(as_of))
    is_own = pl.col(t.EVENT_TYPE) != t.MESSAGE_SENT
    day = pl.col(t.OCCURRED_AT).dt.date().alias("day")
    active_days = known.filter(is_own).group_by(t.USER_ID, day).agg(pl.max(t.OCCURRED_AT))
    orders = _orders(known)
    table = _event_sums(known, as_of)
    for part in (
        _order_sums(orders, as_of),
        _order_gaps(orders),
        _window_counts(active_days, "active_days", as_of),
        _window_counts(_last_times(ledger.items, as_of), "distinct_items", as_of),
        _window_counts(_last_times(ledger.categories, as_of), "distinct_categories", as_of),
    ):
        table = table.join(part, on=t.USER_ID, how="left")
    return table


def _inside(as_of: datetime, days: int) -> pl.Expr:
    """Whether an event (known before the as-of) lies in the last `days` days."""
    return pl.col(t.OCCURRED_AT) >= as_of - timedelta(days=days)


def _event_sums(known: pl.LazyFrame, as_of: datetime) -> pl.LazyFrame:
    """One row per user: first event, and per counted type its last time and its number per window."""
    kind, moment = pl.col(t.EVENT_TYPE), pl.col(t.OCCURRED_AT)
    return known.group_by(t.USER_ID).agg(
        moment.min().alias("first_at"),
        moment.filter(kind != t.MESSAGE_SENT).max().alias("active_at"),
        *(moment.filter(kind == counted).max().alias(f"{word}_at") for counted, word in COUNTED),
        *(
            pl.col(_COUNT).filter((kind == counted) & _inside(as_of, days)).sum().alias(f"{word}_{days}d")
            for counted, word in COUNTED
            for days in WINDOWS
        ),
    )


def _orders(known: pl.LazyFrame) -> pl.LazyFrame:
    """One row per order: its first line's time, money and pieces."""
    purchases = known.filter(pl.col(t.EVENT_TYPE) == t.PURCHASE)
    return purchases.group_by(ORDER_KEY).agg(pl.min(t.OCCURRED_AT), pl.col(_SUMS).sum())


def _order_sums(orders: pl.LazyFrame, as_of: datetime) -> pl.LazyFrame:
    """One row per user with an order: orders, money and pieces per window, and the habits' sums."""
    moment, is_late = pl.col(t.OCCURRED_AT), _inside(as_of, HABIT_DAYS)
    return orders.group_by(t.USER_ID).agg(
        moment.max().alias("last_order_at"),
        (is_late & (moment.dt.weekday() >= 6)).sum().alias("weekend_orders"),
        (moment.dt.epoch("us") % DAY).filter(is_late).sum().alias("time_of_day"),
        *(_inside(as_of, days).sum().cast(pl.Int64).alias(f"orders_{days}d") for days in ORDER_WINDOWS),
        *(
            pl.col(name).filter(_inside(as_of, days)).sum().alias(f"{name}_{days}d")
            for name in _SUMS
            for days in ORDER_WINDOWS
        ),
    )


def _order_gaps(orders: pl.LazyFrame) -> pl.LazyFrame:
    """One row per user with an order: the whole days between successive days with an order."""
    days = orders.select(t.USER_ID, pl.col(t.OCCURRED_AT).dt.epoch("d").cast(pl.Int64).alias("day")).unique()
    gap = pl.col("gap")
    count, total, squares = gap.count().cast(pl.Int64), gap.sum(), (gap * gap).sum()
    variance = (count * squares - total * total) / (count * (count - 1))
    return (
        days.sort(t.USER_ID, "day")
        .with_columns(pl.col("day").diff().over(t.USER_ID).alias("gap"))
        .group_by(t.USER_ID, maintain_order=True)
        .agg(
            pl.when(count > 0).then(total / count).alias("gap_mean_days"),
            gap.median().alias("gap_median_days"),
            pl.when(count > 1).then(variance.sqrt()).alias("gap_std_days"),
            gap.last().alias("gap_last_days"),
            gap.max().alias("gap_max_days"),
        )
    )


def _last_times(things: pl.LazyFrame, as_of: datetime) -> pl.LazyFrame:
    """One row per user and thing bought before `as_of`: the last time, which is the last row of its run."""
    is_last = pl.any_horizontal(pl.col(name).ne_missing(pl.col(name).shift(-1)) for name in (t.USER_ID, _THING))
    return things.filter(known_before(as_of)).filter(is_last)


def _window_counts(last_times: pl.LazyFrame, name: str, as_of: datetime) -> pl.LazyFrame:
    """Count per user the rows whose time lies in each window: as many different things were touched in it."""
    counts = (_inside(as_of, days).sum().alias(f"{name}_{days}d") for days in WINDOWS)
    return last_times.group_by(t.USER_ID).agg(*counts)
