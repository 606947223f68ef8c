"""The interface of every recommender: purchase histories in, ranked lists with reasons out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, runtime_checkable

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel

from everstay import tables as t
from everstay.recommender.config import RatingFactorsConfig
from everstay.recommender.excluded import Scores as Scores  # rankers get it from here
from everstay.recommender.histories import Histories, IntArray, read_histories
from everstay.recommender.reorder import POOL, reorder
from everstay.recommender.rules import ItemRules, ListRules
from everstay.recommender.top_k import ExactIndex, top_k
from everstay.recommender.vocabulary import ITEM_INDEX, Vocabulary
from everstay.settings import AlreadyBought

_CELLS = 16_000_000  # scores held at once: 64 MB
_MOST_USERS = 1_024
_MOST_FACTOR_USERS = 4_096


class Ranker(Protocol):
    """A fitted candidate: scores of all items for users, by index."""

    @property
    def config(self) -> BaseModel:
        """What it was fitted with."""

    def scores(self, histories: Histories) -> Scores:
        """Histories of n users -> finite scores (n, items), higher is better."""

    def explain(self, histories: Histories, user: IntArray, item: IntArray) -> list[str]:
        """One short reason per pair of a user (row of the histories) and an item in the user's list."""


@runtime_checkable
class FactorRanker(Protocol):
    """A ranker whose scores are dot products; its lists are searched without a matrix of users times items."""

    def user_vectors(self, histories: Histories) -> Scores:
        """Vectors of n users (n, d); their dot products with the items' are the scores."""

    def item_vectors(self) -> Scores:
        """Vectors of all items (items, d), the same for every user."""


@runtime_checkable
class SegmentRanker(Protocol):
    """A ranker that gives some users what is popular in their segment, the value of an attribute that they declared."""

    @property
    def attribute(self) -> str:
        """Its column in the rows; users without a known value are served as if there were no segments."""

    def is_served(self, histories: Histories) -> NDArray[np.bool_]:
        """Users (n,) who get what is popular in their segment."""


class RecommenderModel(Protocol):
    """What `load_artifact` gives."""

    @property
    def name(self) -> str:
        """The candidate's name."""

    @property
    def segment_by(self) -> str | None:
        """The user attribute that rows should have as a column; None if no attribute is used."""

    @property
    def reads_ratings(self) -> bool:
        """Whether rows should have the list columns of `features.latest_ratings`."""

    def recommend(self, rows: pl.DataFrame, k: int, rules: ListRules | None = None) -> pl.DataFrame:
        """One ranked list per row: `USER_ID`, `RANK` (1..k), `ITEM_ID`, `SCORE`, `REASON`."""


