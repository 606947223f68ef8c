"""What follows in the store twin: returns, ratings, reviews and messages."""

import numpy as np
import polars as pl

from everstay import tables as t
from everstay.settings import StoreTwinSource
from everstay.sources.store_twin.catalogue import Catalogue
from everstay.sources.store_twin.intensity import Intensity
from everstay.sources.store_twin.random import BoolArray, IntArray, Stream, generator
from everstay.sources.store_twin.text import comments, reviews
from everstay.sources.store_twin.users import DAY, UserBlock, campaign_days
from everstay.sources.store_twin.visits import first_within

WHOLE_RETURN_SHARE = 0.02
"""Share of the orders that are wholly returned; they are no net purchases."""

_PARTIAL_RETURN_SHARE = 0.05
_RETURN_DAYS = (1, 14)
_RATED_SHARE = 0.12
_REVIEWED_SHARE = 0.4
_RATING_DAYS = (1, 10)
_MEAN_RATING = 3.8
_MINUTE = DAY // 1440


def draw_returns(settings: StoreTwinSource, block: int, bought: pl.DataFrame) -> tuple[pl.DataFrame, BoolArray]:
    """Returns of whole orders, and of the last line of larger ones, one to fourteen days later.

    Args:
        settings: of the shop.
        block: of users.
        bought: purchase events in order of user and time, ids as indices and times as microseconds.

    Returns:
        Return events, with the amount that is paid back, and (lines,) whether the line was returned.
    """
    rng = generator(settings, Stream.RETURNS, block)
    line = np.arange(bought.height)
    first = first_within(bought.select(pl.struct(t.USER_ID, t.ORDER_ID).rle_id()).to_series().to_numpy())
    uniform = rng.random(bought.height)[first]  # one number per order
    is_last = np.append(first[1:], -1) != first
    is_partial = (uniform < WHOLE_RETURN_SHARE + _PARTIAL_RETURN_SHARE) & is_last & (line > first)
    is_returned = (uniform < WHOLE_RETURN_SHARE) | is_partial
    delay = (rng.uniform(*_RETURN_DAYS, bought.height)[first] * DAY).astype(np.int64)
    returns = bought.with_columns(
        pl.lit(t.RETURN).alias(t.EVENT_TYPE),
        pl.col(t.OCCURRED_AT) + delay,
        pl.lit(0.0).alias(t.DISCOUNT),
    ).drop(t.SESSION_ID, t.CAMPAIGN_ID)
    return returns.filter(is_returned), is_returned


def draw_ratings(
    settings: StoreTwinSource,
    block: int,
    users: UserBlock,
    catalogue: Catalogue,
    bought: pl.DataFrame,
    is_returned: BoolArray,
) -> list[pl.DataFrame]:
    """Ratings from 1 to 5 with a comment, and reviews of some of them.

    Rating = mean + quality of the item + mood of the user − 1.5 when returned + noise, rounded.
    """
    rng = generator(settings, Stream.RATINGS, block)
    chosen = np.flatnonzero(rng.random(bought.height) < _RATED_SHARE)
    rated = bought[chosen]
    user, item = rated[t.USER_ID].to_numpy(), rated[t.ITEM_ID].to_numpy()
    mean = _MEAN_RATING + catalogue.quality[item] + users.mood[user] - 1.5 * is_returned[chosen]
    rating = np.clip(np.round(mean + rng.normal(0, 0.6, len(chosen))), 1, 5).astype(np.int64)
    choice = rng.integers(1_000, size=len(chosen))
    delay = (rng.uniform(*_RATING_DAYS, len(chosen)) * DAY).astype(np.int64)
    ratings = rated.select(t.USER_ID, t.ITEM_ID, t.ORDER_ID, t.PLATFORM, t.OCCURRED_AT).with_columns(
        pl.lit(t.RATE).alias(t.EVENT_TYPE),
        pl.col(t.OCCURRED_AT) + delay,
        pl.Series(t.RATING, rating),
        comments(rating, choice).alias(t.TEXT),
    )
    text = reviews(rating, choice, catalogue.subcategory_names().gather(item))
    written = ratings.with_columns(
        pl.lit(t.REVIEW).alias(t.EVENT_TYPE), pl.col(t.OCCURRED_AT) + _MINUTE, text.alias(t.TEXT)
    )
    return [ratings, written.filter(rng.random(len(chosen)) < _REVIEWED_SHARE)]


def send_messages(settings: StoreTwinSource, block: int, users: UserBlock, intensity: Intensity) -> list[pl.DataFrame]:
    """A message at eight to every treated user, also to those who left; only active users open it."""
    rng = generator(settings, Stream.MESSAGES, block)
    user, campaign = np.nonzero(users.is_treated)
    day = campaign_days(settings)[campaign]
    sent = day * DAY + 8 * 60 * _MINUTE + rng.integers(_MINUTE, size=len(user))
    is_active = (users.first_day[user] <= day) & (day < intensity.leave_day[user])
    is_opened = is_active & (rng.random(len(user)) < users.open_share[user])
    opened = sent + rng.integers(_MINUTE, 15 * 60 * _MINUTE, size=len(user))
    messages = _messages(user, campaign, t.MESSAGE_SENT, sent)
    return [messages, _messages(user, campaign, t.MESSAGE_OPENED, opened).filter(is_opened)]


def _messages(user: IntArray, campaign: IntArray, event_type: str, at: IntArray) -> pl.DataFrame:
    frame = pl.DataFrame({t.USER_ID: user, t.CAMPAIGN_ID: campaign, t.OCCURRED_AT: at})
    return frame.with_columns(pl.lit(event_type).alias(t.EVENT_TYPE))
