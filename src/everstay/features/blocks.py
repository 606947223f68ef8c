"""How sums are named and passed on: a block computes those of one subject, and declares which columns it reads."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from everstay import tables as t
from everstay.features.kernels import Days, Ints
from everstay.features.ledger import Ledger
from everstay.features.order_rows import OrderRows, order_rows

_WINDOW = re.compile(r"(.+)_(\d+)d")

Columns = Iterator[tuple[str, NDArray[np.generic]]]
"""Names and arrays (S, U), or flattened ones (S × U,)."""


@dataclass(frozen=True)
class Inputs:
    """What sums are computed from.

    Attributes:
        ledger: of one bucket.
        items: `tables.ITEMS`; an item that is not there has no category.
        population: from `population.merge_population`; None if no requested sum needs it.
    """

    ledger: Ledger
    items: pl.DataFrame
    population: pl.DataFrame | None = None

    @cached_property
    def orders(self) -> OrderRows:
        """The bucket's orders."""
        return order_rows(self.ledger)

    @cached_property
    def categories(self) -> tuple[Days, list[str]]:
        """(N,) codes of the categories of the events' items, -1 where there is none, and the categories, sorted."""
        return _attribute_codes(self, t.CATEGORY)

    @cached_property
    def brands(self) -> tuple[Days, list[str]]:
        """The same for their brands."""
        return _attribute_codes(self, t.BRAND)


@dataclass(frozen=True)
class Block:
    """Sums of one subject.

    Attributes:
        columns: names of sums without their window, and the columns of `tables.EVENTS` that each is computed from.
        compute: yields the requested sums that are the block's.
    """

    columns: Mapping[str, tuple[str, ...]]
    compute: Callable[[Inputs, Collection[str]], Columns]


@cache
def split_name(name: str) -> tuple[str, int]:
    """`views_28d` -> views, 28; a name without a window has window 0."""
    match = _WINDOW.fullmatch(name)
    return (match[1], int(match[2])) if match else (name, 0)


def asked_for(names: Collection[str], words: Collection[str]) -> tuple[list[str], Days]:
    """Which of `words` are requested in `names`, and all windows in which any of them is."""
    pairs = [split_name(name) for name in names]
    asked = {base: days for base, days in pairs if base in words and days}
    windows = sorted({days for base, days in pairs if base in asked and days})
    return [word for word in words if word in asked], np.array(windows, np.int32)


def with_windows(words: Sequence[str], windows: Days, sums: Ints) -> Columns:
    """Name the sums (K, W, S, U)."""
    for number, word in enumerate(words):
        yield from ((f"{word}_{days}d", sums[number, place]) for place, days in enumerate(windows))


def zeros(ledger: Ledger, kinds: int, windows: int) -> Ints:
    """(K, W, S, U) zeros."""
    return np.zeros((kinds, windows, len(ledger.calendar.as_ofs), len(ledger.users)), np.int64)


def always(ledger: Ledger) -> Days:
    """(N,) end day of rows that always stay valid."""
    return np.full(len(ledger.day), ledger.calendar.never, np.int32)


def is_type(ledger: Ledger, *kinds: str) -> NDArray[np.bool_]:
    """(N,) whether the event is of one of these types."""
    found = [ledger.kind == t.EVENT_TYPES.index(kind) for kind in kinds]
    return found[0] if len(found) == 1 else np.logical_or.reduce(found)


def is_own(ledger: Ledger) -> NDArray[np.bool_]:
    """(N,) whether the user did it; a message sent to them does not count."""
    return ledger.kind != t.EVENT_TYPES.index(t.MESSAGE_SENT)


def _attribute_codes(inputs: Inputs, attribute: str) -> tuple[Days, list[str]]:
    item, names = inputs.ledger.codes(t.ITEM_ID)
    values = inputs.items[attribute].drop_nulls().unique().sort()
    known = inputs.items.select(t.ITEM_ID, pl.col(attribute).rank("dense").cast(pl.Int32) - 1)
    named = names.alias(t.ITEM_ID).cast(pl.String).to_frame().join(known, t.ITEM_ID, "left", maintain_order="left")
    table = np.append(named[attribute].fill_null(-1).to_numpy(), np.int32(-1)).astype(np.int32)
    return table[item], values.to_list()
