"""What each user of the store twin wants next: the exact probabilities behind the order lines."""

import numpy as np

from everstay.settings import StoreTwinSource
from everstay.sources.store_twin.catalogue import STEP_SHARES, Catalogue
from everstay.sources.store_twin.events import BlockHistory
from everstay.sources.store_twin.lines import TRANSITION_SHARE
from everstay.sources.store_twin.random import FloatArray, IntArray
from everstay.sources.store_twin.users import UserBlock


def following_items(catalogue: Catalogue, item: IntArray) -> FloatArray:
    """(n, items) probabilities of the item that follows from each of the (n,) items."""
    following = np.zeros((len(item), len(catalogue.category)))
    for steps, share in enumerate(STEP_SHARES, start=1):
        np.add.at(following, (np.arange(len(item)), catalogue.step(item, steps)), share)
    return following


def _fresh(users: UserBlock, catalogue: Catalogue, progress: float) -> FloatArray:
    """(users, items) probabilities of a fresh choice."""
    taste = (1 - progress) * users.taste_start + progress * users.taste_end
    return taste[:, catalogue.category] * catalogue.popularity


def next_items(history: BlockHistory, day: int, settings: StoreTwinSource) -> FloatArray:
    """(users, items) probabilities of the first line's item in the next order after `day`."""
    users, lines, visits = history.users, history.lines, history.visits
    is_past = visits.day[lines.visit] < day
    user, item = visits.user[lines.visit][is_past], lines.item[is_past]
    shape = (len(users.number), settings.items)
    bought = np.bincount(user * settings.items + item, minlength=shape[0] * shape[1]).reshape(shape)
    last = np.searchsorted(user, np.arange(shape[0]), side="right") - 1
    totals = bought.sum(axis=1, keepdims=True)
    returning = np.flatnonzero(totals)
    repeated = bought / np.maximum(totals, 1)
    followed = np.zeros(shape)
    followed[returning] = following_items(history.catalogue, item[last[returning]])
    repeat_share = np.where(totals > 0, users.repeat_share[:, None], 0)
    transition_share = np.where(totals > 0, TRANSITION_SHARE, 0)
    fresh = _fresh(users, history.catalogue, day / settings.days)
    return repeat_share * repeated + transition_share * followed + (1 - repeat_share - transition_share) * fresh
