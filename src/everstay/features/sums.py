"""What features are divided from: exact integer sums, counts and times of one bucket's users at many as-ofs.

Sums run over integers (pieces, whole days, microseconds, ten-thousandths of the currency), so their bits depend on
neither the order of rows nor the number of threads. Only what is asked for is computed, and only the columns that it
needs are read. A name ends in its window: `views_28d`.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from everstay import tables as t
from everstay.features import kernels
from everstay.features.kernels import Days
from everstay.features.ledger import Ledger
from everstay.features.order_rows import PURCHASED, order_rows

COUNTED: Mapping[str, str] = {
    "views": t.VIEW,
    "clicks": t.CLICK,
    "searches": t.SEARCH,
    "carts": t.CART,
    "coupons": t.COUPON_REDEEMED,
    "returns": t.RETURN,
    "messages_opened": t.MESSAGE_OPENED,
    "purchases": t.PURCHASE,
}
"""Word for events of a type in names, and the type."""
GAPS = ("gap_mean", "gap_median", "gap_std", "gap_last", "gap_max")
FIRST, ACTIVE, LAST_ORDER = "first_age", "active_age", "last_order_age"

_ORDER_SUMS = {
    "orders": "one",
    "spend": "spend",
    "discount": "discount",
    "items": "items",
    "weekend_orders": "is_weekend",
    "time_of_day": "time_of_day",
}
_DISTINCT = ("active_days", "distinct_items", "distinct_categories", "distinct_items_seen")
_WINDOW = re.compile(r"(.+)_(\d+)d")
_MONEY_COLUMNS = (t.AMOUNT, t.DISCOUNT, t.QUANTITY, t.ORDER_ID)

Columns = Iterator[tuple[str, NDArray[np.generic]]]


def event_columns(names: Collection[str]) -> list[str]:
    """The columns of `tables.EVENTS` that the sums `names` are made of."""
    bases = {_split(name)[0] for name in names}
    columns = [t.USER_ID, t.EVENT_TYPE, t.OCCURRED_AT, t.RECORDED_AT]
    if bases.intersection({*_ORDER_SUMS, *GAPS, LAST_ORDER}):
        columns += _MONEY_COLUMNS
    if bases.intersection(_DISTINCT[1:]):
        columns.append(t.ITEM_ID)
    return columns


def longest_window(names: Collection[str]) -> int:
    """The longest window in `names`, in days."""
    return max((_split(name)[1] for name in names), default=0)


def user_sums(ledger: Ledger, items: pl.DataFrame, names: Collection[str]) -> pl.DataFrame:
    """Compute the sums `names` of every user at every as-of of the ledger's calendar.

    Args:
        ledger: of one bucket.
        items: `tables.ITEMS`; an item that is not there has no category.
        names: counts and sums with their window, and ages in microseconds.

    Returns:
        One row for every as-of and user with an event known by then, as-ofs first: `USER_ID`, `AS_OF`, then `names`;
        an age or gap is null where there is nothing to take it from.
    """
    wanted = {FIRST, *names}
    blocks = (_event_counts, _distinct_counts, _order_sums, _ages)
    arrays = {name: array for block in blocks for name, array in block(ledger, items, wanted)}
    as_ofs = ledger.calendar.as_ofs
    frame = pl.DataFrame({name: pl.Series(array.reshape(-1), nan_to_null=True) for name, array in arrays.items()})
    keys = pl.DataFrame({t.AS_OF: pl.Series(as_ofs, dtype=t.TIME)}).join(ledger.users.to_frame(), how="cross")
    ages = [name for name in arrays if name.endswith("_age")]
    known = pl.col(FIRST) != kernels.NEVER
    rows = pl.concat([keys, frame], how="horizontal").lazy().filter(known)
    age = (pl.col(t.AS_OF).to_physical() - pl.col(name) for name in ages)
    is_some = (pl.col(name) != kernels.NEVER for name in ages)
    with_ages = [pl.when(some).then(value).alias(name) for name, some, value in zip(ages, is_some, age, strict=True)]
    return rows.with_columns(with_ages).select(t.USER_ID, t.AS_OF, *sorted(wanted)).collect()


def _event_counts(ledger: Ledger, items: pl.DataFrame, names: Collection[str]) -> Columns:  # noqa: ARG001
    words, windows = _asked(names, COUNTED)
    if not words:
        return
    table = np.full(len(t.EVENT_TYPES) + 1, -1, np.int8)  # its last cell is for any other type
    for number, word in enumerate(words):
        table[t.EVENT_TYPES.index(COUNTED[word])] = number
    sums = _zeros(ledger, len(words), len(windows))
    value = np.ones(len(ledger.day), np.int64)
    always = np.full(len(ledger.day), ledger.calendar.never, np.int32)
    kernels.window_sums(
        ledger.starts, table[ledger.kind], value, ledger.day, ledger.begin, always,
        ledger.calendar.table, windows, sums,
    )  # fmt: skip
    yield from _windowed(words, windows, sums)


def _distinct_counts(ledger: Ledger, items: pl.DataFrame, names: Collection[str]) -> Columns:
    words, windows = _asked(names, _DISTINCT)
    for word in words:
        code, codes = _codes_of(word, ledger, items)
        counts = _zeros(ledger, 1, len(windows))
        kernels.window_distinct(
            ledger.starts, code, codes, ledger.day, ledger.begin, ledger.calendar.table, windows, counts[0]
        )
        yield from _windowed([word], windows, counts)


def _codes_of(word: str, ledger: Ledger, items: pl.DataFrame) -> tuple[Days, int]:
    """What is counted: (N,) codes, negative where a row does not count, and how many codes there are."""
    if word == "active_days":
        return np.where(_is_own(ledger), ledger.day, -1).astype(np.int32), len(ledger.calendar.table)
    item, names = ledger.codes(t.ITEM_ID)
    if word == "distinct_items_seen":
        return item, len(names)
    bought = np.where(ledger.kind == PURCHASED, item, -1).astype(np.int32)
    if word == "distinct_items":
        return bought, len(names)
    known = items.select(t.ITEM_ID, pl.col(t.CATEGORY).rank("dense").cast(pl.Int32) - 1)
    category = (
        names.alias(t.ITEM_ID).cast(pl.String).to_frame().join(known, on=t.ITEM_ID, how="left", maintain_order="left")
    )
    table = np.append(category[t.CATEGORY].fill_null(-1).to_numpy(), np.int32(-1)).astype(np.int32)
    return table[bought], int(table.max(initial=-1)) + 1


def _order_sums(ledger: Ledger, items: pl.DataFrame, names: Collection[str]) -> Columns:  # noqa: ARG001
    words, windows = _asked(names, _ORDER_SUMS)
    gaps = [name for name in GAPS if name in names]
    if not (words or gaps or LAST_ORDER in names):
        return
    orders, calendar = order_rows(ledger), ledger.calendar.table
    for word in words:
        sums = _zeros(ledger, 1, len(windows))
        value = getattr(orders, _ORDER_SUMS[word])
        kernels.window_sums(
            orders.starts, orders.kind, value, orders.day, orders.begin, orders.end, calendar, windows, sums
        )
        yield from _windowed([word], windows, sums)
    described = np.full((6, len(ledger.calendar.as_ofs), len(ledger.users)), np.nan)
    if gaps or LAST_ORDER in names:
        kernels.gaps(orders.starts, orders.moment, orders.day, orders.begin, orders.end, calendar, described)
    yield from ((name, described[GAPS.index(name)]) for name in gaps)
    if LAST_ORDER in names:
        last = described[5]
        yield LAST_ORDER, np.where(np.isnan(last), kernels.NEVER, np.nan_to_num(last)).astype(np.int64)


def _ages(ledger: Ledger, items: pl.DataFrame, names: Collection[str]) -> Columns:  # noqa: ARG001
    """Moments of the first event, the last of the user's own, and the last of each counted type; not ages yet."""
    everything = np.zeros(len(ledger.day), np.int8)
    yield FIRST, _negated(_latest(ledger, everything, -ledger.moment))
    if ACTIVE in names:
        yield ACTIVE, _latest(ledger, np.where(_is_own(ledger), 0, -1).astype(np.int8), ledger.moment)
    for word, kind in COUNTED.items():
        if f"{word}_age" in names:
            is_kind = ledger.kind == t.EVENT_TYPES.index(kind)
            yield f"{word}_age", _latest(ledger, np.where(is_kind, 0, -1).astype(np.int8), ledger.moment)


