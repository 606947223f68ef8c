"""Activity features: what a user did in the last 7, 28, 84 and 364 days before an as-of, how regularly, and how lately.

Every sum runs over integers (pieces, whole days, microseconds, ten-thousandths of the currency), so its bits depend on
neither the order of rows nor the number of threads; floats appear only in the last step, one division per cell.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from everstay import tables as t
from everstay.features.orders import ORDER_KEY, order_day
from everstay.features.slices import known_before

WINDOWS = (7, 28, 84, 364)
TREND_WINDOWS = (28, 84)
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

_MONEY = 10_000  # parts of the currency that sums are exact in
_DAY = 86_400_000_000  # microseconds
_HOUR = 3_600_000_000
_LATE = 364  # days that habits (basket, weekday, hour) are taken from


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
    Feature(f"weekend_share_{_LATE}d", "share", _LATE, "orders on Saturday or Sunday (UTC); null without an order"),
    Feature(f"hour_mean_{_LATE}d", "hours", _LATE, "mean time of day (UTC) of orders; null without an order"),
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
    known = events.lazy().filter(known_before(as_of))
    lines = known.filter(pl.col(t.EVENT_TYPE) == t.PURCHASE)
    categories = items.lazy().select(t.ITEM_ID, t.CATEGORY)
    bought = lines.group_by(t.USER_ID, t.ITEM_ID).agg(pl.max(t.OCCURRED_AT)).filter(pl.col(t.ITEM_ID).is_not_null())
    categorised = bought.join(categories, on=t.ITEM_ID, how="inner").filter(pl.col(t.CATEGORY).is_not_null())
    by_category = categorised.group_by(t.USER_ID, t.CATEGORY).agg(pl.max(t.OCCURRED_AT))
    parts = (
        _order_sums(lines, as_of),
        _order_gaps(lines),
        _inside_counts(bought, "distinct_items", as_of),
        _inside_counts(by_category, "distinct_categories", as_of),
        _inside_counts(_active_days(known), "active_days", as_of),
    )
    table = _event_sums(known, as_of)
    for part in parts:
        table = table.join(part, on=t.USER_ID, how="left")
    return _finish(table, as_of).sort(t.USER_ID).collect()


def activity_slices(events: pl.DataFrame, items: pl.DataFrame, as_ofs: Sequence[datetime]) -> pl.DataFrame:
    """Stack `activity_features` of several as-ofs, in the order given."""
    return pl.concat([activity_features(events, items, as_of) for as_of in as_ofs])


def _inside(as_of: datetime, days: int) -> pl.Expr:
    """Whether an event (known before the as-of) lies in the last `days` days."""
    return pl.col(t.OCCURRED_AT) >= as_of - timedelta(days=days)


def _days_since(moment: pl.Expr, as_of: datetime) -> pl.Expr:
    return (pl.lit(as_of, t.TIME) - moment).dt.total_microseconds() / _DAY


def _money(column: str) -> pl.Expr:
    return (pl.col(column) * _MONEY).round().cast(pl.Int64)


def _event_sums(known: pl.LazyFrame, as_of: datetime) -> pl.LazyFrame:
    """One row per user: first event, and per counted type its last time and its number per window."""
    kind, moment = pl.col(t.EVENT_TYPE), pl.col(t.OCCURRED_AT)
    return known.group_by(t.USER_ID).agg(
        moment.min().alias("first_at"),
        moment.filter(kind != t.MESSAGE_SENT).max().alias("active_at"),
        *(moment.filter(kind == counted).max().alias(f"{word}_at") for counted, word in COUNTED),
        *(
            ((kind == counted) & _inside(as_of, days)).sum().alias(f"{word}_{days}d")
            for counted, word in COUNTED
            for days in WINDOWS
        ),
    )


def _order_sums(lines: pl.LazyFrame, as_of: datetime) -> pl.LazyFrame:
    """One row per user with a purchase: orders, money and pieces per window; an order lies where its first line is."""
    orders = (
        lines.with_columns(order_day())
        .group_by(ORDER_KEY)
        .agg(
            pl.min(t.OCCURRED_AT),
            _money(t.AMOUNT).sum().alias("spend"),
            _money(t.DISCOUNT).sum().alias("discount"),
            pl.col(t.QUANTITY).cast(pl.Int64).sum().alias("items"),
        )
    )
    moment = pl.col(t.OCCURRED_AT)
    late = _inside(as_of, _LATE)
    windows = sorted({*WINDOWS, *(2 * days for days in TREND_WINDOWS)})
    return orders.group_by(t.USER_ID).agg(
        moment.max().alias("last_order_at"),
        (late & (moment.dt.weekday() >= 6)).sum().alias("weekend_orders"),
        (moment.dt.epoch("us") % _DAY).filter(late).sum().alias("time_of_day"),
        *(_inside(as_of, days).sum().cast(pl.Int64).alias(f"orders_{days}d") for days in windows),
        *(
            pl.col(name).filter(_inside(as_of, days)).sum().alias(f"{name}_{days}d")
            for name in ("spend", "discount", "items")
            for days in windows
        ),
    )


def _order_gaps(lines: pl.LazyFrame) -> pl.LazyFrame:
    """One row per user with a purchase: whole days between successive days with an order, summed up exactly."""
    days = lines.select(t.USER_ID, pl.col(t.OCCURRED_AT).dt.epoch("d").cast(pl.Int64).alias("day")).unique()
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


def _active_days(known: pl.LazyFrame) -> pl.LazyFrame:
    """One row per user and UTC day with an event of the user's own: the last such event."""
    own = known.filter(pl.col(t.EVENT_TYPE) != t.MESSAGE_SENT)
    return own.group_by(t.USER_ID, pl.col(t.OCCURRED_AT).dt.date().alias("day")).agg(pl.max(t.OCCURRED_AT))


