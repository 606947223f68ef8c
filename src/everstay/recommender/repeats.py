"""What a user's own purchases of an item say about the next one: how often, how regularly, how long ago.

Shapes: L = lines of the histories, Q = questions, P = pairs of a question and an item bought before it.
A question is a user, the number of orders seen (as the index of the first order not seen) and a time.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from everstay.recommender.histories import FloatArray, Histories, IntArray, spread

HALF_LIVES = (21.0, 84.0, 336.0)
"""Days in which a purchase loses half of its weight, in the decayed counts."""

FEATURES = (
    "log_count", "log_days_since", "log_decayed_21d", "log_decayed_84d", "log_decayed_336d", "log_orders_since",
    "log_order_share", "log_share_since_first", "is_repeated", "log_gap_mean", "overdue", "overdue_squared",
    "log_orders", "log_tenure",
)  # fmt: skip
"""Columns of `OwnItems.features`; overdue = log((days since + 1) / (mean gap + 1)), 0 before the second purchase."""

_FLOOR = 0.01  # decayed count below which a purchase is forgotten
_MOST_OVERDUE = 3.0  # twenty times the usual gap


@dataclass(frozen=True)
class Repeats:
    """The state of each user's item after each purchase of it; sorted by user.

    Attributes:
        start: (users + 1,) first line of each user.
        item: (L,) item index.
        order: (L,) the order of the purchase.
        next_order: (L,) the order that buys the item again, or a number after the last order.
        count: (L,) purchases so far, this one included.
        days_ago: (L,) of this purchase.
        gap_mean: (L,) mean days between purchases so far; 0 for the first.
        first_order: (L,) the order of the first purchase.
        decayed: (L, half-lives) purchases so far, each weighted by 2 ** (-age / half-life) at this purchase.
    """

    start: IntArray
    item: IntArray
    order: IntArray
    next_order: IntArray
    count: FloatArray
    days_ago: FloatArray
    gap_mean: FloatArray
    first_order: IntArray
    decayed: FloatArray


@dataclass(frozen=True)
class OwnItems:
    """Items bought before questions: `question` (P,), `item` (P,), `features` (P, F), `line` of `Repeats` (P,)."""

    question: IntArray
    item: IntArray
    features: NDArray[np.float32]
    line: IntArray


def track_repeats(histories: Histories) -> Repeats:
    """Follow every user's item from purchase to purchase."""
    line = np.lexsort((histories.line_order, histories.line_item, histories.line_user))
    user, item, order = histories.line_user[line], histories.line_item[line], histories.line_order[line]
    days_ago = histories.line_days_ago[line]
    is_first = np.ones(len(line), bool)
    is_first[1:] = (np.diff(user) != 0) | (np.diff(item) != 0)
    first = np.maximum.accumulate(np.where(is_first, np.arange(len(line)), 0))
    count = np.arange(len(line)) - first + 1
    next_order = np.append(order[1:], 0)
    next_order[np.append(is_first[1:], True)] = len(histories.order_user)
    return Repeats(
        start=np.searchsorted(user, np.arange(histories.user_count + 1)),
        item=item,
        order=order,
        next_order=next_order,
        count=count.astype(np.float64),
        days_ago=days_ago,
        gap_mean=(days_ago[first] - days_ago) / np.maximum(count - 1, 1),
        first_order=order[first],
        decayed=_decayed_counts(days_ago, count),
    )


def _decayed_counts(days_ago: FloatArray, count: IntArray) -> FloatArray:
    """Decayed purchases at each line (L, half-lives): 1 plus those at the line before, decayed over the gap.

    All second purchases are computed at once, then all third ones, and so on: sums over different items never mix, so
    no precision is lost, however long the history.
    """
    decayed = np.ones((len(count), len(HALF_LIVES)))
    by_number = np.split(np.argsort(count, kind="stable"), np.cumsum(np.bincount(count)[1:])) if len(count) else []
    for line in by_number[1:]:
        gap = days_ago[line - 1] - days_ago[line]
        decayed[line] += decayed[line - 1] * 2.0 ** (-gap[:, None] / np.array(HALF_LIVES))
    return decayed


def own_items(
    histories: Histories, repeats: Repeats, user: IntArray, seen_until: IntArray, days_ago: FloatArray
) -> OwnItems:
    """Describe, for every question, each item its user had bought by then, from earlier orders only.

    Args:
        histories: of the users.
        repeats: their `track_repeats`.
        user: (Q,).
        seen_until: (Q,) first order that is not seen; all earlier ones of the user are.
        days_ago: (Q,) when the question is asked, in days before the as-of.
    """
    question, line = spread(repeats.start[user], repeats.start[user + 1] - repeats.start[user])
    end = seen_until[question]
    is_latest = (repeats.order[line] < end) & (repeats.next_order[line] >= end)
    question, line = question[is_latest], line[is_latest]
    features = _features(histories, repeats, (user[question], seen_until[question], days_ago[question]), line)
    return OwnItems(question, repeats.item[line], features, line)


def _features(
    histories: Histories, repeats: Repeats, asked: tuple[IntArray, IntArray, FloatArray], line: IntArray
) -> NDArray[np.float32]:
    """`FEATURES` (P, F) of pairs; `asked` is user, seen_until and days_ago of each pair's question."""
    user, end, now = asked
    days = np.maximum(repeats.days_ago[line] - now, 0.0)
    count, gap = repeats.count[line], repeats.gap_mean[line]
    first_of_user = histories.user_start[user]
    orders = (end - first_of_user).astype(np.float64)
    is_repeated = count > 1
    overdue = np.where(is_repeated, np.log((days + 1) / (gap + 1)), 0.0).clip(-_MOST_OVERDUE, _MOST_OVERDUE)
    decayed = repeats.decayed[line] * 2.0 ** (-days[:, None] / np.array(HALF_LIVES))
    tenure = np.maximum(histories.order_days_ago[np.minimum(first_of_user, len(histories.order_user) - 1)] - now, 0.0)
    columns = (
        np.log(count), np.log1p(days), *np.log(decayed + _FLOOR).T, np.log(end - repeats.order[line]),
        np.log(count / orders), np.log(count / (end - repeats.first_order[line])), is_repeated, np.log1p(gap),
        overdue, overdue**2, np.log(orders), np.log1p(tenure),
    )  # fmt: skip
    return np.stack(columns, axis=1).astype(np.float32)
