"""What is true in the store twin: each user's hidden parameters, churn probability and next item.

The names of columns that exist only here are spelled here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import polars as pl

from everstay import tables as t
from everstay.settings import StoreTwinSource
from everstay.sources.store_twin.catalogue import draw_catalogue, item_ids
from everstay.sources.store_twin.chunk import open_chunks
from everstay.sources.store_twin.events import simulate_history
from everstay.sources.store_twin.faults import FAULT
from everstay.sources.store_twin.follow_ups import WHOLE_RETURN_SHARE
from everstay.sources.store_twin.intensity import Intensity, compute_intensity, season
from everstay.sources.store_twin.preferences import following_items, next_items
from everstay.sources.store_twin.random import FloatArray, IntArray, block_count
from everstay.sources.store_twin.reader import Foretell, read_visits
from everstay.sources.store_twin.users import CLOCK_START, DAY, UserBlock, moments, shop_users

PURCHASE_RATE = "purchase_rate"  # orders per day while active, before season and coupons
LEAVE_HAZARD = "leave_hazard"  # per day, before coupons
LEFT_AT = "left_at"  # midnight from which on the user never visits again; null: stays to the clock's end
COUPON_RATE_FACTOR = "coupon_rate_factor"  # on the purchase rate, on the 14 days after the day of assignment
COUPON_HAZARD_FACTOR = "coupon_hazard_factor"  # on the hazard, on the same days
REPEAT_SHARE = "repeat_share"  # of lines that repeat one of an earlier order
TASTE_START = "taste_start"  # shares of the categories among fresh choices, at the clock's start
TASTE_END = "taste_end"  # the same at its end; in between, linear

_Told = Callable[[int, UserBlock, int, Foretell], FloatArray]


@dataclass(frozen=True)
class StoreTruth:
    """The hidden side of the shop, recomputed from the seed whenever it is asked for.

    Methods that take an as-of want a midnight within the clock and answer for the users that had joined by then.
    """

    settings: StoreTwinSource

    def users(self) -> pl.DataFrame:
        """One row per user: `USER_ID`, `JOINED_AT` and the columns named in this module."""
        return self._stack(self._user_parameters)

    def season(self) -> FloatArray:
        """(days,) factor of each day of the clock on every user's purchase rate."""
        return season(self.settings.days)

    def transitions(self) -> FloatArray:
        """(items, items) probability of the next line's item, given the last one's and that the line follows from it.

        A line follows from the last one with probability `TRANSITION_SHARE`.
        """
        catalogue = draw_catalogue(self.settings)
        return following_items(catalogue, np.arange(self.settings.items))

    def churn_probability(self, as_of: datetime, *, horizon_days: int, gap_days: int = 0) -> pl.DataFrame:
        """P(no net purchase in `[as_of + gap, as_of + gap + horizon)`), given the hidden state at the as-of.

        The hidden state is the user's parameters, whether the user has left before the as-of (then the probability
        is 1), and the campaign plan with its assignments, also those within the window. When the user will leave, and
        which orders will be wholly returned, is not known. Users who join at the as-of or later are not in the result.

        Returns:
            `USER_ID`, `CHURN_PROBABILITY`.

        Raises:
            ValueError: the as-of is no midnight of the clock, or the window ends after the clock.
        """
        return self._churn(as_of, gap_days, horizon_days, self._was_active)

    def visible_churn_probability(self, as_of: datetime, *, horizon_days: int, gap_days: int = 0) -> pl.DataFrame:
        """The same, given only the times of the visits before the as-of, not whether the user has left.

        The user's parameters and the campaigns are still known, which no log reveals.

        Returns:
            `USER_ID`, `CHURN_PROBABILITY`.

        Raises:
            ValueError: the as-of is no midnight of the clock, or the window ends after the clock.
        """
        return self._churn(as_of, gap_days, horizon_days, self._seems_active)

    def readable_churn_probability(self, as_of: datetime, *, horizon_days: int, gap_days: int = 0) -> pl.DataFrame:
        """The same, but each user's rate and hazard are unknown too and inferred from the visits.

        How users are drawn, the season, the campaigns (also those to come) and what coupons do to each user are known.
        No model that learns from the log is better on average (opened messages, which this leaves out, tell a little
        more).

        Returns:
            `USER_ID`, `CHURN_PROBABILITY`.

        Raises:
            ValueError: the as-of is no midnight of the clock, or the window ends after the clock.
        """
        return self._churn(as_of, gap_days, horizon_days, self._is_guessed)

    def _churn(self, as_of: datetime, gap_days: int, horizon_days: int, told: _Told) -> pl.DataFrame:
        day = self._day(as_of)
        if day + gap_days + horizon_days > self.settings.days:
            raise ValueError(f"the window of {gap_days} + {horizon_days} days from {as_of} ends after the clock")

        def churns(intensity: Intensity, is_active: FloatArray) -> FloatArray:
            silent = intensity.no_order_probability(day, gap_days, horizon_days, 1 - WHOLE_RETURN_SHARE)
            return np.asarray(1 - is_active * (1 - silent))

        def of_block(block: int) -> pl.DataFrame:
            users = shop_users(self.settings, block)
            frame = pl.DataFrame({t.USER_ID: users.ids(), t.CHURN_PROBABILITY: told(block, users, day, churns)})
            return frame.filter(users.joined < day * DAY)

        return self._stack(of_block)

    def _was_active(self, _block: int, users: UserBlock, day: int, churns: Foretell) -> FloatArray:
        intensity = compute_intensity(self.settings, users)
        return churns(intensity, (intensity.leave_day >= day).astype(np.float64))

    def _seems_active(self, block: int, users: UserBlock, day: int, churns: Foretell) -> FloatArray:
        _, last_visit_day = self._past_visits(block, users, day)
        intensity = compute_intensity(self.settings, users)
        return churns(intensity, intensity.active_probability(day, last_visit_day))

    def _is_guessed(self, block: int, users: UserBlock, day: int, churns: Foretell) -> FloatArray:
        count, last_visit_day = self._past_visits(block, users, day)
        intensity = compute_intensity(self.settings, users)
        return read_visits(users, intensity, count, last_visit_day, day, churns)

    def _past_visits(self, block: int, users: UserBlock, day: int) -> tuple[IntArray, IntArray]:
        """(users,) number of visits before the day, and day of the last of them, -1 for none."""
        visits = simulate_history(self.settings, block).visits
        is_past = (visits.day < day) & (visits.user < len(users.number))
        last_visit_day = np.full(len(users.number), -1)
        np.maximum.at(last_visit_day, visits.user[is_past], visits.day[is_past])
        return np.bincount(visits.user[is_past], minlength=len(users.number)), last_visit_day

    def next_item_probability(self, as_of: datetime) -> tuple[pl.Series, FloatArray]:
        """P(item of the first line of the next order | everything before the as-of): the best any model can know.

        It is the mixture of a fresh choice by the taste of the as-of, of the items that follow from the last line,
        and of all earlier lines. No two rows of one order hold the same item; the second draw of it is dropped from
        the log, but counts here.

        Returns:
            User ids, and (users, items) probabilities in the order of the catalogue; rows sum to 1.

        Raises:
            ValueError: the as-of is no midnight of the clock.
        """
        day = self._day(as_of)
        ids, probabilities = [], []
        for block in range(block_count(self.settings)):
            history = simulate_history(self.settings, block)
            is_known = (history.users.joined < day * DAY) & (history.users.number < self.settings.users)
            ids.append(history.users.ids().filter(is_known))
            probabilities.append(next_items(history, day, self.settings)[is_known])
        return pl.concat(ids), np.concatenate(probabilities)

    def top_items(self, as_of: datetime, count: int) -> pl.DataFrame:
        """The `count` most probable next items per user: `USER_ID`, `RANK` (from 1), `ITEM_ID`, `SCORE`."""
        users, probability = self.next_item_probability(as_of)
        best = np.argsort(-probability, axis=1, kind="stable")[:, :count]
        user, rank = np.divmod(np.arange(best.size), best.shape[1])
        return pl.DataFrame(
            {
                t.USER_ID: users.gather(user),
                t.RANK: (rank + 1).astype(np.int32),
                t.ITEM_ID: item_ids(self.settings.items).gather(best.ravel()),
                t.SCORE: np.take_along_axis(probability, best, axis=1).ravel(),
            }
        )

    def faults(self) -> pl.DataFrame:
        """Every spoiled row: `FAULT` (its kind), `SOURCE_FILE`, `SOURCE_ROW`, `EVENT_ID`."""
        columns = (FAULT, t.SOURCE_FILE, t.SOURCE_ROW, t.EVENT_ID)
        frames = [chunk.rows().select(columns) for chunk in open_chunks(self.settings)]
        return pl.concat(frames).drop_nulls(FAULT)

    def _day(self, as_of: datetime) -> int:
        day, rest = divmod(as_of - CLOCK_START, timedelta(days=1))
        if rest or not 0 <= day <= self.settings.days:
            raise ValueError(f"{as_of} is not a midnight (UTC) between the clock's start and end")
        return day

    def _stack(self, of_block: Callable[[int], pl.DataFrame]) -> pl.DataFrame:
        return pl.concat([of_block(block) for block in range(block_count(self.settings))])

    def _user_parameters(self, block: int) -> pl.DataFrame:
        users = shop_users(self.settings, block)
        leave_day = compute_intensity(self.settings, users).leave_day
        return pl.DataFrame(
            {
                t.USER_ID: users.ids(),
                t.JOINED_AT: moments(users.joined),
                PURCHASE_RATE: users.rate,
                LEAVE_HAZARD: users.hazard,
                LEFT_AT: moments(leave_day * DAY),
                COUPON_RATE_FACTOR: users.rate_factor,
                COUPON_HAZARD_FACTOR: users.hazard_factor,
                REPEAT_SHARE: users.repeat_share,
                TASTE_START: users.taste_start.tolist(),
                TASTE_END: users.taste_end.tolist(),
            }
        ).with_columns(pl.when(pl.Series(leave_day < self.settings.days)).then(pl.col(LEFT_AT)))
