"""The store twin's checkout: purchases with their amounts and discounts, and redeemed coupons."""

import numpy as np
import polars as pl

from everstay import tables as t
from everstay.settings import StoreTwinSource
from everstay.sources.store_twin.browsing import SECOND
from everstay.sources.store_twin.catalogue import Catalogue
from everstay.sources.store_twin.intensity import NO_CAMPAIGN, Intensity
from everstay.sources.store_twin.lines import Lines
from everstay.sources.store_twin.random import BoolArray, IntArray, Stream, generator
from everstay.sources.store_twin.visits import Visits

COUPON_DISCOUNT = 0.15
REDEEM_SHARE = 0.6
"""Of the first orders under a coupon."""

_OFFER_SHARE = 0.1
_OFFER_DISCOUNT = 0.1
_MAX_QUANTITY = 5


def check_out(
    settings: StoreTwinSource,
    block: int,
    intensity: Intensity,
    catalogue: Catalogue,
    visits: Visits,
    lines: Lines,
    checkout: IntArray,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The purchase events, one per shown line, and the coupon redemptions of their orders.

    Amount = price × quantity − discount, in whole cents. A redeemed coupon lowers every line of its order, an offer
    single lines. Ids are still indices and times microseconds.
    """
    rng = generator(settings, Stream.CHECKOUT, block)
    campaign = intensity.campaign[visits.user, visits.day]
    redeems = _draw_redemptions(rng, visits, campaign)
    visit, item = lines.visit[lines.is_shown], lines.item[lines.is_shown]
    quantity = np.minimum(1 + rng.poisson(0.3, len(visit)), _MAX_QUANTITY)
    is_offer = rng.random(len(visit)) < _OFFER_SHARE
    share = np.where(redeems[visit], COUPON_DISCOUNT, np.where(is_offer, _OFFER_DISCOUNT, 0.0))
    full = catalogue.price[item] * quantity
    discount = np.round(full * share, 2)
    bought = visits.events(visit, t.PURCHASE, checkout[visit]).with_columns(
        pl.Series(t.ITEM_ID, item),
        pl.Series(t.ORDER_ID, visits.number[visit]),
        pl.Series(t.QUANTITY, quantity),
        pl.Series(t.AMOUNT, np.round(full - discount, 2)),
        pl.Series(t.DISCOUNT, discount),
        _campaign(np.where(redeems, campaign, NO_CAMPAIGN)[visit]),
    )
    paid = np.flatnonzero(redeems)
    redeemed = visits.events(paid, t.COUPON_REDEEMED, checkout[paid] - SECOND).with_columns(
        pl.Series(t.ORDER_ID, visits.number[paid]), _campaign(campaign[paid])
    )
    return bought, redeemed


def _draw_redemptions(rng: np.random.Generator, visits: Visits, campaign: IntArray) -> BoolArray:
    """(visits,) whether the order redeems a coupon: some of the first orders of each user and campaign do."""
    candidates = np.flatnonzero(visits.is_order & (campaign != NO_CAMPAIGN))
    pairs = np.stack([visits.user[candidates], campaign[candidates]])
    first = candidates[np.unique(pairs, axis=1, return_index=True)[1]]
    redeems = np.zeros(len(visits.user), dtype=bool)
    redeems[first[rng.random(len(first)) < REDEEM_SHARE]] = True
    return redeems


def _campaign(index: IntArray) -> pl.Series:
    series = pl.Series(t.CAMPAIGN_ID, index)
    return series.set(series == NO_CAMPAIGN, None)
