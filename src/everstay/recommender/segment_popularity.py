"""Popularity in a user's segment, the value of a declared attribute: on its own, and as the fallback for cold users.

Shapes: n = users asked for, S = segments, V = items.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import sparse

from everstay.errors import NotReady
from everstay.recommender.baselines import popularity
from everstay.recommender.config import SegmentPopularityConfig
from everstay.recommender.histories import Histories, IntArray, read_histories
from everstay.recommender.model import Scores
from everstay.recommender.reasons import POPULAR, POPULAR_WITH
from everstay.recommender.vocabulary import ITEM_INDEX, Vocabulary

_ORDERS, _PARTS = "segments.parquet", "segments.json"
_ORDER_COUNT = "orders"


@dataclass(frozen=True)
class SegmentPopularityRanker:
    """P(item | segment), shrunk to P(item): (orders in the segment + prior * share) / (all of them + prior).

    That is the posterior mean under a Dirichlet prior whose mean is what everybody buys (Zhai and Lafferty, "A study of
    smoothing methods for language models", TOIS 2004). A user whose segment is not known gets P(item).

    Attributes:
        config: its window and prior.
        attribute: whose values are the segments.
        names: (S,) of the segments, sorted.
        orders: (S, V) orders with each item in the window.
        share: (V,) popularity among all users.
    """

    config: SegmentPopularityConfig
    attribute: str
    names: tuple[str, ...]
    orders: NDArray[np.float32]
    share: Scores

    @classmethod
    def fit(cls, rows: pl.DataFrame, vocabulary: Vocabulary, config: SegmentPopularityConfig) -> Self:
        """Count the purchases of `rows` in the window.

        Raises:
            NotReady: the rows have no attribute.
        """
        histories, share = read_histories(rows, vocabulary), popularity(vocabulary, config.window_days)
        if histories.segment is None:
            raise NotReady("segment_popularity needs an attribute that users declare: set recommender.segment_by")
        bought = _in_window(histories, vocabulary.size, config.window_days)
        names = _names(histories.segment, np.diff(bought.indptr) > 0, config.min_users)
        segment = _place(histories.segment, names)
        belongs = sparse.csr_array(
            (np.ones((segment >= 0).sum(), np.float32), (segment[segment >= 0], np.flatnonzero(segment >= 0))),
            shape=(len(names), len(segment)),
        )
        return cls(config, histories.segment.name, names, (belongs @ bought).toarray(), share)

    def place(self, histories: Histories) -> IntArray:
        """The index of each user's segment (n,), -1 where it is not known."""
        if histories.segment is None or histories.segment.name != self.attribute:
            return np.full(histories.user_count, -1)
        return _place(histories.segment, self.names)

    def is_served(self, histories: Histories) -> NDArray[np.bool_]:
        """Users (n,) whose segment is known."""
        return self.place(histories) >= 0

    def shares(self, segment: IntArray) -> Scores:
        """P(item | segment) of some segments (n, V); P(item) where a segment is -1."""
        orders = np.where(segment[:, None] >= 0, self.orders[segment] if self.names else 0.0, 0.0)
        prior = self.config.prior_orders
        shares: Scores = (orders + prior * self.share) / (orders.sum(axis=1, keepdims=True) + prior)
        return shares.astype(np.float32)

    def scores(self, histories: Histories) -> Scores:
        """Probabilities, (n, V)."""
        return self.shares(self.place(histories))

    def explain(self, histories: Histories, user: IntArray, item: IntArray) -> list[str]:
        """Popular with the user's segment, or with everybody: whose orders are the larger part of the score."""
        segment = self.place(histories)[user]
        own = self.orders[segment, item] if self.names else np.zeros(len(item))
        is_own = (segment >= 0) & (own >= self.config.prior_orders * self.share[item])
        popular_there = POPULAR_WITH + self.attribute.replace("_", " ")
        return [popular_there if is_there else POPULAR for is_there in is_own]

    def save(self, folder: Path) -> None:
        """Write what `load` reads: `segments.parquet`, one line per segment and item, and `segments.json`."""
        segment, item = np.nonzero(self.orders)
        lines = {
            self.attribute: pl.Series([self.names[number] for number in segment], dtype=pl.String),
            ITEM_INDEX: item.astype(np.int64),
            _ORDER_COUNT: self.orders[segment, item],
        }
        pl.DataFrame(lines).write_parquet(folder / _ORDERS)
        parts = {
            "attribute": self.attribute,
            "names": self.names,
            "config": self.config.model_dump(mode="json"),
        }
        (folder / _PARTS).write_text(json.dumps(parts, indent=1), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, vocabulary: Vocabulary) -> Self:
        """Read what `save` wrote."""
        parts = json.loads((folder / _PARTS).read_text(encoding="utf-8"))
        lines, names = pl.read_parquet(folder / _ORDERS), tuple(parts["names"])
        orders = np.zeros((len(names), vocabulary.size), np.float32)
        orders[_place(lines[parts["attribute"]], names), lines[ITEM_INDEX].to_numpy()] = lines[_ORDER_COUNT].to_numpy()
        config = SegmentPopularityConfig(**parts["config"])
        share = popularity(vocabulary, config.window_days)
        return cls(config, parts["attribute"], names, orders, share)


def _in_window(histories: Histories, items: int, days: int) -> sparse.csr_array:
    """Orders of the last `days` days of each user with each item, (users, V)."""
    is_late = histories.line_days_ago <= days
    user, item = histories.line_user[is_late], histories.line_item[is_late]
    shape = (histories.user_count, items)
    return sparse.csr_array((np.ones(len(user), np.float32), (user, item)), shape=shape)


def _names(segment: pl.Series, is_buyer: NDArray[np.bool_], min_users: int) -> tuple[str, ...]:
    """Segments of at least so many buyers; fewer would be noise, and could identify persons."""
    counts = segment.filter(pl.Series(is_buyer)).drop_nulls().value_counts()
    large = counts.filter(pl.col("count") >= min_users)
    return tuple(large[segment.name].sort())


def _place(segment: pl.Series, names: tuple[str, ...]) -> IntArray:
    """The index of each user's segment (users,), -1 where it is none of `names`."""
    known = pl.DataFrame({"name": pl.Series(names, dtype=pl.String)}).with_row_index("place")
    asked = pl.DataFrame({"name": segment.cast(pl.String)})
    found = asked.join(known, on="name", how="left", maintain_order="left")["place"]
    return found.cast(pl.Int64).fill_null(-1).to_numpy()
