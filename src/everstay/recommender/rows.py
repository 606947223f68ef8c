"""The rows that recommenders learn from and are judged on: histories and next baskets at two as-ofs."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import polars as pl

from everstay import tables as t
from everstay.errors import NotReady
from everstay.features.sequences import HISTORY_ITEM, TARGET_ITEM
from everstay.settings import UserAttribute

CATALOGUE = (t.ITEM_ID, t.CATEGORY, t.SUBCATEGORY, t.BRAND, t.TITLE, t.DESCRIPTION, t.AVAILABLE_FROM)
"""Columns of the items that models may learn from, and since when there is each; what changes from day to day, such as
a price, is not among them."""


@dataclass(frozen=True)
class BasketRows:
    """Rows of `features.buckets.compute_baskets`, all users, in two parts.

    Attributes:
        validation: at the as-of one horizon before the test's; settings are chosen on its next baskets.
        test: what the refitted models are judged on, and nothing else.
        catalogue: `CATALOGUE` of the shop's items; empty if it has no catalogue.
    """

    validation: pl.DataFrame
    test: pl.DataFrame
    catalogue: pl.DataFrame = field(default_factory=lambda: t.ITEMS.empty().select(CATALOGUE))

    def write(self, folder: Path) -> Path:
        """Store all in `folder`, which is created."""
        folder.mkdir(parents=True, exist_ok=True)
        self.validation.write_parquet(folder / "validation.parquet")
        self.test.write_parquet(folder / "test.parquet")
        self.catalogue.write_parquet(folder / "catalogue.parquet")
        return folder

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Load what `write` stored."""
        parts = ("validation", "test", "catalogue")
        return cls(*(pl.read_parquet(folder / f"{part}.parquet") for part in parts))

    def check(self) -> None:
        """Check that something can be learned and evaluated.

        Raises:
            NotReady: a part has no purchase before its as-of, or no next basket.
        """
        for name, rows in (("validation", self.validation), ("test", self.test)):
            for column, what in ((HISTORY_ITEM, "purchase before"), (TARGET_ITEM, "next basket after")):
                if rows[column].list.len().fill_null(0).sum() == 0:
                    as_of = f"{rows[t.AS_OF][0]:%Y-%m-%d}" if rows.height else "as-of"
                    raise NotReady(
                        f"recommender {name}: there is no {what} {as_of}; "
                        "more history is needed, or a shorter horizon_days in [recommender]"
                    )


def with_targets(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of users who have a next basket, cold users included."""
    return rows.filter(pl.col(TARGET_ITEM).list.len() > 0)


def with_attribute(rows: pl.DataFrame, users: pl.DataFrame, attribute: UserAttribute) -> pl.DataFrame:
    """Add a declared attribute of each user, null where unknown; the rows' order is kept.

    Args:
        rows: one per user.
        users: `tables.USERS`.
        attribute: the column to add.
    """
    return rows.join(users.select(t.USER_ID, attribute), on=t.USER_ID, how="left", maintain_order="left")
