"""The store twin's events: what a block of users does and what the shop's log says about it."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from everstay import tables as t
from everstay.settings import StoreTwinSource
from everstay.sources.store_twin.browsing import browse, draw_looks
from everstay.sources.store_twin.catalogue import Catalogue, draw_catalogue, item_ids
from everstay.sources.store_twin.checkout import check_out
from everstay.sources.store_twin.follow_ups import draw_ratings, draw_returns, send_messages
from everstay.sources.store_twin.intensity import Intensity, compute_intensity
from everstay.sources.store_twin.lines import Lines, draw_lines
from everstay.sources.store_twin.random import IntArray, Stream, generator
from everstay.sources.store_twin.users import DAY, UserBlock, campaign_days, campaign_ids, draw_users, moments
from everstay.sources.store_twin.visits import Visits, draw_visits, number_within

_MEAN_LATENESS = 20_000_000
_LATE_SHARE = 0.01
_LATE_HOURS = (1, 36)


@dataclass(frozen=True)
class BlockHistory:
    """The hidden course of one block: everything but the details of the log."""

    users: UserBlock
    intensity: Intensity
    catalogue: Catalogue
    visits: Visits
    lines: Lines


def simulate_history(settings: StoreTwinSource, block: int) -> BlockHistory:
    """Who comes when and buys what, for all users of a block."""
    users = draw_users(settings, block)
    intensity = compute_intensity(settings, users)
    catalogue = draw_catalogue(settings)
    visits = draw_visits(settings, block, users, intensity)
    lines = draw_lines(settings, block, users, catalogue, visits)
    return BlockHistory(users, intensity, catalogue, visits, lines)


def simulate_events(settings: StoreTwinSource, block: int) -> tuple[pl.DataFrame, IntArray]:
    """The clean log of a whole block, in order of user and time.

    Returns:
        Events that conform to `t.EVENTS`, and (events,) each one's user number in the shop.
    """
    history = simulate_history(settings, block)
    users, intensity, catalogue, visits = history.users, history.intensity, history.catalogue, history.visits
    looks = draw_looks(settings, block, users, catalogue, visits, history.lines)
    bought, redeemed = check_out(settings, block, intensity, catalogue, visits, history.lines, looks.checkout)
    returned, is_returned = draw_returns(settings, block, bought)
    parts = [
        *browse(settings, block, catalogue, visits, looks),
        redeemed,
        bought,
        returned,
        *draw_ratings(settings, block, users, catalogue, bought, is_returned),
        *send_messages(settings, block, users, intensity),
    ]
    log = pl.concat(parts, how="diagonal_relaxed").filter(pl.col(t.OCCURRED_AT) < settings.days * DAY)
    log = log.sort(t.USER_ID, t.OCCURRED_AT, maintain_order=True)
    late = _lateness(generator(settings, Stream.RECORDING, block), log.height)
    numbers = users.number[log[t.USER_ID].to_numpy()]
    return _name_everything(log, late, history, len(campaign_days(settings))), numbers


def _lateness(rng: np.random.Generator, count: int) -> IntArray:
    """(count,) microseconds until an event is recorded: seconds, or for a few of them hours."""
    soon = rng.exponential(_MEAN_LATENESS, count)
    late = rng.uniform(*_LATE_HOURS, count) * DAY / 24
    return np.where(rng.random(count) < _LATE_SHARE, late, soon).astype(np.int64)


def _name_everything(log: pl.DataFrame, late: IntArray, history: BlockHistory, campaigns: int) -> pl.DataFrame:
    """Replace indices by ids and microseconds by times; absent numbers become 0."""
    user_index, occurred = log[t.USER_ID], log[t.OCCURRED_AT].to_numpy()
    user = history.users.ids().gather(user_index)
    number = pl.Series(number_within(user_index.to_numpy())).cast(pl.String).str.zfill(5)
    named = log.with_columns(
        user.alias(t.USER_ID),
        ("e" + user.str.slice(1) + "-" + number).alias(t.EVENT_ID),
        item_ids(len(history.catalogue.category)).gather(log[t.ITEM_ID]).alias(t.ITEM_ID),
        ("o" + user.str.slice(1) + "-" + log[t.ORDER_ID].cast(pl.String).str.zfill(4)).alias(t.ORDER_ID),
        ("s" + user.str.slice(1) + "-" + log[t.SESSION_ID].cast(pl.String).str.zfill(4)).alias(t.SESSION_ID),
        campaign_ids(campaigns).gather(log[t.CAMPAIGN_ID]).alias(t.CAMPAIGN_ID),
        moments(occurred).alias(t.OCCURRED_AT),
        moments(occurred + late).alias(t.RECORDED_AT),
        pl.col(t.QUANTITY, t.AMOUNT, t.DISCOUNT).fill_null(0),
    )
    return t.EVENTS.conform(named)
