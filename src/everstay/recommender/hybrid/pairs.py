"""Pairs of a question and an item that may answer it, described by what was known when the question was asked.

A question is a user and a moment: "what will be in the next basket?". Its candidates are the user's own items and new
ones: recently popular, similar to what the user buys, or of kinds in which the user tries new items.

Shapes: Q = questions, P = pairs, V = items, G = groupings of the items (category, subcategory).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from everstay.recommender import repeats
from everstay.recommender.histories import FloatArray, Histories, IntArray, spread
from everstay.recommender.hybrid import facts as item_facts
from everstay.recommender.hybrid import prices
from everstay.recommender.hybrid.facts import ItemFacts
from everstay.recommender.repeats import OwnItems, Repeats, own_items
from everstay.recommender.top_k import top_k

FloatMatrix = NDArray[np.float32]

QUESTION_COLUMNS = (
    "orders", "items_per_order", "days_since_order", "order_gap", "order_overdue", "last_size", "last_three_size",
    "share_of_new_items", *prices.QUESTION_COLUMNS,
)  # fmt: skip
"""Of the user at the moment; `order_overdue` = log of the days since the last order relative to the usual gap."""

GROUP_COLUMNS = ("decayed_84d", "decayed_21d", "count", "items", "days_since", "item_share")
"""Of the user's purchases in the item's group; `item_share` = the item's part of the decayed ones."""

PAIR_COLUMNS = (
    "near", "near_last", "overdue_of_item", "overdue_smoothed", "since_to_order_gap", *prices.PAIR_COLUMNS,
)  # fmt: skip
"""Closeness to what the user buys, and to the last order; days since the last purchase of the item relative to the
item's usual gap among all users, to the user's own gap smoothed by that, and to the user's gap between orders."""

_OWN = {name: column for column, name in enumerate(repeats.FEATURES)}
_FACT = {name: column for column, name in enumerate(item_facts.COLUMNS)}
_PRIOR_GAPS = 2.0  # pseudo-gaps of the item's usual length, added to the user's own
_USUAL_ORDER_GAP = 28.0  # days, of a user with one order
_TRIAL_HALF_LIFE = 84.0  # days in which a first purchase loses half of its weight
_NEVER = 400.0  # days since the last order of a user without one


@dataclass(frozen=True)
class Questions:
    """`user` (Q,), `seen_until` (Q,) = first order not seen, `days_ago` (Q,) = when, in days before the as-of."""

    user: IntArray
    seen_until: IntArray
    days_ago: FloatArray

    def part(self, chosen: IntArray) -> "Questions":
        """A subset of them."""
        return Questions(self.user[chosen], self.seen_until[chosen], self.days_ago[chosen])


@dataclass(frozen=True)
class Pairs:
    """`question` (P,) ascending, `item` (P,), `features` (P, F)."""

    question: IntArray
    item: IntArray
    features: FloatMatrix


@dataclass(frozen=True)
class Breadth:
    """Maximum candidates of a question: own items; new ones that are popular, near, of a kind that the user tries."""

    own: int
    popular: int
    near: int
    tried: int


def feature_names(groupings: int) -> list[str]:
    """Names of the columns of `Pairs.features`; own features are missing (NaN) for an item that is new to the user."""
    groups = [f"group_{number}_{name}" for number in range(groupings) for name in GROUP_COLUMNS]
    return [*repeats.FEATURES, *QUESTION_COLUMNS, *item_facts.COLUMNS, *groups, *PAIR_COLUMNS]


