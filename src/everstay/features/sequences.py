"""User histories as sequences: day tokens for the churn network, purchases and next baskets for the recommender."""

from collections.abc import Mapping
from datetime import datetime, timedelta

import polars as pl

from everstay import tables as t
from everstay.errors import NotReady
from everstay.features.feature import divide, ratio
from everstay.features.kernels import DAY
from everstay.features.ledger import HOUR, MONEY
from everstay.features.orders import ORDER_DAY, ORDER_KEY, net_purchases, order_day
from everstay.features.ratings import RATED_ITEM, RATED_VALUE, RATING_COLUMNS
from everstay.features.slices import known_before

TOKEN_TYPE = "token_type"
TOKEN_DAYS_AGO = "token_days_ago"
TOKEN_COUNT = "token_count"
TOKEN_AMOUNT = "token_amount"
TOKEN_DISCOUNT = "token_discount"
TOKEN_ITEMS = "token_items"
TOKEN_HOUR = "token_hour"
TOKEN_COLUMNS = (
    t.USER_ID, t.ITEM_ID, t.EVENT_TYPE, t.OCCURRED_AT, t.RECORDED_AT, t.AMOUNT, t.DISCOUNT,
)  # fmt: skip
"""The columns of `tables.EVENTS` that `day_tokens` reads."""

_HISTORY_COLUMNS = (
    t.USER_ID, t.ITEM_ID, t.EVENT_TYPE, t.ORDER_ID, t.OCCURRED_AT, t.RECORDED_AT, t.QUANTITY, t.AMOUNT, t.DISCOUNT,
)  # fmt: skip

HISTORY_ITEM = "history_item"
HISTORY_DAYS_AGO = "history_days_ago"
HISTORY_ORDER = "history_order"
HISTORY_PRICE = "history_price"
HISTORY_DISCOUNT = "history_discount"
TARGET_ITEM = "target_item"

LIST_DTYPES: Mapping[str, pl.List] = {
    **dict.fromkeys((TOKEN_TYPE, HISTORY_ITEM, TARGET_ITEM, RATED_ITEM), pl.List(pl.String)),
    **dict.fromkeys((TOKEN_DAYS_AGO, TOKEN_COUNT, TOKEN_AMOUNT, TOKEN_ITEMS), pl.List(pl.Float32)),
    **dict.fromkeys((TOKEN_DISCOUNT, TOKEN_HOUR, HISTORY_DAYS_AGO), pl.List(pl.Float32)),
    **dict.fromkeys((HISTORY_PRICE, HISTORY_DISCOUNT, RATED_VALUE), pl.List(pl.Float32)),
    HISTORY_ORDER: pl.List(pl.UInt32),
}
"""Types of all list columns: values do not show them when every list is null or empty."""


def day_tokens(events: pl.DataFrame, as_of: datetime, max_tokens: int) -> pl.DataFrame:
    """Sum up what each user did into one token per UTC day and event type.

    Args:
        events: `tables.EVENTS` of one bucket, in any row order.
        as_of: a midnight UTC; only what is known before it counts.
        max_tokens: number of latest tokens kept per user.

    Returns:
        One row for every user with an event before the as-of, sorted by user: `USER_ID`, `AS_OF` and list columns of
        equal length, oldest token first, within a day by event type: `token_type` (String) and, as Float32,
        `token_days_ago` (from the start of the token's day: yesterday is 1), `token_count` (events), `token_amount`,
        `token_discount` (currency), `token_items` (distinct items), `token_hour` (mean time of day, UTC).
    """
    moment = pl.col(t.OCCURRED_AT)
    tokens = (
        events.lazy()
        .filter(known_before(as_of))
        .group_by(t.USER_ID, moment.dt.truncate("1d").alias("day"), pl.col(t.EVENT_TYPE).alias(TOKEN_TYPE))
        .agg(
            pl.len().cast(pl.Float32).alias(TOKEN_COUNT),
            _money(t.AMOUNT).alias(TOKEN_AMOUNT),
            pl.col(t.ITEM_ID).drop_nulls().n_unique().cast(pl.Float32).alias(TOKEN_ITEMS),
            _money(t.DISCOUNT).alias(TOKEN_DISCOUNT),
            ((moment.dt.epoch("us") % DAY).sum() / (pl.len().cast(pl.Int64) * HOUR)).cast(pl.Float32).alias(TOKEN_HOUR),
        )
        .sort(t.USER_ID, "day", TOKEN_TYPE)
        .with_columns(
            _days_ago("day", as_of).alias(TOKEN_DAYS_AGO),
            *(divide(pl.col(name), MONEY).cast(pl.Float32) for name in (TOKEN_AMOUNT, TOKEN_DISCOUNT)),
        )
    )
    columns = (TOKEN_TYPE, TOKEN_DAYS_AGO, TOKEN_COUNT, TOKEN_AMOUNT, TOKEN_ITEMS, TOKEN_DISCOUNT, TOKEN_HOUR)
    lists = (pl.col(name).tail(max_tokens) for name in columns)
    return _listed(tokens.group_by(t.USER_ID, maintain_order=True).agg(*lists), columns, as_of).collect()


def history_columns(*, with_ratings: bool = False) -> tuple[str, ...]:
    """The columns of `tables.EVENTS` that `purchase_history` and `next_basket` read, and `latest_ratings` if asked."""
    return tuple(dict.fromkeys((*_HISTORY_COLUMNS, *RATING_COLUMNS))) if with_ratings else _HISTORY_COLUMNS