def _inside_counts(last_times: pl.LazyFrame, name: str, as_of: datetime) -> pl.LazyFrame:
    """Count per user the rows whose last event lies in each window: as many different things were touched in it."""
    counts = (_inside(as_of, days).sum().alias(f"{name}_{days}d") for days in WINDOWS)
    return last_times.group_by(t.USER_ID).agg(*counts)


def _finish(table: pl.LazyFrame, as_of: datetime) -> pl.LazyFrame:
    """Turn sums into features: zeros where nothing happened, money in currency, shares, trends and times since."""
    windows = sorted({*WINDOWS, *(2 * days for days in TREND_WINDOWS)})
    counted = [f"{name}_{days}d" for name in ("orders", "spend", "discount", "items") for days in windows]
    counted += [
        f"{name}_{days}d" for name in ("distinct_items", "distinct_categories", "active_days") for days in WINDOWS
    ]
    filled = table.with_columns(pl.col(counted).fill_null(0))
    shares = filled.with_columns(
        *(_shares(days) for days in WINDOWS),
        *(_basket(days) for days in WINDOWS),
        *(_trend(name, days) for name in ("orders", "spend") for days in TREND_WINDOWS),
        _days_since(pl.col("last_order_at"), as_of).alias("recency_days"),
        _days_since(pl.col("first_at"), as_of).alias("tenure_days"),
        _days_since(pl.col("active_at"), as_of).alias("inactive_days"),
        *(_days_since(pl.col(f"{word}_at"), as_of).alias(f"{word}_recency_days") for _, word in COUNTED),
        _ratio(pl.col("weekend_orders"), pl.col(f"orders_{_LATE}d")).alias(f"weekend_share_{_LATE}d"),
        _ratio(pl.col("time_of_day"), pl.col(f"orders_{_LATE}d") * _HOUR).alias(f"hour_mean_{_LATE}d"),
    )
    relative = shares.with_columns(
        *(pl.col(f"{name}_{days}d") / _MONEY for name in ("spend", "discount") for days in WINDOWS),
        (pl.col("recency_days") / pl.col("gap_mean_days")).alias("recency_to_mean_gap"),
        (pl.col("recency_days") / pl.col("gap_median_days")).alias("recency_to_median_gap"),
    )
    values = (pl.col(feature.name).cast(pl.Float64) for feature in FEATURES)
    return relative.select(t.USER_ID, pl.lit(as_of, t.TIME).alias(t.AS_OF), *values)


def _ratio(part: pl.Expr, whole: pl.Expr) -> pl.Expr:
    """Quotient, null where the divisor is zero."""
    return pl.when(whole != 0).then(part / whole)


def _shares(days: int) -> pl.Expr:
    discount, spend = pl.col(f"discount_{days}d"), pl.col(f"spend_{days}d")
    return _ratio(discount, spend + discount).alias(f"discount_share_{days}d")


def _basket(days: int) -> pl.Expr:
    return _ratio(pl.col(f"spend_{days}d"), pl.col(f"orders_{days}d") * _MONEY).alias(f"basket_{days}d")


def _trend(name: str, days: int) -> pl.Expr:
    recent, both = pl.col(f"{name}_{days}d"), pl.col(f"{name}_{2 * days}d")
    return _ratio(2 * recent - both, both).alias(f"{name}_trend_{days}d")
