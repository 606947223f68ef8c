"""The shop's rules for a list: what it may contain and in which order; they need no retraining."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from everstay import tables as t
from everstay.errors import SettingsError
from everstay.recommender.excluded import Excluded
from everstay.recommender.histories import FloatArray, Histories, IntArray
from everstay.recommender.vocabulary import Vocabulary
from everstay.settings import AlreadyBought, Recommender

_IS_OFFERED = "is_offered"
_POLICY = "policy"
_DAYS_ON_SALE = "days_on_sale"
_SECONDS_PER_DAY = 86_400
_KINDS = (t.CATEGORY, t.SUBCATEGORY)  # the narrower of two rules applies


@dataclass(frozen=True)
class ListRules:
    """The rules as of a moment, by the shop's item ids; small and picklable.

    Attributes:
        items: `ITEM_ID`, `CATEGORY`, `SUBCATEGORY`, `is_offered`, `policy`, `days_on_sale` (null: not known).
        settings: the rest.
    """

    items: pl.DataFrame
    settings: Recommender

    @classmethod
    def read(cls, items: pl.DataFrame, as_of: datetime, settings: Recommender) -> Self:
        """Take them from the catalogue and the settings.

        Args:
            items: `tables.ITEMS`; an item that is not in it is offered, and has no category.
            as_of: an item is offered from `available_from` on and until before `available_until`.
            settings: policies, blocked categories, diversity and freshness.

        Raises:
            SettingsError: a category that has a rule is not in the catalogue.
        """
        lists, now = settings.lists, pl.lit(as_of, t.TIME)
        _require_categories(items, (*lists.blocked_categories, *lists.already_bought_by_category))
        is_blocked = pl.any_horizontal(pl.col(name).is_in(lists.blocked_categories).fill_null(False) for name in _KINDS)
        has_come = (pl.col(t.AVAILABLE_FROM) <= now).fill_null(True)
        has_gone = (pl.col(t.AVAILABLE_UNTIL) <= now).fill_null(False)
        days = (now - pl.col(t.AVAILABLE_FROM)).dt.total_seconds() / _SECONDS_PER_DAY
        known = items.select(
            t.ITEM_ID,
            t.CATEGORY,
            t.SUBCATEGORY,
            (has_come & ~has_gone & ~is_blocked).alias(_IS_OFFERED),
            _policy(settings).alias(_POLICY),
            days.alias(_DAYS_ON_SALE),
        )
        return cls(known, settings)


def _require_categories(items: pl.DataFrame, named: Sequence[str]) -> None:
    """Check that every category with a rule is in the catalogue: no rule is silently without effect."""
    if not named:
        return
    known = set(items[t.CATEGORY].drop_nulls()) | set(items[t.SUBCATEGORY].drop_nulls())
    for name in named:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            hint = f"; did you mean '{near[0]}'?" if near else ""
            raise SettingsError(f"recommender.lists: no item has category or subcategory '{name}'{hint}")


def _policy(settings: Recommender) -> pl.Expr:
    """The policy of each item on repeats: its subcategory's, its category's, or the shop's."""
    policy = pl.lit(settings.already_bought)
    for column in _KINDS:
        for name, own in settings.lists.already_bought_by_category.items():
            policy = pl.when(pl.col(column) == name).then(pl.lit(own)).otherwise(policy)
    return policy


@dataclass(frozen=True)
class ItemRules:
    """The rules on a model's items.

    Attributes:
        blocked: item indices that nobody gets, ascending.
        rest_days: (items,) an item is left out for so many days after the user bought it.
        category: (items,) a number per category, -1 where it is not known.
        subcategory: (items,) likewise.
        newness: (items,) 1 on the first day on sale, then halved with every half-life.
        diversity: weight of likeness to the items higher in the list.
        freshness: weight of newness.
    """

    blocked: IntArray
    rest_days: FloatArray
    category: IntArray
    subcategory: IntArray
    newness: NDArray[np.float32]
    diversity: float = 0.0
    freshness: float = 0.0

    @classmethod
    def plain(cls, vocabulary: Vocabulary, policy: AlreadyBought) -> Self:
        """One policy for all items and nothing else."""
        unknown = np.full(vocabulary.size, -1)
        rest = _rest_days(vocabulary, pl.Series([policy]).new_from_index(0, vocabulary.size))
        return cls(np.empty(0, np.int64), rest, unknown, unknown, np.zeros(vocabulary.size, np.float32))

    @classmethod
    def of(cls, rules: ListRules, vocabulary: Vocabulary) -> Self:
        """Look up the model's items.

        Raises:
            SettingsError: the rules leave none of them.
        """
        settings = rules.settings
        known = vocabulary.items.select(t.ITEM_ID).join(rules.items, on=t.ITEM_ID, how="left", maintain_order="left")
        is_offered = known[_IS_OFFERED].fill_null(True)
        if not is_offered.any():
            blocked = "in recommender.lists.blocked_categories, or " if settings.lists.blocked_categories else ""
            raise SettingsError(
                "no item is left for the lists: each one that the model knows is "
                f"{blocked}not on sale, by its available_from and available_until"
            )
        on_sale = known[_DAYS_ON_SALE].fill_null(pl.Series(vocabulary.first_sold_days)).to_numpy()
        return cls(
            np.flatnonzero(~is_offered.to_numpy()),
            _rest_days(vocabulary, known[_POLICY].fill_null(settings.already_bought)),
            _codes(known[t.CATEGORY]),
            _codes(known[t.SUBCATEGORY]),
            (2.0 ** (-np.maximum(on_sale, 0.0) / settings.lists.fresh_half_life_days)).astype(np.float32),
            settings.lists.diversity,
            settings.lists.freshness,
        )

    @property
    def reorders(self) -> bool:
        """Whether lists are re-ranked."""
        return self.diversity > 0 or self.freshness > 0

    def excluded(self, histories: Histories) -> Excluded:
        """What each user must not get."""
        rests = histories.line_days_ago < self.rest_days[histories.line_item]
        user, item = histories.line_user[rests], histories.line_item[rests]
        return Excluded.from_pairs(user, item, histories.user_count, self.blocked)


def _rest_days(vocabulary: Vocabulary, policy: pl.Series) -> FloatArray:
    """Days (items,) for which an item is not offered again, by each item's policy."""
    rest = np.where((policy == "remove").to_numpy(), np.inf, 0.0)
    waits = (policy == "after_gap").to_numpy()
    if waits.any():
        rest[waits] = vocabulary.usual_gap_days[waits]
    return rest


def _codes(kind: pl.Series) -> IntArray:
    """A number (items,) per distinct text, -1 for null."""
    return kind.rank("dense").fill_null(0).to_numpy().astype(np.int64) - 1
