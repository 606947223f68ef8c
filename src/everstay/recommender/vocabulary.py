"""Which items a model knows, as of a point in time: shop ids, model indices, and how often they were bought lately.

`item_id` is the shop's id of an item, `item_index` its row in the vocabulary and in every array of a model. This is
the only module that converts between them.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from everstay import tables as t
from everstay.errors import NotReady
from everstay.features.sequences import HISTORY_DAYS_AGO, HISTORY_ITEM

WINDOWS = (7, 14, 28, 56, 112, 364)
"""Days before the as-of over which purchases are counted."""

ITEM_INDEX = "item_index"
_BUYERS = "buyers"
_USUAL_GAP = "usual_gap_days"
_FIRST_SOLD = "first_sold_days"


@dataclass(frozen=True)
class Vocabulary:
    """The items a model may recommend.

    Attributes:
        items: `ITEM_ID`, sorted; row number = item index; `buyers`, per window the orders with the item, the days since
            it was first sold, the median days between two purchases by the same user, and the catalogue's attributes
            where there is one.
    """

    items: pl.DataFrame

    @classmethod
    def learn(
        cls,
        rows: pl.DataFrame,
        min_item_users: int,
        catalogue: pl.DataFrame | None = None,
        *,
        with_unsold: bool = False,
    ) -> Self:
        """Take the items that enough users had bought before the as-of of `rows`.

        Args:
            rows: purchase histories of all users, at one as-of.
            min_item_users: an item enters when this many users bought it.
            catalogue: `ITEM_ID` and attributes, which are kept with the items; null for items without any. Its
                `AVAILABLE_FROM`, where it has one, only decides `with_unsold`.
            with_unsold: also take the catalogue's items that too few users bought, or nobody, unless they came later
                than the as-of.

        Raises:
            NotReady: no item was bought by so many users.
        """
        lines = explode_histories(rows)
        recent = (
            (pl.col(HISTORY_DAYS_AGO) <= days).sum().cast(pl.Int64).alias(_window_column(days)) for days in WINDOWS
        )
        sold = lines.group_by(pl.col(HISTORY_ITEM).alias(t.ITEM_ID)).agg(
            pl.col(t.USER_ID).n_unique().cast(pl.Int64).alias(_BUYERS),
            *recent,
            pl.col(HISTORY_DAYS_AGO).max().alias(_FIRST_SOLD),
        )
        items = sold.filter(pl.col(_BUYERS) >= min_item_users).sort(t.ITEM_ID)
        if items.is_empty():
            raise NotReady(f"no item was bought by {min_item_users} users: lower recommender.min_item_users")
        if catalogue is not None and with_unsold:
            offered = _known_before(catalogue, rows[t.AS_OF][0], sold[t.ITEM_ID])
            every = pl.concat([items.select(t.ITEM_ID), offered]).unique().sort(t.ITEM_ID)
            counts = every.join(sold, on=t.ITEM_ID, how="left", maintain_order="left")
            items = counts.with_columns(pl.exclude(t.ITEM_ID).fill_null(0))
        items = items.join(_usual_gaps(lines), on=t.ITEM_ID, how="left", maintain_order="left")
        if catalogue is not None:
            attributes = catalogue.drop(t.AVAILABLE_FROM, strict=False)
            items = items.join(attributes, on=t.ITEM_ID, how="left", maintain_order="left")
        return cls(items)

    @property
    def size(self) -> int:
        """Number of items."""
        return self.items.height

    def ids(self, item_index: NDArray[np.integer]) -> pl.Series:
        """Shop ids of item indices (n,)."""
        return self.items[t.ITEM_ID].gather(item_index.astype(np.uint32))

    def with_index(self, lines: pl.DataFrame, item_column: str) -> pl.DataFrame:
        """Add `item_index` to a table with shop ids in `item_column`; null for an item that is not known."""
        index = self.items.select(pl.col(t.ITEM_ID).alias(item_column)).with_row_index(ITEM_INDEX)
        return lines.join(index, on=item_column, how="left", maintain_order="left")

    def codes(self, attribute: str) -> NDArray[np.int64]:
        """The attribute's values as codes from 0 (n_items,); items without a value are a group of their own."""
        return self.items[attribute].fill_null("").rank("dense").to_numpy().astype(np.int64) - 1

    def purchases(self, days: int) -> NDArray[np.int64]:
        """Orders with each item (n_items,) in the last `days` days, one of `WINDOWS`."""
        return self.items[_window_column(days)].to_numpy()

    @property
    def buyers(self) -> NDArray[np.int64]:
        """Users who bought each item (n_items,)."""
        return self.items[_BUYERS].to_numpy()

    @property
    def usual_gap_days(self) -> NDArray[np.float64]:
        """Median days between two purchases of an item by the same user (n_items,); infinite when nobody came back."""
        return self._learned(_USUAL_GAP).fill_null(np.inf).to_numpy().astype(np.float64)

    @property
    def first_sold_days(self) -> NDArray[np.float64]:
        """Days before the as-of of the first purchase of each item (n_items,); infinite where there was none."""
        first = self._learned(_FIRST_SOLD).to_numpy().astype(np.float64)
        return np.where(self.buyers > 0, first, np.inf)

    def _learned(self, column: str) -> pl.Series:
        if column not in self.items.columns:
            raise NotReady(
                f"this model was trained before {column} was learned: retrain it, or, for {_USUAL_GAP}, "
                "set already_bought = 'keep'"
            )
        return self.items[column]


def _known_before(catalogue: pl.DataFrame, as_of: datetime, sold: pl.Series) -> pl.DataFrame:
    """`ITEM_ID` of the catalogue's items but those that came later; what was sold before is none, whatever its date."""
    if t.AVAILABLE_FROM in catalogue.columns:
        came_later = (pl.col(t.AVAILABLE_FROM) > as_of).fill_null(False) & ~pl.col(t.ITEM_ID).is_in(sold.to_list())
        catalogue = catalogue.filter(~came_later)
    return catalogue.select(t.ITEM_ID)


def _usual_gaps(lines: pl.DataFrame) -> pl.DataFrame:
    """`ITEM_ID` and the median of all gaps between two purchases of the item by the same user."""
    ago = pl.col(HISTORY_DAYS_AGO)
    gap = pl.when(pl.struct(t.USER_ID, HISTORY_ITEM).rle_id().diff() == 0).then(ago.shift(1) - ago)
    ordered = lines.select(t.USER_ID, HISTORY_ITEM, ago).sort(
        t.USER_ID, HISTORY_ITEM, ago, descending=[False, False, True]
    )
    gaps = ordered.select(pl.col(HISTORY_ITEM).alias(t.ITEM_ID), gap.alias(_USUAL_GAP)).drop_nulls()
    return gaps.group_by(t.ITEM_ID).agg(pl.col(_USUAL_GAP).median())


def explode_histories(rows: pl.DataFrame) -> pl.DataFrame:
    """One line per order and item of the rows' histories, in their order; users without history have none."""
    columns = [name for name in rows.columns if name.startswith("history_")]
    known = rows.filter(pl.col(HISTORY_ITEM).list.len() > 0)
    return known.select(t.USER_ID, *columns).explode(columns)


def _window_column(days: int) -> str:
    return f"orders_{days}d"
