"""Sums of orders: how many, what they cost, when they were placed, and the gaps between them."""

from collections.abc import Collection

import numpy as np

from everstay import tables as t
from everstay.features import kernels
from everstay.features.blocks import Block, Columns, Inputs, asked_for, with_windows, zeros
from everstay.features.order_rows import OrderRows

GAPS = ("gap_mean", "gap_median", "gap_std", "gap_last", "gap_max")
LAST_ORDER, FIRST_ORDER = "last_order_age", "first_order_age"

_SUMS = {
    "orders": ("one", ()),
    "spend": ("spend", (t.AMOUNT,)),
    "discount": ("discount", (t.DISCOUNT,)),
    "items": ("items", (t.QUANTITY,)),
    "weekend_orders": ("is_weekend", ()),
    "time_of_day": ("time_of_day", ()),
    "discounted_orders": ("is_discounted", (t.DISCOUNT,)),
}
"""Attribute of `OrderRows` that is summed up, and the columns that it is computed from."""
_DESCRIBED = (*GAPS, LAST_ORDER, FIRST_ORDER)


def _orders(inputs: Inputs, names: Collection[str]) -> Columns:
    ledger = inputs.ledger
    words, windows = asked_for(names, _SUMS)
    described = [name for name in _DESCRIBED if name in names]
    if not (words or described):
        return
    orders = inputs.orders
    for word in words:
        sums = zeros(ledger, 1, len(windows))
        value = getattr(orders, _SUMS[word][0])
        kernels.window_sums(
            orders.starts, orders.kind, value, orders.day, orders.begin, orders.end,
            ledger.calendar.table, windows, sums,
        )  # fmt: skip
        yield from with_windows([word], windows, sums)
    if described:
        yield from _describe(inputs, orders, described)


def _describe(inputs: Inputs, orders: OrderRows, names: Collection[str]) -> Columns:
    """Gaps in days, and the moments of the last and first order; not ages yet."""
    calendar, users = inputs.ledger.calendar, len(inputs.ledger.users)
    result = np.full((len(_DESCRIBED), len(calendar.as_ofs), users), np.nan)
    kernels.gaps(orders.starts, orders.moment, orders.day, orders.begin, orders.end, calendar.table, result)
    for name in names:
        values = result[_DESCRIBED.index(name)]
        moments = np.where(np.isnan(values), kernels.NEVER, np.nan_to_num(values)).astype(np.int64)
        yield name, values if name in GAPS else moments


ORDERS = Block(
    {
        **{word: (*columns, t.ORDER_ID) for word, (_, columns) in _SUMS.items()},
        **dict.fromkeys(_DESCRIBED, (t.ORDER_ID,)),
    },
    _orders,
)
