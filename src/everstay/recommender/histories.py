"""Purchase histories as flat arrays: lines inside orders inside users, each sorted from old to new."""

from dataclasses import dataclass
from typing import Self, get_args

import numpy as np
import polars as pl
from numpy.typing import NDArray

from everstay.features.ratings import RATED_ITEM, RATED_VALUE
from everstay.features.sequences import (
    HISTORY_DAYS_AGO,
    HISTORY_DISCOUNT,
    HISTORY_ITEM,
    HISTORY_ORDER,
    HISTORY_PRICE,
)
from everstay.recommender.vocabulary import ITEM_INDEX, Vocabulary
from everstay.settings import UserAttribute

_LISTS = (HISTORY_ITEM, HISTORY_DAYS_AGO, HISTORY_ORDER, HISTORY_PRICE, HISTORY_DISCOUNT)

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Ratings:
    """Explicit ratings of items by users.

    Attributes:
        user: (R,) row of the histories.
        item: (R,) item index.
        value: (R,) 1 to 5.
        user_count: users, those without a rating included.
    """

    user: IntArray
    item: IntArray
    value: FloatArray
    user_count: int


@dataclass(frozen=True)
class Histories:
    """Orders of some users; items outside the vocabulary, and orders of only such items, are left out.

    Attributes:
        line_item: (lines,) item index.
        line_order: (lines,) order, ascending.
        line_price: (lines,) unit price before discounts; 0: free or unknown.
        line_discount: (lines,) share of that price that was taken off.
        order_user: (orders,) user, ascending.
        order_days_ago: (orders,) days before the as-of, descending within a user.
        order_start: (orders + 1,) first line of each order.
        user_start: (users + 1,) first order of each user.
        segment: (users,) the rows' declared attribute, under its name; None if they have none.
        ratings: of items of the vocabulary; None if the rows have none.
    """

    line_item: IntArray
    line_order: IntArray
    line_price: FloatArray
    line_discount: FloatArray
    order_user: IntArray
    order_days_ago: FloatArray
    order_start: IntArray
    user_start: IntArray
    segment: pl.Series | None = None
    ratings: Ratings | None = None

    @classmethod
    def of_nobody_known(cls) -> Self:
        """One user without any history."""
        none, nothing = np.empty(0, np.int64), np.empty(0)
        return cls(none, none, nothing, nothing, none, nothing, np.zeros(1, np.int64), np.zeros(2, np.int64))

    @property
    def user_count(self) -> int:
        """Users, those without an order included."""
        return len(self.user_start) - 1

    @property
    def order_counts(self) -> IntArray:
        """Orders of each user (users,)."""
        return np.diff(self.user_start)

    @property
    def line_user(self) -> IntArray:
        """(lines,) user."""
        return self.order_user[self.line_order]

    @property
    def line_days_ago(self) -> FloatArray:
        """(lines,) days before the as-of."""
        return self.order_days_ago[self.line_order]


def read_histories(rows: pl.DataFrame, vocabulary: Vocabulary) -> Histories:
    """Flatten the list columns of `features.purchase_history`; row number = user.

    Args:
        rows: one per user, all at one as-of; null lists are empty histories. They may have one declared attribute,
            and the list columns of `features.latest_ratings`.
        vocabulary: gives the item indices.
    """
    lists = rows.select(_LISTS).with_row_index("user")
    lines = lists.filter(pl.col(HISTORY_ITEM).list.len() > 0).explode(_LISTS)
    known = vocabulary.with_index(lines, HISTORY_ITEM).drop_nulls(ITEM_INDEX)
    known = known.with_columns(pl.struct("user", HISTORY_ORDER).rle_id().alias("order"))
    orders = known.group_by("order", maintain_order=True).agg(pl.len(), pl.first("user", HISTORY_DAYS_AGO))
    users = orders["user"].to_numpy().astype(np.int64)
    return Histories(
        line_item=known[ITEM_INDEX].to_numpy().astype(np.int64),
        line_order=known["order"].to_numpy().astype(np.int64),
        line_price=known[HISTORY_PRICE].to_numpy().astype(np.float64),
        line_discount=known[HISTORY_DISCOUNT].to_numpy().astype(np.float64),
        order_user=users,
        order_days_ago=orders[HISTORY_DAYS_AGO].to_numpy().astype(np.float64),
        order_start=_starts(orders["len"].to_numpy().astype(np.int64)),
        user_start=_starts(np.bincount(users, minlength=rows.height)),
        segment=next((rows[name] for name in get_args(UserAttribute) if name in rows.columns), None),
        ratings=_read_ratings(rows, vocabulary) if RATED_ITEM in rows.columns else None,
    )


def _read_ratings(rows: pl.DataFrame, vocabulary: Vocabulary) -> Ratings:
    """Flatten the list columns of `features.latest_ratings`."""
    lists = rows.select(RATED_ITEM, RATED_VALUE).with_row_index("user").filter(pl.col(RATED_ITEM).list.len() > 0)
    known = vocabulary.with_index(lists.explode(RATED_ITEM, RATED_VALUE), RATED_ITEM).drop_nulls(ITEM_INDEX)
    user, item = (known[name].to_numpy().astype(np.int64) for name in ("user", ITEM_INDEX))
    return Ratings(user, item, known[RATED_VALUE].to_numpy().astype(np.float64), rows.height)


def spread(starts: IntArray, counts: IntArray) -> tuple[IntArray, IntArray]:
    """Enumerate the elements of ranges: index of the range (total,), element (total,).

    >>> [part.tolist() for part in spread(np.array([5, 2]), np.array([2, 1]))]
    [[0, 0, 1], [5, 6, 2]]
    """
    part = np.repeat(np.arange(len(counts)), counts)
    ends = np.cumsum(counts)
    return part, np.arange(len(part)) - (ends - counts)[part] + starts[part]


def _starts(counts: IntArray) -> IntArray:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
