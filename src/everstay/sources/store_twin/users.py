"""The store twin's users: hidden parameters, declared attributes and randomised campaigns, drawn per block."""

from dataclasses import dataclass, fields
from datetime import UTC, datetime

import numpy as np
import polars as pl

from everstay import tables as t
from everstay.settings import StoreTwinSource
from everstay.sources.store_twin.catalogue import CATEGORIES
from everstay.sources.store_twin.random import BLOCK_USERS, BoolArray, FloatArray, IntArray, Stream, generator

CLOCK_START = datetime(2023, 1, 1, tzinfo=UTC)
DAY = 86_400_000_000
"""Microseconds."""

AGE_BANDS = ("18-24", "25-34", "35-49", "50-64", "65+")
_INCOME_BANDS = ("low", "middle", "high")
_HOUSEHOLD_SIZES = ("1", "2", "3", "4+")

MEAN_PURCHASE_RATE = 0.085
MEAN_LEAVE_HAZARD = 0.004
RATE_SHAPE = 1.6
HAZARD_SHAPE = 1.2
_VETERAN_SHARE = 0.6
_CONSENT_SHARE = 0.85
_CAMPAIGN_STEP_DAYS = 28
_PROPENSITIES = (0.5, 0.3)
_MESSAGE_COST = 0.05
COUPON_ARM = "coupon"
CONTROL_ARM = "control"


@dataclass(frozen=True)
class UserBlock:
    """Hidden parameters and declared attributes of one block. Shapes: (users,) unless said otherwise.

    Attributes:
        number: the user's number in the shop.
        joined: microseconds since the clock's start, negative for users from before.
        first_day: first day on which the user visits: the one after joining, at least 0.
        rate: orders per day while active, before season and coupons; gamma distributed.
        hazard: of leaving for good, per day, before coupons; gamma distributed.
        patience: the user leaves when the accumulated hazard reaches this; exponentially distributed.
        rate_factor: on `rate` while a coupon is in effect; above 1 for most young users, below 1 for most old ones.
        hazard_factor: on `hazard` while a coupon is in effect.
        taste_start: (users, categories) category shares of fresh choices on day 0.
        taste_end: (users, categories) the same at the clock's end; linear in between.
        repeat_share: of lines that repeat an earlier purchase of the user.
        mood: added to every rating the user gives.
        open_share: of messages that are opened while active.
        app_share: of visits that happen in the app.
        age, income, household: indices into their bands.
        has_consent: may be sent messages; only these take part in campaigns.
        is_eligible: (users, campaigns) took part in the randomisation.
        is_treated: (users, campaigns) got the coupon.
    """

    number: IntArray
    joined: IntArray
    first_day: IntArray
    rate: FloatArray
    hazard: FloatArray
    patience: FloatArray
    rate_factor: FloatArray
    hazard_factor: FloatArray
    taste_start: FloatArray
    taste_end: FloatArray
    repeat_share: FloatArray
    mood: FloatArray
    open_share: FloatArray
    app_share: FloatArray
    age: IntArray
    income: IntArray
    household: IntArray
    has_consent: BoolArray
    is_eligible: BoolArray
    is_treated: BoolArray

    def head(self, count: int) -> "UserBlock":
        """The first `count` users."""
        return UserBlock(**{field.name: getattr(self, field.name)[:count] for field in fields(self)})

    def ids(self) -> pl.Series:
        """User ids, for example `u0000012`."""
        return "u" + pl.Series(self.number).cast(pl.String).str.zfill(7)

    def frame(self) -> pl.DataFrame:
        """The table of users."""
        columns = {
            t.USER_ID: self.ids(),
            t.JOINED_AT: moments(self.joined),
            t.AGE_BAND: pl.Series(AGE_BANDS).gather(self.age),
            t.INCOME_BAND: pl.Series(_INCOME_BANDS).gather(self.income),
            t.HOUSEHOLD_SIZE: pl.Series(_HOUSEHOLD_SIZES).gather(self.household),
            t.HAS_MARKETING_CONSENT: self.has_consent,
        }
        return t.USERS.conform(pl.DataFrame(columns))

    def treatments(self, days: IntArray) -> pl.DataFrame:
        """The table of treatments; `days` are the campaigns' (campaigns,) days."""
        user, campaign = np.nonzero(self.is_eligible)
        is_treated = self.is_treated[user, campaign]
        columns = {
            t.CAMPAIGN_ID: campaign_ids(len(days)).gather(campaign),
            t.USER_ID: self.ids().gather(user),
            t.ARM: pl.Series([CONTROL_ARM, COUPON_ARM]).gather(is_treated.astype(np.int64)),
            t.ASSIGNED_AT: moments(days[campaign] * DAY),
            t.PROPENSITY: campaign_propensities(days)[campaign],
            t.COST: np.where(is_treated, _MESSAGE_COST, 0.0),
        }
        return t.TREATMENTS.conform(pl.DataFrame(columns))


