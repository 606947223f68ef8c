"""Questions for the network: "standing at this earlier as-of, what will this user's next basket be?".

An epoch samples a few such questions per user. A question sees only the orders before its as-of and the popularity of
that time; its target is the next order within the horizon: the task of serving and evaluation, at an earlier time.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from everstay.recommender.histories import FloatArray, Histories, IntArray, spread
from everstay.recommender.network import Questions
from everstay.recommender.network_config import NetworkConfig
from everstay.recommender.repeats import Repeats, own_items
from everstay.recommender.trends import TREND_WEEKS, WEEK


class Batch(NamedTuple):
    """Questions with their answers.

    Attributes:
        questions: what is asked.
        candidates: (N,) items of the softmax, ascending; None: all.
        target_question: (G,) ascending.
        target_item: (G,) different within a question.
        target_own: (G,) index of the target among the own items; -1 when the user had not bought it.
    """

    questions: Questions
    candidates: Tensor | None
    target_question: Tensor
    target_item: Tensor
    target_own: Tensor


@dataclass(frozen=True)
class Asked:
    """Questions before they are tensors.

    Attributes:
        user: (Q,) ascending.
        seen_until: (Q,) first order that is not seen.
        week: (Q,) weeks before the as-of at which it is asked.
    """

    user: IntArray
    seen_until: IntArray
    week: IntArray

    @property
    def days_ago(self) -> FloatArray:
        """(Q,) days before the as-of at which it is asked."""
        return (self.week * WEEK).astype(np.float64)


class Questioner:
    """Turns users and times into `Questions`.

    Args:
        histories: of all users.
        repeats: their `track_repeats`.
        trends: (weeks, K, V) from `weekly_trends` or `current_trends`.
        max_orders: longest sequence.
    """

    def __init__(self, histories: Histories, repeats: Repeats, trends: NDArray[np.float32], max_orders: int) -> None:
        self.histories = histories
        self.repeats = repeats
        self.trends = torch.from_numpy(trends)
        self.max_orders = max_orders

    def ask(self, asked: Asked) -> Questions:
        """Gather what the questions see; no question may precede its user's window of orders.

        The window ends at the user's latest question and holds at most `max_orders` orders.
        """
        users, sequence = np.unique(asked.user, return_inverse=True)
        end = np.maximum.reduceat(asked.seen_until, np.searchsorted(asked.user, users))
        start = window_start(self.histories, users, end, self.max_orders)
        _, order = spread(start, end - start)
        lines = np.diff(self.histories.order_start)[order]
        _, line = spread(self.histories.order_start[order], lines)
        own = own_items(self.histories, self.repeats, asked.user, asked.seen_until, asked.days_ago)
        weeks, week = np.unique(asked.week, return_inverse=True)
        return Questions(
            line_item=torch.from_numpy(self.histories.line_item[line]),
            order_start=torch.from_numpy(np.cumsum(lines) - lines),
            order_features=torch.from_numpy(self._order_features(order, lines)),
            lengths=torch.from_numpy(end - start),
            user=torch.from_numpy(sequence),
            place=torch.from_numpy(asked.seen_until - start[sequence]),
            trends=self.trends[weeks],
            week=torch.from_numpy(week),
            own_question=torch.from_numpy(own.question),
            own_item=torch.from_numpy(own.item),
            own_features=torch.from_numpy(own.features),
        )

    def _order_features(self, order: IntArray, lines: IntArray) -> NDArray[np.float32]:
        days_ago = self.histories.order_days_ago
        is_first = self.histories.user_start[self.histories.order_user[order]] == order
        gap = np.where(is_first, 0.0, days_ago[order - 1] - days_ago[order])
        return np.stack([np.log1p(gap), np.log(lines)], axis=1).astype(np.float32)


class BasketBatches:
    """Training batches: each epoch covers every user, batched with users of a similar number of orders.

    An epoch yields exactly `len` batches, because Lightning validates after that many: a batch without an answerable
    question repeats the previous one, or `latest` if it is the first. Only if there are no such questions at all is the
    epoch empty.

    Args:
        questioner: over all users, with weekly trends.
        config: sizes and rates of questions.
        horizon_days: a later next order is not an answer.
        seed: of the sampling, together with the epoch from `set_epoch`.
    """

    def __init__(self, questioner: Questioner, config: NetworkConfig, horizon_days: int, seed: int) -> None:
        self.questioner = questioner
        self.config = config
        self.horizon_days = horizon_days
        self.seed = seed
        self.epoch = 0
        self.weeks = np.arange(1, len(questioner.trends))
        self.users = np.flatnonzero(questioner.histories.order_counts > 0)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch; each one samples different questions."""
        self.epoch = epoch

    def __len__(self) -> int:
        return math.ceil(len(self.users) / self.config.batch_users)

    def __iter__(self) -> Iterator[Batch]:
        generator = np.random.default_rng((self.seed, self.epoch))
        lengths = np.minimum(self.questioner.histories.order_counts[self.users], self.config.max_orders)
        by_length = self.users[np.lexsort((generator.random(len(self.users)), lengths))]
        groups = np.array_split(by_length, len(self))
        asked = None
        for group in generator.permutation(len(groups)):
            drawn = self.draw(np.sort(groups[group]), generator)
            if len(drawn.user):
                asked = drawn
            elif asked is None:
                asked = self.latest()
            if len(asked.user):
                yield answer(self.questioner, asked, self._negatives(generator))

    def draw(self, users: IntArray, generator: np.random.Generator) -> Asked:
        """Sample as-ofs without replacement, recent ones more often; drop those without a next order in time."""
        keys = generator.gumbel(size=(len(users), len(self.weeks)))
        keys -= self.weeks * WEEK * np.log(2) / self.config.recency_half_life_days
        count = min(self.config.questions_per_user, len(self.weeks))
        week = np.sort(self.weeks[np.argpartition(-keys, count - 1, axis=1)[:, :count]], axis=1)[:, ::-1].ravel()
        return self._ask(np.repeat(users, count), week)

    def latest(self) -> Asked:
        """Questions of at most `batch_users` users at the latest week with an answerable question."""
        asked = (self._ask(self.users, np.full(len(self.users), week)) for week in self.weeks)
        found = next((some for some in asked if len(some.user)), Asked(*np.empty((3, 0), np.int64)))
        few = slice(self.config.batch_users)
        return Asked(found.user[few], found.seen_until[few], found.week[few])

    def _ask(self, user: IntArray, week: IntArray) -> Asked:
        """Questions (Q,) of users at weeks; those with no next order within the horizon are dropped."""
        histories = self.questioner.histories
        asked = Asked(user, orders_before(histories, user, (week * WEEK).astype(np.float64)), week)
        return answerable(histories, asked, self.horizon_days, self.config.max_orders)

    def _negatives(self, generator: np.random.Generator) -> Tensor | None:
        items = self.questioner.trends.shape[-1]
        if items <= self.config.max_candidates:
            return None
        return torch.from_numpy(np.sort(generator.choice(items, self.config.max_candidates, replace=False)))


