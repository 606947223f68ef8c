"""The store twin's visits in detail: searches, views, clicks and carts."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from everstay import tables as t
from everstay.settings import StoreTwinSource
from everstay.sources.store_twin.catalogue import Catalogue
from everstay.sources.store_twin.lines import Lines, choose_fresh
from everstay.sources.store_twin.random import BoolArray, IntArray, Stream, generator
from everstay.sources.store_twin.users import DAY, UserBlock
from everstay.sources.store_twin.visits import Visits, first_within, number_within

SECOND = 1_000_000
_STEP = 45 * SECOND
_MEAN_LOOKS = {True: 1.0, False: 1.8}
_MAX_LOOKS = 15
_SEARCH_SHARE = 0.4
_CLICK_SHARE = 0.3
_ABANDONED_SHARE = 0.08


@dataclass(frozen=True)
class Looks:
    """What is looked at in the visits, in order. Shapes: (looks,) unless said otherwise.

    Attributes:
        visit: index into the visits.
        item: index into the catalogue.
        is_bought: in the order at the visit's end.
        at: microseconds since the clock's start.
        checkout: (visits,) microseconds at which the visit ends, and its order is paid.
    """

    visit: IntArray
    item: IntArray
    is_bought: BoolArray
    at: IntArray
    checkout: IntArray


def draw_looks(
    settings: StoreTwinSource, block: int, users: UserBlock, catalogue: Catalogue, visits: Visits, lines: Lines
) -> Looks:
    """Items looked at by taste alone, then those that are bought; one about every 45 seconds."""
    rng = generator(settings, Stream.LOOKS, block)
    mean = np.where(visits.is_order, _MEAN_LOOKS[True], _MEAN_LOOKS[False])
    idle_counts = np.minimum(rng.poisson(mean) + ~visits.is_order, _MAX_LOOKS)
    idle = np.repeat(np.arange(len(visits.user)), idle_counts)
    idle_item = choose_fresh(users, catalogue, visits.user[idle], visits.start[idle] / (settings.days * DAY), rng)
    visit = np.hstack([idle, lines.visit[lines.is_shown]])
    item = np.hstack([idle_item, lines.item[lines.is_shown]])
    is_bought = np.arange(len(visit)) >= len(idle)
    order = np.argsort(visit, kind="stable")
    visit = visit[order]
    at = visits.start[visit] + (1 + number_within(visit)) * _STEP + rng.integers(20 * SECOND, size=len(visit))
    checkout = visits.start + (1 + np.bincount(visit, minlength=len(visits.user))) * _STEP
    return Looks(visit, item[order], is_bought[order], at, checkout)


def browse(
    settings: StoreTwinSource, block: int, catalogue: Catalogue, visits: Visits, looks: Looks
) -> list[pl.DataFrame]:
    """Events before the checkout; ids are still indices and times microseconds.

    Views of everything looked at, clicks on some of it, carts of what is bought and of a little more, and, at the start
    of some visits, a search for the kind of the first item.
    """
    rng = generator(settings, Stream.BROWSING, block)
    seen = visits.events(looks.visit, t.VIEW, looks.at).with_columns(pl.Series(t.ITEM_ID, looks.item))
    is_clicked = rng.random(len(looks.visit)) < _CLICK_SHARE
    is_carted = looks.is_bought | (rng.random(len(looks.visit)) < _ABANDONED_SHARE)
    clicks = seen.filter(is_clicked).with_columns(
        pl.lit(t.CLICK).alias(t.EVENT_TYPE), pl.col(t.OCCURRED_AT) + 5 * SECOND
    )
    carts = seen.filter(is_carted).with_columns(
        pl.lit(t.CART).alias(t.EVENT_TYPE), pl.col(t.OCCURRED_AT) + 20 * SECOND, pl.lit(1).alias(t.QUANTITY)
    )
    first = np.unique(first_within(looks.visit))
    first = first[rng.random(len(first)) < _SEARCH_SHARE]
    words = catalogue.subcategory_names().gather(looks.item[first]).alias(t.TEXT)
    searched = looks.visit[first]
    searches = visits.events(searched, t.SEARCH, visits.start[searched]).with_columns(words)
    return [searches, seen, clicks, carts]
