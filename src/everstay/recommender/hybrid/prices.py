"""Price features: is an item discounted now, and does its price fit those at which the user buys?

Prices come from purchases, so that they are known as of every moment: the unit price before discounts, and the share
of it that was taken off. Shapes: V = items, Q = questions, P = pairs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from everstay.recommender.histories import FloatArray, Histories, IntArray, spread
from everstay.recommender.hybrid.aged import Aged

DISCOUNT_COLUMNS = ("discount_7d", "discount_28d", "discount_112d", "discount_change", "price_change")
LEVEL_COLUMNS = ("log_price",)
ITEM_COLUMNS = (*DISCOUNT_COLUMNS, *LEVEL_COLUMNS)
"""Of the item at the moment: the mean share taken off in the last 7, 28 and 112 days, the shorter two smoothed towards
the longest; the share of 7 days minus that of 112; log of what was paid in the last 7 days relative to the usual price;
log of the usual price, the mean before discounts of up to a year (missing, like the change, where none is known)."""

QUESTION_COLUMNS = ("price_level", "discount_share")
"""Of the user at the moment: mean rank of the own items' prices within their group, and mean share taken off."""

PAIR_COLUMNS = ("price_place", "price_fit", "discount_fit")
"""The rank of the item's price within its group, from 0 (cheapest) to 1, and its difference from the user's level; the
user's share taken off minus the item's."""

_USUAL_DAYS = 364
_PRIOR = 2.0  # pseudo-purchases at the usual value
_LEAST_PAID = 0.01  # share of the price, so that a free item has a logarithm
_MIDDLE = 0.5  # rank of an unknown price


@dataclass(frozen=True)
class PriceLog:
    """The purchases whose price is known, from old to new: share taken off, log of the price, log of what was paid."""

    discount: Aged
    price: Aged
    paid: Aged

    @classmethod
    def of(cls, histories: Histories) -> "PriceLog":
        """Collect the lines with a price."""
        known = np.flatnonzero(histories.line_price > 0)
        item, days_ago = histories.line_item[known], histories.line_days_ago[known]
        discount, price = histories.line_discount[known], np.log(histories.line_price[known])
        paid = price + np.log(np.maximum(1.0 - discount, _LEAST_PAID))
        return cls(*(Aged.of(item, days_ago, value) for value in (discount, price, paid)))

    def columns(self, items: int, days_ago: int) -> list[FloatArray]:
        """`ITEM_COLUMNS`, each (V,), from purchases that lie more than `days_ago` days before the as-of."""

        def mean(part: Aged, days: int, usual: FloatArray | float) -> FloatArray:
            window = (days_ago, days_ago + days)
            counted = part.count(items, *window) + _PRIOR
            smoothed: FloatArray = (part.add(items, *window) + _PRIOR * usual) / counted
            return smoothed

        everything = self.discount.value[self.discount.days_ago > days_ago]
        quarter = mean(self.discount, 112, everything.mean() if len(everything) else 0.0)
        month = mean(self.discount, 28, quarter)
        week = mean(self.discount, 7, quarter)
        year = (days_ago, days_ago + _USUAL_DAYS)
        sold = self.price.count(items, *year)
        usual = np.where(sold > 0, self.price.add(items, *year) / np.maximum(sold, 1), np.nan)
        now = mean(self.paid, 7, mean(self.paid, 112, usual))
        return [week, month, quarter, week - quarter, now - usual, usual]


def price_places(log_price: NDArray[np.floating], groupings: Sequence[IntArray]) -> FloatArray:
    """Rank of each item's price within its group, of the finest grouping: (V,) from 0 to 1.

    >>> price_places(np.array([3.0, 1.0, np.nan, 2.0]), [np.array([0, 0, 0, 1])])
    array([0.75, 0.25, 0.5 , 0.5 ])
    """
    group = groupings[-1] if groupings else np.zeros(len(log_price), np.int64)
    table = pl.DataFrame({"group": group, "price": log_price}).with_columns(pl.col("price").fill_nan(None))
    place = (pl.col("price").rank("average").over("group") - _MIDDLE) / pl.col("price").count().over("group")
    return table.select(place.fill_null(_MIDDLE)).to_series().to_numpy()


def level_of_users(place: FloatArray, question: IntArray, item: IntArray, questions: int) -> FloatArray:
    """`price_level` (Q,) of questions whose users own items: `question` (P,), `item` (P,)."""
    total = np.bincount(question, weights=place[item], minlength=questions)
    return (total + _PRIOR * _MIDDLE) / (np.bincount(question, minlength=questions) + _PRIOR)


def discounts_of_users(histories: Histories, first: IntArray, end: IntArray, usual: float) -> FloatArray:
    """`discount_share` (Q,) over the lines from `first` (Q,) up to `end` (Q,), smoothed towards `usual`."""
    question, line = spread(first, end - first)
    total = np.bincount(question, weights=histories.line_discount[line], minlength=len(first))
    return (total + _PRIOR * usual) / (end - first + _PRIOR)