@dataclass(frozen=True)
class ListModel:
    """A ranker, the items it knows, and the policy on items the user bought before."""

    name: str
    ranker: Ranker
    vocabulary: Vocabulary
    already_bought: AlreadyBought

    @property
    def segment_by(self) -> str | None:
        """The user attribute that rows should have as a column; None if no attribute is used."""
        return self.ranker.attribute if isinstance(self.ranker, SegmentRanker) else None

    @property
    def reads_ratings(self) -> bool:
        """Whether rows should have the list columns of `features.latest_ratings`."""
        return isinstance(self.ranker.config, RatingFactorsConfig)

    def recommend(self, rows: pl.DataFrame, k: int, rules: ListRules | None = None) -> pl.DataFrame:
        """Rank the items for every user, with reasons.

        Args:
            rows: one per user, at one as-of: `USER_ID` and the list columns of `features.purchase_history`, and
                `segment_by` and ratings where the model uses them; the lists of a user without purchases are empty
                or null.
            k: length of each list; shorter only where fewer items are left to recommend.
            rules: the shop's; None: all items, under the policy that the model was evaluated with.

        Returns:
            `USER_ID`, `RANK` (Int32), `ITEM_ID`, `SCORE` (Float64), `REASON`; users in the order of `rows`.
        """
        on_items = self._rules(rules)
        parts = [self._lists(part, k, on_items) for part in self._parts(rows)]
        return pl.concat(parts) if parts else _EMPTY

    def top_items(self, rows: pl.DataFrame, k: int, rules: ListRules | None = None) -> IntArray:
        """Item indices of the lists (users, k), -1 where there is none; no reasons, for evaluating many settings."""
        on_items = self._rules(rules)
        parts = [self._best(read_histories(part, self.vocabulary), k, on_items)[0] for part in self._parts(rows)]
        return np.concatenate(parts) if parts else np.empty((0, k), np.int64)

    def plain_lists(self, rows: pl.DataFrame, k: int, rules: ListRules | None = None) -> pl.DataFrame:
        """Lists as `recommend` gives them, without scores and reasons: `USER_ID`, `RANK`, `ITEM_ID`."""
        items = self.top_items(rows, k, rules)
        user, place = np.nonzero(items >= 0)
        return pl.DataFrame(
            {
                t.USER_ID: rows[t.USER_ID].gather(user.astype(np.uint32)),
                t.RANK: (place + 1).astype(np.int32),
                t.ITEM_ID: self.vocabulary.ids(items[user, place]),
            }
        )

    def find_users(self, rows: pl.DataFrame, items: Sequence[str], users: int, rules: ListRules) -> pl.DataFrame:
        """Find the users who want one of some items most: for a coupon, or a campaign.

        Args:
            rows: as for `recommend`.
            items: ids; those unknown to the model are ignored.
            users: maximum number of users.
            rules: the shop's; a user is not considered for an item that they exclude.

        Returns:
            `USER_ID`, `ITEM_ID` (the one of them that the user wants most), `SCORE`, `REASON` and `PLACE` (rank of the
            item among all items for the user, from 1); the highest score first, then by user.
        """
        on_items, known = self._rules(rules), self.vocabulary.with_index(pl.DataFrame({t.ITEM_ID: items}), t.ITEM_ID)
        asked = known[ITEM_INDEX].drop_nulls().unique().sort().to_numpy().astype(np.int64)
        slices = self._dense_parts(rows) if len(asked) else ()
        parts = [self._wanted(part, asked, users, on_items) for part in slices]
        found = pl.concat(parts) if parts else _EMPTY.drop(t.RANK).with_columns(pl.lit(0, pl.Int32).alias(t.PLACE))
        return found.sort(t.SCORE, t.USER_ID, descending=[True, False]).head(users)

    def _wanted(self, rows: pl.DataFrame, asked: IntArray, users: int, rules: ItemRules) -> pl.DataFrame:
        histories = read_histories(rows, self.vocabulary)
        scores = rules.excluded(histories).mask(self.ranker.scores(histories))
        item = asked[scores[:, asked].argmax(axis=1)]
        score = scores[np.arange(len(item)), item]
        chosen = np.lexsort((rows[t.USER_ID].rank("dense").to_numpy(), -score))[:users]
        chosen = chosen[score[chosen] > -np.inf]
        place = 1 + (scores[chosen] > score[chosen, None]).sum(axis=1)
        return pl.DataFrame(
            {
                t.USER_ID: rows[t.USER_ID].gather(chosen.astype(np.uint32)),
                t.ITEM_ID: self.vocabulary.ids(item[chosen]),
                t.SCORE: score[chosen].astype(np.float64),
                t.REASON: pl.Series(self.ranker.explain(histories, chosen, item[chosen]), dtype=pl.String),
                t.PLACE: place.astype(np.int32),
            }
        )

    def _rules(self, rules: ListRules | None) -> ItemRules:
        if rules is None:
            return ItemRules.plain(self.vocabulary, self.already_bought)
        return ItemRules.of(rules, self.vocabulary)

    def _parts(self, rows: pl.DataFrame) -> Iterator[pl.DataFrame]:
        if isinstance(self.ranker, FactorRanker):
            return rows.iter_slices(_MOST_FACTOR_USERS)
        return self._dense_parts(rows)

    def _dense_parts(self, rows: pl.DataFrame) -> Iterator[pl.DataFrame]:
        """Slices of so few users that their scores of all items can be held at once."""
        return rows.iter_slices(max(1, min(_MOST_USERS, _CELLS // self.vocabulary.size)))

    @cached_property
    def _index(self) -> ExactIndex:
        assert isinstance(self.ranker, FactorRanker)
        return ExactIndex.of(self.ranker.item_vectors())

    def _best(self, histories: Histories, k: int, rules: ItemRules) -> tuple[IntArray, Scores]:
        """Items and scores (n, k) after all rules, -1 where candidates run out."""
        excluded, wanted = rules.excluded(histories), k * POOL if rules.reorders else k
        if isinstance(self.ranker, FactorRanker):
            items, scores = self._index.search(self.ranker.user_vectors(histories), wanted, excluded)
        else:
            items, scores = top_k(self.ranker.scores(histories), wanted, excluded)
        return reorder(items, scores, k, rules) if rules.reorders else (items, scores)

    def _lists(self, rows: pl.DataFrame, k: int, rules: ItemRules) -> pl.DataFrame:
        histories = read_histories(rows, self.vocabulary)
        items, scores = self._best(histories, k, rules)
        user, place = np.nonzero(items >= 0)
        item = items[user, place]
        return pl.DataFrame(
            {
                t.USER_ID: rows[t.USER_ID].gather(user.astype(np.uint32)),
                t.RANK: (place + 1).astype(np.int32),
                t.ITEM_ID: self.vocabulary.ids(item),
                t.SCORE: scores[user, place].astype(np.float64),
                t.REASON: pl.Series(self.ranker.explain(histories, user, item), dtype=pl.String),
            }
        )


_EMPTY = pl.DataFrame(
    schema={t.USER_ID: pl.String, t.RANK: pl.Int32, t.ITEM_ID: pl.String, t.SCORE: pl.Float64, t.REASON: pl.String}
)