def _latest(ledger: Ledger, kind: NDArray[np.int8], moment: kernels.Ints) -> kernels.Ints:
    shape = (1, len(ledger.calendar.as_ofs), len(ledger.users))
    result = np.full(shape, kernels.NEVER)
    kernels.latest(ledger.starts, kind, moment, ledger.begin, ledger.calendar.table, result)
    return result[0]


def _negated(moments: kernels.Ints) -> kernels.Ints:
    return np.where(moments == kernels.NEVER, kernels.NEVER, -moments)


def _is_own(ledger: Ledger) -> NDArray[np.bool_]:
    """Whether the user did it; a message sent to them is not their doing."""
    return ledger.kind != t.EVENT_TYPES.index(t.MESSAGE_SENT)


def _asked(names: Collection[str], words: Collection[str]) -> tuple[list[str], Days]:
    """Which of `words` are asked for in `names`, and all the windows in which any of them is."""
    pairs = [_split(name) for name in names]
    asked = {base: days for base, days in pairs if base in words and days}
    windows = sorted({days for base, days in pairs if base in asked and days})
    return [word for word in words if word in asked], np.array(windows, np.int32)


def _windowed(words: Sequence[str], windows: Days, sums: kernels.Ints) -> Columns:
    for number, word in enumerate(words):
        yield from ((f"{word}_{days}d", sums[number, place]) for place, days in enumerate(windows))


def _zeros(ledger: Ledger, kinds: int, windows: int) -> kernels.Ints:
    return np.zeros((kinds, windows, len(ledger.calendar.as_ofs), len(ledger.users)), np.int64)


def _split(name: str) -> tuple[str, int]:
    """`views_28d` -> views, 28; a name without a window has window 0."""
    match = _WINDOW.fullmatch(name)
    return (match[1], int(match[2])) if match else (name, 0)


def divide(part: pl.Expr, whole: pl.Expr | int) -> pl.Expr:
    """`part / whole`, rounded once.

    Polars divides by what is the same in every row through its reciprocal: other bits in a bucket of one user than in a
    bucket of two. A divisor that varies in form, but not in value, has no reciprocal.
    """
    return part / (part * 0 + whole)
