"""What activity features are divided from: exact integer sums, counts and last times of one bucket's users.

Every sum runs over integers (pieces, whole days, microseconds, ten-thousandths of the currency), so its bits depend on
neither the order of rows nor the number of threads.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

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
_AGE = "age"  # microseconds from the event to the as-of
_DAY_NUMBER = "day"
_GAP = "gap"


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
    """One row for every user with an event before `as_of`: counts and sums per window, ages in microseconds.

    A count or sum is null where the user has no such event at all.
    """
    moments, items, categories = (
        part.filter(known_before(as_of)).with_columns(_age(as_of))
        for part in (ledger.moments, ledger.items, ledger.categories)
    )
    orders = moments.filter(pl.col(t.EVENT_TYPE) == t.PURCHASE).group_by(ORDER_KEY).agg(*_ORDER)
    days = orders.select(t.USER_ID, _day().alias(_DAY_NUMBER)).unique().sort(t.USER_ID, _DAY_NUMBER)
    gaps = days.with_columns(pl.col(_DAY_NUMBER).diff().over(t.USER_ID).alias(_GAP))
    own_days = moments.filter(_is_own()).group_by(t.USER_ID, _day()).agg(pl.min(_AGE))
    table = moments.group_by(t.USER_ID).agg(*_EVENT_SUMS)
    for part, sums in (
        (orders, _ORDER_SUMS),
        (gaps, _GAP_SUMS),
        (own_days, _DISTINCT["active_days"]),
        (items.filter(_is_last_of_thing()), _DISTINCT["distinct_items"]),
        (categories.filter(_is_last_of_thing()), _DISTINCT["distinct_categories"]),
    ):
        table = table.join(part.group_by(t.USER_ID).agg(*sums), on=t.USER_ID, how="left")
    return table


def _age(as_of: datetime) -> pl.Expr:
    return (pl.lit(as_of, t.TIME) - pl.col(t.OCCURRED_AT)).dt.total_microseconds().alias(_AGE)


def _inside(days: int) -> pl.Expr:
    """Whether an event lies in the last `days` days before the as-of."""
    return pl.col(_AGE) <= days * DAY


def _is_own() -> pl.Expr:
    """Whether the user did it; a message sent to them is not their doing."""
    return pl.col(t.EVENT_TYPE) != t.MESSAGE_SENT


def _day() -> pl.Expr:
    return pl.col(t.OCCURRED_AT).dt.epoch("d").cast(pl.Int64)


def _is_last_of_thing() -> pl.Expr:
    """Whether a row is the last of its run of one user and thing, which is the last time the thing was bought."""
    return pl.any_horizontal(pl.col(name).ne_missing(pl.col(name).shift(-1)) for name in (t.USER_ID, _THING))


def _event_sums() -> Iterator[pl.Expr]:
    """Per user: ages of the first and last event; per counted type the age of the last, and the number per window."""
    yield pl.max(_AGE).alias("first_age")
    yield pl.col(_AGE).filter(_is_own()).min().alias("active_age")
    for kind, word in COUNTED:
        is_kind = pl.col(t.EVENT_TYPE) == kind
        yield pl.col(_AGE).filter(is_kind).min().alias(f"{word}_age")
        for days in WINDOWS:
            yield pl.col(_COUNT).filter(is_kind & _inside(days)).sum().alias(f"{word}_{days}d")


def _order_sums() -> Iterator[pl.Expr]:
    """Per user with an order: age of the last one, orders, money and pieces per window, and the habits' sums."""
    moment, is_late = pl.col(t.OCCURRED_AT), _inside(HABIT_DAYS)
    yield pl.min(_AGE).alias("last_order_age")
    yield (is_late & (moment.dt.weekday() >= 6)).sum().cast(pl.Int64).alias("weekend_orders")
    yield (moment.dt.epoch("us") % DAY).filter(is_late).sum().alias("time_of_day")
    for days in ORDER_WINDOWS:
        yield _inside(days).sum().cast(pl.Int64).alias(f"orders_{days}d")
        yield from (pl.col(name).filter(_inside(days)).sum().alias(f"{name}_{days}d") for name in _SUMS)


def _gap_sums() -> Iterator[pl.Expr]:
    """Per user with an order: the whole days between successive days with an order."""
    gap = pl.col(_GAP)
    count, total, squares = gap.count().cast(pl.Int64), gap.sum(), (gap * gap).sum()
    variance = (count * squares - total * total) / (count * (count - 1))
    yield pl.when(count > 0).then(total / count).alias("gap_mean_days")
    yield gap.median().alias("gap_median_days")
    yield pl.when(count > 1).then(variance.sqrt()).alias("gap_std_days")
    yield gap.last().alias("gap_last_days")
    yield gap.max().alias("gap_max_days")


# An order lies where its first line is. Expressions are built once: building them takes longer than a small bucket.
_ORDER = (pl.min(t.OCCURRED_AT), pl.max(_AGE), pl.col(_SUMS).sum())
_EVENT_SUMS, _ORDER_SUMS, _GAP_SUMS = tuple(_event_sums()), tuple(_order_sums()), tuple(_gap_sums())
_DISTINCT = {
    name: tuple(_inside(days).sum().alias(f"{name}_{days}d") for days in WINDOWS)
    for name in ("active_days", "distinct_items", "distinct_categories")
}


def exactly(number: pl.Expr, divisor: int) -> pl.Expr:
    """Integer `number / divisor`, rounded once.

    Polars divides a column by a constant through the constant's reciprocal unless the column has one row: other bits
    in a bucket of one user than in a bucket of two. A divisor that varies in form, but not in value, has no reciprocal.
    """
    return number / (number * 0 + divisor)