def moments(microseconds: IntArray) -> pl.Series:
    """Times, from microseconds since the clock's start."""
    start = np.datetime64(CLOCK_START.replace(tzinfo=None), "us")
    return pl.Series(start + microseconds.astype("timedelta64[us]")).dt.replace_time_zone("UTC")


def campaign_days(settings: StoreTwinSource) -> IntArray:
    """(campaigns,) days on whose first instant the users are randomised."""
    return np.arange(_CAMPAIGN_STEP_DAYS, settings.days - 1, _CAMPAIGN_STEP_DAYS, dtype=np.int64)


def campaign_propensities(days: IntArray) -> FloatArray:
    """(campaigns,) probabilities of getting the coupon."""
    return np.resize(np.array(_PROPENSITIES), len(days))


def campaign_ids(count: int) -> pl.Series:
    """The ids of the first `count` campaigns, for example `c001`."""
    return "c" + pl.Series(np.arange(1, count + 1)).cast(pl.String).str.zfill(3)


def shop_users(settings: StoreTwinSource, block: int) -> UserBlock:
    """The users of a block that belong to the shop: all, except in the last block."""
    return draw_users(settings, block).head(settings.users - block * BLOCK_USERS)


def draw_users(settings: StoreTwinSource, block: int) -> UserBlock:
    """All `BLOCK_USERS` users of a block, also those beyond the shop's number of users."""
    rng = generator(settings, Stream.USERS, block)
    n = BLOCK_USERS
    is_veteran = rng.random(n) < _VETERAN_SHARE
    joined_day = np.where(is_veteran, rng.uniform(-700, -1, n), rng.uniform(0, 0.9 * settings.days, n))
    joined = (joined_day * DAY).astype(np.int64)
    age = rng.integers(len(AGE_BANDS), size=n)
    has_consent = rng.random(n) < _CONSENT_SHARE
    categories = min(len(CATEGORIES), settings.items)
    base = 0.6 * np.arange(1, categories + 1) ** -0.5
    days = campaign_days(settings)
    is_eligible = has_consent[:, None] & (joined[:, None] < days * DAY)
    return UserBlock(
        number=block * n + np.arange(n),
        joined=joined,
        first_day=np.maximum(joined // DAY + 1, 0),
        rate=rng.gamma(RATE_SHAPE, MEAN_PURCHASE_RATE / RATE_SHAPE, n),
        hazard=rng.gamma(HAZARD_SHAPE, MEAN_LEAVE_HAZARD / HAZARD_SHAPE, n),
        patience=rng.exponential(size=n),
        rate_factor=np.exp(0.6 - 0.2 * age + rng.normal(0, 0.15, n)),
        hazard_factor=np.exp(-0.9 + 0.3 * age + rng.normal(0, 0.15, n)),
        taste_start=rng.dirichlet(base, n),
        taste_end=rng.dirichlet(base, n),
        repeat_share=0.6 * rng.beta(2, 2, n),
        mood=rng.normal(0, 0.4, n),
        open_share=rng.beta(2, 3, n),
        app_share=rng.beta(1, 1, n),
        income=rng.integers(len(_INCOME_BANDS), size=n),
        household=rng.integers(len(_HOUSEHOLD_SIZES), size=n),
        age=age,
        has_consent=has_consent,
        is_eligible=is_eligible,
        is_treated=is_eligible & (rng.random((n, len(days))) < campaign_propensities(days)),
    )