def purchase_history(events: pl.DataFrame, as_of: datetime) -> pl.DataFrame:
    """List each user's net purchases before `as_of`: one entry per order and item, the whole history.

    Args:
        events: `tables.EVENTS` of one bucket, in any row order.
        as_of: a midnight UTC; only what is known before it counts, returns included.

    Returns:
        One row for every user with a net purchase of an item, sorted by user: `USER_ID`, `AS_OF` and list columns of
        equal length, oldest order first, within an order by item: `history_item` (String), `history_days_ago`
        (Float32, since the order's first line), `history_order` (UInt32, 0 = most recent order), `history_price`
        (Float32, unit price before discounts, 0: free) and `history_discount` (Float32, the share
        of that price that was taken off).
    """
    lines = _order_lines(net_purchases(events.filter(known_before(as_of)))).sort(
        t.USER_ID, t.OCCURRED_AT, t.ORDER_ID, ORDER_DAY, t.ITEM_ID
    )
    is_new = pl.struct(t.ORDER_ID, ORDER_DAY).rle_id()
    entries = lines.with_columns(_days_ago(t.OCCURRED_AT, as_of).alias(HISTORY_DAYS_AGO), is_new.alias("order"))
    columns = (HISTORY_ITEM, HISTORY_DAYS_AGO, HISTORY_ORDER, HISTORY_PRICE, HISTORY_DISCOUNT)
    asked = pl.col(t.AMOUNT) + pl.col(t.DISCOUNT)
    history = entries.group_by(t.USER_ID, maintain_order=True).agg(
        pl.col(t.ITEM_ID).alias(HISTORY_ITEM),
        pl.col(HISTORY_DAYS_AGO),
        (pl.col("order").last() - pl.col("order")).alias(HISTORY_ORDER),
        ratio(divide(asked, MONEY), pl.col(t.QUANTITY)).fill_null(0).cast(pl.Float32).alias(HISTORY_PRICE),
        ratio(pl.col(t.DISCOUNT), asked).fill_null(0).cast(pl.Float32).alias(HISTORY_DISCOUNT),
    )
    return _listed(history, columns, as_of).collect()


def next_basket(events: pl.DataFrame, as_of: datetime, horizon_days: int, known_at: datetime) -> pl.DataFrame:
    """Find what each user bought next: the items of the first net order that begins in `[as_of, as_of + horizon)`.

    Args:
        events: `tables.EVENTS` of one bucket, in any row order.
        as_of: a midnight UTC.
        horizon_days: a later order is not a next basket.
        known_at: what was not recorded before this counts as unknown, returns included.

    Returns:
        One row for every user with such an order, sorted by user: `USER_ID`, `AS_OF`, `target_item` (list of String,
        distinct items, sorted).

    Raises:
        NotReady: the horizon has not passed at `known_at`.
    """
    end = as_of + timedelta(days=horizon_days)
    if end > known_at:
        raise NotReady(
            f"next baskets of {as_of:%Y-%m-%d} are known at {end}, but the log ends at {known_at}: "
            "set an earlier as_of, or shorten horizon_days in [recommender]"
        )
    lines = _order_lines(net_purchases(events.filter(known_before(known_at))))
    window = lines.filter(pl.col(t.OCCURRED_AT).is_between(as_of, end, closed="left"))
    order = pl.struct(t.OCCURRED_AT, t.ORDER_ID, ORDER_DAY)
    first = window.sort(t.USER_ID, t.OCCURRED_AT, t.ORDER_ID, ORDER_DAY, t.ITEM_ID).filter(
        order.rle_id().over(t.USER_ID) == 0
    )
    baskets = first.group_by(t.USER_ID, maintain_order=True).agg(pl.col(t.ITEM_ID).alias(TARGET_ITEM))
    return _listed(baskets, (TARGET_ITEM,), as_of).collect()


def _order_lines(purchases: pl.DataFrame) -> pl.LazyFrame:
    """One row per order and item: pieces, money in integer units of 1 / `MONEY`, and the order's first line as time.

    Lines without item are left out.
    """
    lines = purchases.lazy().filter(pl.col(t.ITEM_ID).is_not_null()).with_columns(order_day())
    pieces = pl.col(t.QUANTITY).cast(pl.Int64).sum()
    money = (_money(name) for name in (t.AMOUNT, t.DISCOUNT))
    grouped = lines.group_by(*ORDER_KEY, t.ITEM_ID).agg(pieces, *money, pl.min(t.OCCURRED_AT))
    return grouped.with_columns(pl.col(t.OCCURRED_AT).min().over(ORDER_KEY))


def _money(column: str) -> pl.Expr:
    """Sum over integers, whose bits do not depend on the order of rows."""
    return (pl.col(column) * MONEY).round().cast(pl.Int64).sum()


def _days_ago(moment: str, as_of: datetime) -> pl.Expr:
    return divide((pl.lit(as_of, t.TIME) - pl.col(moment)).dt.total_microseconds(), DAY).cast(pl.Float32)


def _listed(table: pl.LazyFrame, columns: tuple[str, ...], as_of: datetime) -> pl.LazyFrame:
    return table.select(t.USER_ID, pl.lit(as_of, t.TIME).alias(t.AS_OF), *columns)
