"""The store twin's visits and order lines: who comes when, and which items follow from which."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from everstay import tables as t
from everstay.settings import StoreTwinSource
from everstay.sources.store_twin_catalogue import STEP_SHARES, Catalogue
from everstay.sources.store_twin_intensity import Intensity
from everstay.sources.store_twin_random import BoolArray, FloatArray, IntArray, Stream, generator
from everstay.sources.store_twin_users import DAY, UserBlock

TRANSITION_SHARE = 0.3
"""Of the lines, those whose item follows from the line before; the rest repeats an earlier order or is fresh."""

_BROWSING_PER_ORDER = 1.2
_MEAN_FURTHER_LINES = 1.4
_MAX_LINES = 8
_HOUR = DAY // 24


@dataclass(frozen=True)
class Visits:
    """Visits of a block, in order of user and time. Shapes: (visits,).

    Attributes:
        user: index into the block.
        start: microseconds since the clock's start.
        is_order: ends with an order; the others only look around.
        is_app: in the app, not on the web.
        number: of the visit within the user, from 0; names the session, and the order where there is one.
    """

    user: IntArray
    start: IntArray
    is_order: BoolArray
    is_app: BoolArray
    number: IntArray

    @property
    def day(self) -> IntArray:
        """Days since the clock's start."""
        return self.start // DAY

    def events(self, visit: IntArray, event_type: str, at: IntArray) -> pl.DataFrame:
        """One event per index in `visit`; ids are still indices and times microseconds."""
        columns = {
            t.USER_ID: self.user[visit],
            t.OCCURRED_AT: at,
            t.SESSION_ID: self.number[visit],
            t.PLATFORM: pl.Series(["web", "app"]).gather(self.is_app[visit].astype(np.int64)),
        }
        return pl.DataFrame(columns).with_columns(pl.lit(event_type).alias(t.EVENT_TYPE))


@dataclass(frozen=True)
class Lines:
    """Lines of the orders, in order of user and time. Shapes: (lines,).

    Attributes:
        visit: index into the visits.
        position: within the order, from 0.
        item: index into the catalogue.
        is_shown: first line of this item in the order; the others exist only as the origin of later choices.
    """

    visit: IntArray
    position: IntArray
    item: IntArray
    is_shown: BoolArray


def draw_visits(settings: StoreTwinSource, block: int, users: UserBlock, intensity: Intensity) -> Visits:
    """Orders, and visits without one, as two Poisson processes that share season, coupons and leaving."""
    rng = generator(settings, Stream.VISITS, block)
    rate = intensity.active_order_rate()
    orders = _flat_users_and_days(rng.poisson(rate))
    browsing = _flat_users_and_days(rng.poisson(rate * _BROWSING_PER_ORDER))
    user, day = np.hstack([orders, browsing])
    is_order = np.arange(len(user)) < orders.shape[1]
    hour = np.where(rng.random(len(user)) < 0.4, rng.normal(12.5, 2, len(user)), rng.normal(19.5, 1.8, len(user)))
    start = day * DAY + (np.clip(hour, 6, 23) * _HOUR + rng.integers(_HOUR // 2, size=len(user))).astype(np.int64)
    order = np.lexsort((start, user))
    user = user[order]
    is_app = rng.random(len(user)) < users.app_share[user]
    return Visits(user, start[order], is_order[order], is_app, number_within(user))


def _flat_users_and_days(counts: IntArray) -> IntArray:
    """(2, events) user and day of each event, from (users, days) counts."""
    index = np.repeat(np.arange(counts.size), counts.ravel())
    return np.stack(np.divmod(index, counts.shape[1]))


def number_within(group: IntArray) -> IntArray:
    """Number of each element within its run of equal values, from 0.

    >>> number_within(np.array([4, 4, 7, 9, 9, 9])).tolist()
    [0, 1, 0, 0, 1, 2]
    """
    return np.arange(len(group)) - first_within(group)


def first_within(group: IntArray) -> IntArray:
    """Index of the first element of each element's run of equal values."""
    starts = np.flatnonzero(np.diff(group, prepend=-1))
    return np.repeat(starts, np.diff(starts, append=len(group)))


def choose_fresh(
    users: UserBlock, catalogue: Catalogue, user: IntArray, progress: FloatArray, rng: np.random.Generator
) -> IntArray:
    """Items by the user's taste alone: a category by today's taste, then an item by popularity.

    Args:
        users: the block.
        catalogue: the items.
        user: (choices,) indices into the block.
        progress: (choices,) share of the clock that has passed, which is the weight of the final taste.
        rng: consumes three numbers per choice.
    """
    uniform = rng.random((3, len(user)))
    is_late = uniform[0] < progress
    taste = np.where(is_late[:, None], users.taste_end[user], users.taste_start[user])
    category = (uniform[1][:, None] > np.cumsum(taste[:, :-1], axis=1)).sum(axis=1)
    return catalogue.choose(category, uniform[2])


def draw_lines(settings: StoreTwinSource, block: int, users: UserBlock, catalogue: Catalogue, visits: Visits) -> Lines:
    """Items of every order.

    A line repeats a line of the user's earlier orders (uniformly), follows from the line just before, or is a fresh
    choice. Where there is nothing to repeat or follow, it is fresh.
    """
    rng = generator(settings, Stream.LINES, block)
    orders = np.flatnonzero(visits.is_order)
    counts = np.minimum(1 + rng.poisson(_MEAN_FURTHER_LINES, len(orders)), _MAX_LINES)
    visit = np.repeat(orders, counts)
    user = visits.user[visit]
    parent, steps = _draw_origins(rng, users.repeat_share[user], user, visit)
    root, steps = _follow(parent, steps)
    fresh = choose_fresh(users, catalogue, user, visits.start[visit] / (settings.days * DAY), rng)
    item = catalogue.step(fresh[root], steps)
    is_shown = np.zeros(len(item), dtype=bool)
    is_shown[np.unique(visit * settings.items + item, return_index=True)[1]] = True
    return Lines(visit, number_within(visit), item, is_shown)


def _draw_origins(
    rng: np.random.Generator, repeat_share: FloatArray, user: IntArray, visit: IntArray
) -> tuple[IntArray, IntArray]:
    """For each line the line it comes from (itself when fresh) and the steps in the ring between them."""
    line = np.arange(len(user))
    first_of_user, first_of_order = first_within(user), first_within(visit)
    uniform = rng.random((2, len(user)))
    steps = rng.choice(np.arange(1, len(STEP_SHARES) + 1), p=STEP_SHARES, size=len(user))
    repeats = (uniform[0] < repeat_share) & (first_of_order > first_of_user)
    in_transition_band = (uniform[0] >= repeat_share) & (uniform[0] < repeat_share + TRANSITION_SHARE)
    follows = in_transition_band & (line > first_of_user)
    earlier = first_of_user + (uniform[1] * (first_of_order - first_of_user)).astype(np.int64)
    parent = np.where(repeats, earlier, np.where(follows, line - 1, line))
    return parent, np.where(follows, steps, 0)


def _follow(parent: IntArray, steps: IntArray) -> tuple[IntArray, IntArray]:
    """Each line's fresh origin and the steps from it, by pointer doubling: log2 of the longest chain rounds.

    >>> _follow(np.array([0, 0, 1, 3]), np.array([0, 2, 1, 0]))
    (array([0, 0, 0, 3]), array([0, 2, 3, 0]))
    """
    while not np.array_equal(grandparent := parent[parent], parent):
        steps = steps + steps[parent]
        parent = grandparent
    return parent, steps
