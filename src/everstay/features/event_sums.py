"""Sums of events: counts of types, distinct values, ages."""

from collections.abc import Callable, Collection, Mapping

import numpy as np
from numpy.typing import NDArray

from everstay import tables as t
from everstay.features import kernels
from everstay.features.blocks import (
    Block,
    Columns,
    Inputs,
    asked_for,
    is_own,
    is_type,
    with_windows,
    zeros,
)
from everstay.features.kernels import Days
from everstay.features.ledger import Ledger

COUNTED: Mapping[str, str] = {
    "views": t.VIEW,
    "clicks": t.CLICK,
    "searches": t.SEARCH,
    "carts": t.CART,
    "coupons": t.COUPON_REDEEMED,
    "returns": t.RETURN,
    "messages_opened": t.MESSAGE_OPENED,
    "purchases": t.PURCHASE,
    "ratings": t.RATE,
    "reviews": t.REVIEW,
    "messages_sent": t.MESSAGE_SENT,
}
"""The word for an event type in names, and the type."""
FIRST, ACTIVE = "first_age", "active_age"
_AGED: Mapping[str, tuple[str | None, ...]] = {
    ACTIVE: tuple(kind for kind in (*t.EVENT_TYPES, None) if kind != t.MESSAGE_SENT),
    **{f"{word}_age": (kind,) for word, kind in COUNTED.items()},
}
"""What has an age since its latest event, and the event types that count; None stands for any unknown one."""

Coded = tuple[Days, int]
"""(N,) codes, negative where a row does not count, and how many codes there are."""


def _counts(inputs: Inputs, names: Collection[str]) -> Columns:
    ledger = inputs.ledger
    words, windows = asked_for(names, COUNTED)
    if not words:
        return
    table = np.full(len(t.EVENT_TYPES) + 1, -1, np.int8)  # its last cell is for any other type
    for number, word in enumerate(words):
        table[t.EVENT_TYPES.index(COUNTED[word])] = number
    sums = zeros(ledger, len(words), len(windows))
    kernels.window_sums(
        ledger.starts, table[ledger.kind], None, ledger.day, ledger.begin, None,
        ledger.calendar.table, windows, sums,
    )  # fmt: skip
    yield from with_windows(words, windows, sums)


COUNTS = Block(dict.fromkeys(COUNTED, ()), _counts)


def _active_days(inputs: Inputs) -> Coded:
    ledger = inputs.ledger
    return np.where(is_own(ledger), ledger.day, -1).astype(np.int32), len(ledger.calendar.table)


def _items(*kinds: str) -> Callable[[Inputs], Coded]:
    def code(inputs: Inputs) -> Coded:
        item, names = inputs.ledger.codes(t.ITEM_ID)
        return np.where(is_type(inputs.ledger, *kinds), item, -1).astype(np.int32) if kinds else item, len(names)

    return code


def _categories(inputs: Inputs) -> Coded:
    category, names = inputs.categories
    return np.where(is_type(inputs.ledger, t.PURCHASE), category, -1).astype(np.int32), len(names)


def _campaigns(inputs: Inputs) -> Coded:
    campaign, names = inputs.ledger.codes(t.CAMPAIGN_ID)
    return np.where(is_type(inputs.ledger, t.MESSAGE_SENT), campaign, -1).astype(np.int32), len(names)


_DISTINCT: Mapping[str, tuple[tuple[str, ...], Callable[[Inputs], Coded]]] = {
    "active_days": ((), _active_days),
    "distinct_items": ((t.ITEM_ID,), _items(t.PURCHASE)),
    "distinct_categories": ((t.ITEM_ID,), _categories),
    "distinct_items_seen": ((t.ITEM_ID,), _items()),
    "viewed_items": ((t.ITEM_ID,), _items(t.VIEW)),
    "carted_items": ((t.ITEM_ID,), _items(t.CART)),
    "viewed_or_carted_items": ((t.ITEM_ID,), _items(t.VIEW, t.CART)),
    "viewed_or_bought_items": ((t.ITEM_ID,), _items(t.VIEW, t.PURCHASE)),
    "carted_or_bought_items": ((t.ITEM_ID,), _items(t.CART, t.PURCHASE)),
    "campaigns": ((t.CAMPAIGN_ID,), _campaigns),
}


def _distinct(inputs: Inputs, names: Collection[str]) -> Columns:
    ledger = inputs.ledger
    words, windows = asked_for(names, _DISTINCT)
    for word in words:
        code, codes = _DISTINCT[word][1](inputs)
        counts = zeros(ledger, 1, len(windows))
        kernels.window_distinct(
            ledger.starts, code, codes, ledger.day, ledger.begin, ledger.calendar.table, windows, counts[0]
        )
        yield from with_windows([word], windows, counts)


DISTINCT = Block({word: columns for word, (columns, _) in _DISTINCT.items()}, _distinct)


def _repeats(inputs: Inputs, names: Collection[str]) -> Columns:
    """Distinct items bought in a window and before it: those in it plus those before it, minus those at any time."""
    ledger = inputs.ledger
    words, windows = asked_for(names, REPEATS.columns)
    if not words:
        return
    code, codes = _items(t.PURCHASE)(inputs)
    ever = _ever(ledger, code, codes, ledger.begin)
    inside = zeros(ledger, 1, len(windows))
    kernels.window_distinct(
        ledger.starts, code, codes, ledger.day, ledger.begin, ledger.calendar.table, windows, inside[0]
    )
    for place, days in enumerate(windows):
        before = _ever(ledger, code, codes, np.maximum(ledger.begin, ledger.day + np.int32(days + 1)))
        yield f"repeat_items_{days}d", inside[0, place] + before - ever


def _ever(ledger: Ledger, code: Days, codes: int, begin: Days) -> kernels.Ints:
    """Distinct codes of all rows known by then: (S, U)."""
    counts = zeros(ledger, 1, 1)
    window = np.array([ledger.calendar.never - 1], np.int32)
    kernels.window_distinct(
        ledger.starts, code, codes, np.zeros_like(ledger.day), begin, ledger.calendar.table, window, counts[0]
    )
    return counts[0, 0]


REPEATS = Block({"repeat_items": (t.ITEM_ID,)}, _repeats)


def _ages(inputs: Inputs, names: Collection[str]) -> Columns:
    """Moments of the first event, the last of the user's own, and the last of each counted type; not ages yet."""
    ledger = inputs.ledger
    groups = {name: kinds for name, kinds in _AGED.items() if name in names}
    is_in = np.array([[kind in kinds for kind in (*t.EVENT_TYPES, None)] for kinds in groups.values()], np.bool_)
    shape = (len(ledger.calendar.as_ofs), len(ledger.users))
    first, latest = np.full(shape, kernels.NEVER), np.full((len(groups), *shape), kernels.NEVER)
    kernels.first_and_latest(
        ledger.starts, ledger.kind, ledger.moment, ledger.begin, ledger.calendar.table,
        is_in.reshape(len(groups), len(t.EVENT_TYPES) + 1), first, latest,
    )  # fmt: skip
    yield FIRST, first
    yield from zip(groups, latest, strict=True)


def kinds_of(counts: NDArray[np.bool_]) -> NDArray[np.int8]:
    """(N,) 0 where a row counts, -1 where it does not."""
    return np.where(counts, 0, -1).astype(np.int8)


AGES = Block({FIRST: (), **dict.fromkeys(_AGED, ())}, _ages)