def orders_before(histories: Histories, user: IntArray, days_ago: FloatArray) -> IntArray:
    """First order of each user (Q,) that is not before the time `days_ago` (Q,)."""
    longest = histories.order_days_ago.max(initial=0.0) + 1.0
    key = histories.order_user * longest - histories.order_days_ago  # ascending over all orders
    found = np.searchsorted(key, user * longest - days_ago, side="left")
    return np.clip(found, histories.user_start[user], histories.user_start[user + 1])


def window_start(histories: Histories, user: IntArray, end: IntArray, max_orders: int) -> IntArray:
    """First order (Q,) of the latest `max_orders` before `end` (Q,)."""
    return np.maximum(histories.user_start[user], end - max_orders)


def answerable(histories: Histories, asked: Asked, horizon_days: int, max_orders: int) -> Asked:
    """Keep questions whose next order comes within the horizon, and that lie in their user's window of orders."""
    in_history = asked.seen_until < histories.user_start[asked.user + 1]
    target = np.where(in_history, asked.seen_until, 0)
    waiting = asked.days_ago - histories.order_days_ago[target]
    keep = in_history & (waiting < horizon_days)
    user, seen, week = asked.user[keep], asked.seen_until[keep], asked.week[keep]
    latest = np.zeros(histories.user_count, np.int64)
    np.maximum.at(latest, user, seen)
    inside = seen >= window_start(histories, user, latest[user], max_orders)
    return Asked(user[inside], seen[inside], week[inside])


def answer(questioner: Questioner, asked: Asked, candidates: Tensor | None) -> Batch:
    """Questions with the items of the next order as targets."""
    histories = questioner.histories
    start = histories.order_start[asked.seen_until]
    question, line = spread(start, histories.order_start[asked.seen_until + 1] - start)
    return with_targets(questioner.ask(asked), question, histories.line_item[line], candidates)


def with_targets(questions: Questions, question: IntArray, item: IntArray, candidates: Tensor | None) -> Batch:
    """Attach targets (G,) to questions and find them among the own items."""
    items = questions.trends.shape[-1]
    own = questions.own_question.numpy() * items + questions.own_item.numpy()
    target = question * items + item
    place = np.searchsorted(own, target)
    is_own = own[np.minimum(place, len(own) - 1)] == target if len(own) else np.zeros(len(target), bool)
    return Batch(
        questions=questions,
        candidates=candidates,
        target_question=torch.from_numpy(question),
        target_item=torch.from_numpy(item),
        target_own=torch.from_numpy(np.where(is_own, place, -1)),
    )


def oldest_week(histories: Histories, horizon_days: int) -> int:
    """Oldest week before the as-of worth asking at, at least 1: a horizon and a trend window after the first order.

    Before that, users look cold only because the log begins there.
    """
    longest = histories.order_days_ago.max(initial=0.0)
    return max(1, int((longest - horizon_days) // WEEK) - min(TREND_WEEKS))
