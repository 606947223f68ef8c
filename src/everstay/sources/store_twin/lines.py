"""The store twin's order lines: which items are bought, and how one follows from another."""

from dataclasses import dataclass

import numpy as np

from everstay.settings import StoreTwinSource
from everstay.sources.store_twin.catalogue import STEP_SHARES, Catalogue
from everstay.sources.store_twin.random import BoolArray, FloatArray, IntArray, Stream, generator
from everstay.sources.store_twin.users import DAY, UserBlock
from everstay.sources.store_twin.visits import Visits, first_within

TRANSITION_SHARE = 0.3
"""Share of the lines whose item follows from the line before; the rest repeat an earlier order or are fresh."""

_MEAN_FURTHER_LINES = 1.4
_MAX_LINES = 8


@dataclass(frozen=True)
class Lines:
    """Lines of the orders, in order of user and time. Shapes: (lines,).

    Attributes:
        visit: index into the visits.
        item: index into the catalogue.
        is_shown: first line of this item in the order; the others exist only as the origin of later choices.
    """

    visit: IntArray
    item: IntArray
    is_shown: BoolArray


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
    return Lines(visit, item, is_shown)


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
