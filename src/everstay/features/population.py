"""What all users together did before an as-of: item popularity, category prices, how recency and spend are distributed.

Each bucket gives its integer aggregates of every as-of; merged, they are exact whatever the number of buckets. It is
one table in long form: `AS_OF`, `MEASURE`, `KEY` (an item, a category, a number as text), `VALUE` (a sum over users).
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from everstay import tables as t
from everstay.features import kernels
from everstay.features.blocks import Inputs, is_type
from everstay.features.kernels import DAY, Days, Ints
from everstay.features.ledger import Ledger
from everstay.features.order_sums import LAST_ORDER, ORDERS

MEASURE, KEY, VALUE = "measure", "key", "value"
ITEM_LINES, CATEGORY_PIECES, CATEGORY_WORTH = "item_lines", "category_pieces", "category_worth"
STANDINGS = ("recency", "frequency", "monetary")

MARKET_DAYS = 84
"""Window of popularity and prices."""
STANDING_DAYS = 364
"""Window of orders and spend that users are compared by; the users compared are those with an order in it."""
POPULATION_COLUMNS = (
    t.USER_ID, t.EVENT_TYPE, t.OCCURRED_AT, t.RECORDED_AT, t.ITEM_ID,
    t.AMOUNT, t.DISCOUNT, t.QUANTITY, t.ORDER_ID,
)  # fmt: skip

_SCHEMA: Mapping[str, pl.DataType | type[pl.DataType]] = {
    t.AS_OF: t.TIME, MEASURE: pl.String, KEY: pl.String, VALUE: pl.Int64,
}  # fmt: skip
_COLUMN = [t.AS_OF, MEASURE, KEY]


def population_slices(events: pa.Table | pl.DataFrame, items: pl.DataFrame, as_ofs: Sequence[datetime]) -> pl.DataFrame:
    """Aggregate one bucket's users at each as-of, from what was known before it; unsorted.

    Anonymous events count for items and categories.
    """
    ascending = sorted(set(as_ofs))
    inputs = Inputs(Ledger.of(events, ascending, STANDING_DAYS), items)
    tables = [*_market(inputs), *_standings(inputs)]
    return pl.concat([pl.DataFrame(schema=_SCHEMA), *tables])


def merge_population(parts: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Add up the aggregates of buckets, or partial merges of them; sorted."""
    return pl.concat([pl.DataFrame(schema=_SCHEMA), *parts]).group_by(_COLUMN).agg(pl.col(VALUE).sum()).sort(_COLUMN)


def _market(inputs: Inputs) -> Iterator[pl.DataFrame]:
    """Purchase lines by item; pieces and undiscounted worth by category."""
    ledger = inputs.ledger
    item, items = ledger.codes(t.ITEM_ID)
    category, categories = inputs.categories
    one = np.ones(len(item), np.int64)
    worth = ledger.money(t.AMOUNT) + ledger.money(t.DISCOUNT)
    pieces = ledger.numbers(t.QUANTITY).astype(np.int64)
    yield _by_code(ledger, item, items.cast(pl.String).to_list(), one, ITEM_LINES)
    yield _by_code(ledger, category, categories, pieces, CATEGORY_PIECES)
    yield _by_code(ledger, category, categories, worth, CATEGORY_WORTH)


def _by_code(ledger: Ledger, code: Days, names: Sequence[str], value: Ints, measure: str) -> pl.DataFrame:
    """Sum over the purchases in the market's window by code: as if each code were a user."""
    chosen = np.flatnonzero(is_type(ledger, t.PURCHASE) & (code >= 0))
    order = chosen[np.argsort(code[chosen], kind="stable")]
    starts = np.searchsorted(code[order], np.arange(len(names) + 1)).astype(np.int64)
    sums = np.zeros((1, 1, len(ledger.calendar.as_ofs), len(names)), np.int64)
    kernels.window_sums(
        starts, np.zeros(len(order), np.int8), value[order], ledger.day[order], ledger.begin[order], None,
        ledger.calendar.table, np.array([MARKET_DAYS], np.int32), sums,
    )  # fmt: skip
    at, found = np.nonzero(sums[0, 0])
    return _long(ledger, at, measure, pl.Series(names, dtype=pl.String)[found], sums[0, 0][at, found])


def _standings(inputs: Inputs) -> Iterator[pl.DataFrame]:
    """Numbers of users by days since the last order, by orders, and by spend."""
    ledger = inputs.ledger
    is_user = ~ledger.users.cast(pl.String).str.starts_with(t.ANONYMOUS).to_numpy()
    for measure, numbers in user_standings(inputs).items():
        at, user = np.nonzero((numbers >= 0) & is_user)
        keys = pl.Series(numbers[at, user]).cast(pl.String)
        long = _long(ledger, at, measure, keys, np.ones(len(at), np.int64))
        yield long.group_by(_COLUMN).agg(pl.col(VALUE).sum())


def user_standings(inputs: Inputs) -> dict[str, NDArray[np.int64]]:
    """Each of `STANDINGS` by user (S, U), larger is better; -1 without an order in the window.

    Recency counts down from a century in whole days, spend is rounded down to 8 binary digits (within 1%): few
    distinct values, so that the distribution over all users stays small.
    """
    orders, spend = f"orders_{STANDING_DAYS}d", f"spend_{STANDING_DAYS}d"
    sums = {name: array.astype(np.int64) for name, array in ORDERS.compute(inputs, {orders, spend, LAST_ORDER})}
    moments = np.array([round(as_of.timestamp() * 1_000_000) for as_of in inputs.ledger.calendar.as_ofs])
    days = (moments[:, None] - np.maximum(sums[LAST_ORDER], 0)) // DAY
    is_compared = sums[orders] > 0
    numbers = {"recency": 36_525 - days, "frequency": sums[orders], "monetary": _coarse(sums[spend])}
    return {name: np.where(is_compared, np.maximum(values, 0), -1) for name, values in numbers.items()}


def _coarse(values: Ints) -> NDArray[np.int64]:
    """Code whole numbers by their 8 leading binary digits and their length, keeping their order.

    >>> _coarse(np.array([0, 1, 255, 256, 257, 258])).tolist()
    [0, 129, 1152, 1153, 1153, 1154]
    """
    digits, length = np.frexp(values.astype(np.float64))
    return np.where(values > 0, np.floor(digits * 256).astype(np.int64) - 127 + length * 128, 0).astype(np.int64)


def _long(ledger: Ledger, at: NDArray[np.integer], measure: str, keys: pl.Series, values: Ints) -> pl.DataFrame:
    as_of = pl.Series(ledger.calendar.as_ofs, dtype=t.TIME)[at]
    columns = {t.AS_OF: as_of, KEY: keys, VALUE: values}
    return pl.DataFrame(columns).with_columns(pl.lit(measure).alias(MEASURE)).select(_SCHEMA.keys())
