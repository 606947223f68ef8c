"""How a user's purchases and events spread over categories, brands, types and weekdays."""

from collections.abc import Collection, Mapping

import numpy as np
from numpy.typing import NDArray

from everstay import tables as t
from everstay.features.blocks import (
    Block,
    Columns,
    Inputs,
    always,
    asked_for,
    is_own,
    is_type,
    with_windows,
    zeros,
)
from everstay.features.code_kernels import count_codes
from everstay.features.kernels import Days

SPREADS: Mapping[str, tuple[str, ...]] = {
    "category": (t.ITEM_ID,),
    "brand": (t.ITEM_ID,),
    "event_type": (),
    "weekday": (t.ORDER_ID,),
}
"""What is spread over, and the columns that are read. Its three sums are `category_total`, `_spread` and `_top`: of the
counts by category, the sum, the sum times their entropy (in units of 1 / `UNIT` nat), and the largest."""
_ENDINGS = ("total", "spread", "top")


def _spread(inputs: Inputs, names: Collection[str]) -> Columns:
    for word in SPREADS:
        words = [f"{word}_{ending}" for ending in _ENDINGS]
        asked, windows = asked_for(names, words)
        if asked:
            result = _count_orders(inputs, windows) if word == "weekday" else _count_events(inputs, word, windows)
            yield from with_windows(words, windows, result[:3])


def _count_events(inputs: Inputs, word: str, windows: Days) -> NDArray[np.int64]:
    ledger = inputs.ledger
    if word == "event_type":
        code, codes, counts = ledger.kind.astype(np.int32), len(t.EVENT_TYPES), is_own(ledger)
    else:
        code, names = inputs.categories if word == "category" else inputs.brands
        codes, counts = len(names), is_type(ledger, t.PURCHASE)
    coded = np.where(counts, code, -1).astype(np.int32)
    result = zeros(ledger, 4, len(windows))
    count_codes(
        ledger.starts, coded, codes, np.ones(len(coded), np.int64), ledger.day, ledger.begin, always(ledger),
        ledger.calendar.table, windows, _unweighted(inputs, codes), result,
    )  # fmt: skip
    return result


def _count_orders(inputs: Inputs, windows: Days) -> NDArray[np.int64]:
    ledger, orders = inputs.ledger, inputs.orders
    result = zeros(ledger, 4, len(windows))
    count_codes(
        orders.starts, orders.weekday, 7, orders.one, orders.day, orders.begin, orders.end, ledger.calendar.table,
        windows, _unweighted(inputs, 7), result,
    )  # fmt: skip
    return result


def _unweighted(inputs: Inputs, codes: int) -> NDArray[np.int64]:
    return np.zeros((len(inputs.ledger.calendar.as_ofs), codes), np.int64)


SPREAD = Block({f"{word}_{ending}": columns for word, columns in SPREADS.items() for ending in _ENDINGS}, _spread)