class PairMaker:
    """Describes candidates of questions about some users.

    Args:
        histories: of the users.
        tracked: their `track_repeats`.
        groupings: (V,) group of each item, per grouping.
        breadth: of the candidates.
    """

    def __init__(self, histories: Histories, tracked: Repeats, groupings: Sequence[IntArray], breadth: Breadth) -> None:
        self.histories = histories
        self.tracked = tracked
        self.groupings = groupings
        self.breadth = breadth

    def make(self, questions: Questions, facts: ItemFacts) -> Pairs:
        """Candidates and features; `facts` are as of the questions' moment or earlier."""
        shape = (len(questions.user), len(facts.columns))
        own = own_items(self.histories, self.tracked, questions.user, questions.seen_until, questions.days_ago)
        decayed = np.exp(own.features[:, _OWN["log_decayed_84d"]])
        bought = sparse.csr_array((decayed, (own.question, own.item)), shape=shape)
        near = (bought @ facts.neighbours).toarray()
        near_last = (self._last_orders(questions, shape) @ facts.neighbours).toarray()
        kept = _first_of_each(own.question, decayed, self.breadth.own)
        question, item = self._new_items(near, self._trials(questions, own, facts), own, facts)
        question, item = np.concatenate([own.question[kept], question]), np.concatenate([own.item[kept], item])
        known = np.full((len(item), len(repeats.FEATURES)), np.nan, np.float32)
        known[: len(kept)] = own.features[kept]
        place = prices.price_places(facts.columns[:, _FACT["log_price"]], self.groupings)
        asked = self._question_columns(questions, own, place, facts)
        of_item = facts.columns[item]
        groups = [_group_columns(own, group, question, item, known) for group in self.groupings]
        of_pair = np.stack(
            [
                near[question, item], near_last[question, item], *_timing(known, of_item, asked[question]),
                *_price_fit(place[item], of_item, asked[question]),
            ]
        )  # fmt: skip
        features = np.concatenate([known, asked[question], of_item, *groups, of_pair.T], axis=1, dtype=np.float32)
        order = np.lexsort((item, question))
        return Pairs(question[order], item[order], features[order])

    def _last_orders(self, questions: Questions, shape: tuple[int, int]) -> sparse.csr_array:
        order, counts = self._order_before(questions, 1)
        question, line = spread(self.histories.order_start[order], counts)
        return sparse.csr_array((np.ones(len(line), np.float32), (question, self.histories.line_item[line])), shape)

    def _order_before(self, questions: Questions, back: int) -> tuple[IntArray, IntArray]:
        """The order `back` before the question, or the user's first, and the lines from there to the question."""
        first = self.histories.user_start[questions.user]
        order = np.maximum(questions.seen_until - back, first)
        return order, self.histories.order_start[questions.seen_until] - self.histories.order_start[order]

    def _trials(self, questions: Questions, own: OwnItems, facts: ItemFacts) -> FloatMatrix:
        """How likely each item is to be tried (Q, V), up to a constant factor.

        The user's first purchases in the item's group (of the finest grouping), decayed, times the item's share of the
        group's recent first purchases by all users.
        """
        group = self.groupings[-1] if self.groupings else np.zeros(len(facts.columns), np.int64)
        groups = int(group.max(initial=0)) + 1
        tried = _lately(facts, "tried", (7, 28, 112))
        share = tried / np.bincount(group, weights=tried, minlength=groups)[group]
        first = self.histories.order_days_ago[self.tracked.first_order[own.line]] - questions.days_ago[own.question]
        cell = own.question * groups + group[own.item]
        decayed = np.bincount(cell, weights=2.0 ** (-first / _TRIAL_HALF_LIFE), minlength=len(questions.user) * groups)
        chances: FloatMatrix = decayed.astype(np.float32).reshape(-1, groups)[:, group] * share.astype(np.float32)
        return chances

    def _new_items(
        self, near: FloatMatrix, trials: FloatMatrix, own: OwnItems, facts: ItemFacts
    ) -> tuple[IntArray, IntArray]:
        """Items that the user never bought: the most popular of the last days, the nearest, the likeliest trials."""
        popular = np.broadcast_to(_lately(facts, "share", (7, 28)), near.shape)
        is_own = np.zeros(near.shape, bool)
        is_own[own.question, own.item] = True
        sources = ((popular, self.breadth.popular), (near, self.breadth.near), (trials, self.breadth.tried))
        cells = [_largest(np.where(is_own, 0.0, score), count) for score, count in sources]
        return np.divmod(np.unique(np.concatenate(cells)), near.shape[1])

    def _question_columns(
        self, questions: Questions, own: OwnItems, place: FloatArray, facts: ItemFacts
    ) -> FloatMatrix:
        """`QUESTION_COLUMNS` (Q, C)."""
        histories, days = self.histories, self.histories.order_days_ago
        first = histories.user_start[questions.user]
        orders = questions.seen_until - first
        has = orders > 0
        first_line, end_line = histories.order_start[first], histories.order_start[questions.seen_until]
        lines = end_line - first_line
        since = np.full(len(orders), _NEVER)
        since[has] = days[questions.seen_until[has] - 1] - questions.days_ago[has]
        span = np.zeros(len(orders))
        span[has] = days[first[has]] - days[questions.seen_until[has] - 1]
        gap = np.where(orders > 1, span / np.maximum(orders - 1, 1), _USUAL_ORDER_GAP)
        _, last = self._order_before(questions, 1)
        start, three = self._order_before(questions, 3)
        usual = facts.columns[:, _FACT["discount_112d"]].mean()
        columns = (
            np.log1p(orders), lines / np.maximum(orders, 1), np.log1p(since), np.log1p(gap),
            np.log((since + 0.3) / (gap + 0.3)), last, three / np.maximum(questions.seen_until - start, 1),
            np.bincount(own.question, minlength=len(orders)) / np.maximum(lines, 1),
            prices.level_of_users(place, own.question, own.item, len(orders)),
            prices.discounts_of_users(histories, first_line, end_line, float(usual)),
        )  # fmt: skip
        return np.stack(columns, axis=1).astype(np.float32)


