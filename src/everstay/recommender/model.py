"""A recommender as everybody uses it: purchase histories in, ranked lists with reasons out."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel

from everstay import tables as t
from everstay.recommender.histories import Histories, IntArray, read_histories
from everstay.recommender.vocabulary import Vocabulary

Policy = Literal["keep", "remove"]
Scores = NDArray[np.float32]

_CELLS = 16_000_000  # scores held at once: 64 MB
_MOST_USERS = 512


class Ranker(Protocol):
    """A fitted candidate: scores of all items for users, by index."""

    @property
    def config(self) -> BaseModel:
        """What it was fitted with."""

    def scores(self, histories: Histories) -> Scores:
        """Histories of n users -> finite scores (n, items), larger for what is wanted more."""

    def explain(self, histories: Histories, user: IntArray, item: IntArray) -> list[str]:
        """One short reason per pair of a user (row of the histories) and an item in the user's list."""


class RecommenderModel(Protocol):
    """What `load_artifact` gives."""

    @property
    def name(self) -> str:
        """Of the candidate."""

    def recommend(self, rows: pl.DataFrame, k: int) -> pl.DataFrame:
        """One ranked list per row: `USER_ID`, `RANK` (1..k), `ITEM_ID`, `SCORE`, `REASON`."""


@dataclass(frozen=True)
class ListModel:
    """A ranker, the items it knows, and the policy on items the user bought before."""

    name: str
    ranker: Ranker
    vocabulary: Vocabulary
    already_bought: Policy

    def recommend(self, rows: pl.DataFrame, k: int) -> pl.DataFrame:
        """Rank the items for every user, with reasons.

        Args:
            rows: one per user, at one as-of: `USER_ID` and the list columns of `features.purchase_history`; the lists
                of a user without purchases are empty or null.
            k: length of each list; shorter only where fewer items are left to recommend.

        Returns:
            `USER_ID`, `RANK` (Int32), `ITEM_ID`, `SCORE` (Float64), `REASON`; users in the order of `rows`.
        """
        parts = [self._lists(part, k) for part in self._parts(rows)]
        return pl.concat(parts) if parts else _EMPTY

    def top_items(self, rows: pl.DataFrame, k: int) -> IntArray:
        """Item indices of the lists (users, k), -1 where there is none; no reasons, for judging many settings."""
        parts = [top_k(self._allowed(read_histories(part, self.vocabulary)), k)[0] for part in self._parts(rows)]
        return np.concatenate(parts) if parts else np.empty((0, k), np.int64)

    def _parts(self, rows: pl.DataFrame) -> Iterator[pl.DataFrame]:
        return rows.iter_slices(max(1, min(_MOST_USERS, _CELLS // self.vocabulary.size)))

    def _allowed(self, histories: Histories) -> Scores:
        scores = self.ranker.scores(histories)
        if self.already_bought == "remove":
            scores[histories.line_user, histories.line_item] = -np.inf
        return scores

    def _lists(self, rows: pl.DataFrame, k: int) -> pl.DataFrame:
        histories = read_histories(rows, self.vocabulary)
        items, scores = top_k(self._allowed(histories), k)
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


def top_k(scores: Scores, k: int) -> tuple[IntArray, Scores]:
    """The k largest scores of each row, largest first, equal ones by index: items (n, k) and scores (n, k).

    Minus infinity is no candidate; where candidates run out the item is -1.

    >>> top_k(np.array([[0.1, 0.7, -np.inf, 0.2]], np.float32), 4)[0].tolist()
    [[1, 3, 0, -1]]
    """
    width = scores.shape[1]
    if k < width:
        border = -np.partition(-scores, k - 1, axis=1)[:, k - 1 : k]
        # of those that equal the k-th score, the first ones: `argpartition` would take any
        is_in = scores > border
        is_tie = scores == border
        is_in |= is_tie & (np.cumsum(is_tie, axis=1) <= k - is_in.sum(axis=1, keepdims=True))
        items = np.nonzero(is_in)[1].reshape(len(scores), k)
    else:
        items = np.broadcast_to(np.arange(width), scores.shape)
    chosen = np.take_along_axis(scores, items, axis=1)
    order = np.argsort(-chosen, axis=1, kind="stable")
    items, chosen = np.take_along_axis(items, order, axis=1), np.take_along_axis(chosen, order, axis=1)
    items = np.where(np.isneginf(chosen), -1, items)
    absent = ((0, 0), (0, k - items.shape[1]))
    return np.pad(items, absent, constant_values=-1), np.pad(chosen, absent, constant_values=-np.inf)


_EMPTY = pl.DataFrame(
    schema={t.USER_ID: pl.String, t.RANK: pl.Int32, t.ITEM_ID: pl.String, t.SCORE: pl.Float64, t.REASON: pl.String}
)