def _timing(known: FloatMatrix, of_item: FloatMatrix, asked: FloatMatrix) -> tuple[NDArray[np.floating], ...]:
    """`overdue_of_item`, `overdue_smoothed` and `since_to_order_gap`, each (P,)."""
    since, usual = known[:, _OWN["log_days_since"]], of_item[:, _FACT["log_gap"]]
    gaps = np.exp(known[:, _OWN["log_count"]]) - 1
    smoothed = (gaps * known[:, _OWN["log_gap_mean"]] + _PRIOR_GAPS * usual) / (gaps + _PRIOR_GAPS)
    return since - usual, since - smoothed, since - asked[:, QUESTION_COLUMNS.index("order_gap")]


def _price_fit(place: FloatArray, of_item: FloatMatrix, asked: FloatMatrix) -> tuple[NDArray[np.floating], ...]:
    """`prices.PAIR_COLUMNS`, each (P,)."""
    level, discount = (asked[:, QUESTION_COLUMNS.index(name)] for name in prices.QUESTION_COLUMNS)
    return place, place - level, discount - of_item[:, _FACT["discount_112d"]]


def _group_columns(
    own: OwnItems, group: IntArray, question: IntArray, item: IntArray, known: FloatMatrix
) -> FloatMatrix:
    """`GROUP_COLUMNS` (P, C) of one grouping; missing where the user bought nothing of the group."""
    groups = int(group.max()) + 1
    keys, place = np.unique(own.question * groups + group[own.item], return_inverse=True)
    decayed, lately, count = (
        np.bincount(place, weights=np.exp(own.features[:, _OWN[name]]), minlength=len(keys))
        for name in ("log_decayed_84d", "log_decayed_21d", "log_count")
    )
    since = np.full(len(keys), np.inf)
    np.minimum.at(since, place, own.features[:, _OWN["log_days_since"]])
    table = np.stack([decayed, lately, count, np.bincount(place, minlength=len(keys)), since], axis=1)
    wanted = question * groups + group[item]
    found = np.full((len(wanted), table.shape[1]), np.nan)
    if len(keys):
        at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        found = np.where((keys[at] == wanted)[:, None], table[at], np.nan)
    share = np.exp(known[:, _OWN["log_decayed_84d"]]) / found[:, 0]
    return np.concatenate([found, share[:, None]], axis=1).astype(np.float32)


def _first_of_each(question: IntArray, score: FloatArray, count: int) -> IntArray:
    """Indices of the `count` largest scores of each question, ascending."""
    order = np.lexsort((-score, question))
    sorted_question = question[order]
    rank = np.arange(len(order)) - np.searchsorted(sorted_question, sorted_question)
    return np.sort(order[rank < count])


def _largest(scores: FloatMatrix, count: int) -> IntArray:
    """Flat indices of each question's `count` largest scores above zero: (at most Q * count,)."""
    item, found = top_k(scores, min(count, scores.shape[1]))
    cell = np.arange(len(scores))[:, None] * scores.shape[1] + item
    return cell[found > 0]


def _lately(facts: ItemFacts, counted: str, days: Sequence[int]) -> NDArray[np.float32]:
    """Sum over windows of an item's share of purchases ("share") or first purchases ("tried"): (V,)."""
    columns = [_FACT[f"log_{counted}_{window}d"] for window in days]
    total: NDArray[np.float32] = np.exp(facts.columns[:, columns]).sum(axis=1)
    return total
