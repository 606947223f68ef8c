"""A small shop with known habits, made by hand: staples that users buy again and again, novelties nobody buys twice."""

from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

from everstay import tables as t
from everstay.recommender.histories import Histories, read_histories
from everstay.recommender.vocabulary import Vocabulary

AS_OF = datetime(2024, 6, 1, tzinfo=UTC)

LISTS = {
    "history_item": pl.List(pl.String),
    "history_days_ago": pl.List(pl.Float32),
    "history_order": pl.List(pl.UInt32),
    "history_price": pl.List(pl.Float32),
    "history_discount": pl.List(pl.Float32),
    "target_item": pl.List(pl.String),
}

Order = tuple[float, list[str]]


def price_of(item: str) -> float:
    """Staples are cheap, the higher their number the dearer an item."""
    kind, _, number = item.partition("-")
    return {"staple": 2.0, "new": 10.0}.get(kind, 5.0) + sum(int(part) for part in number.split("-") if part.isdigit())


def basket_rows(orders: dict[str, list[Order]], targets: dict[str, list[str]] | None = None) -> pl.DataFrame:
    """Rows as `features.buckets.compute_baskets` gives them.

    Args:
        orders: per user, oldest first: days before the as-of and items.
        targets: per user the next basket.
    """
    rows = []
    for user, bought in orders.items():
        lines = [(item, days, len(bought) - 1 - n) for n, (days, items) in enumerate(bought) for item in sorted(items)]
        lists = {
            "history_item": [line[0] for line in lines],
            "history_days_ago": [line[1] for line in lines],
            "history_order": [line[2] for line in lines],
            "history_price": [price_of(line[0]) for line in lines],
            "history_discount": [0.2 if line[1] % 3 < 1 else 0.0 for line in lines],
        }
        rows.append({t.USER_ID: user, t.AS_OF: AS_OF, **lists, "target_item": (targets or {}).get(user)})
    return pl.DataFrame(rows, schema={t.USER_ID: pl.String, t.AS_OF: t.TIME, **LISTS})


def shop(users: int, seed: int) -> pl.DataFrame:
    """Users of two tastes with a weekly order: two staples of their own and a novelty of their taste."""
    generator = np.random.default_rng(seed)
    orders, targets = {}, {}
    for user in range(users):
        taste = user % 2
        staples = [f"staple-{taste}-{n}" for n in generator.choice(6, 2, replace=False)]
        baskets = [[*staples, f"new-{taste}-{generator.integers(12)}"] for _ in range(generator.integers(4, 16))]
        name = f"user-{user:03d}"
        orders[name] = [(7.0 * (len(baskets) - n) - generator.random(), items) for n, items in enumerate(baskets[:-1])]
        targets[name] = sorted(baskets[-1])
    return basket_rows(orders, targets)


def rate(rows: pl.DataFrame) -> pl.DataFrame:
    """Add ratings: users like what they bought, all like staples more, and one item that the shop does not sell."""
    item, stars = pl.col("history_item").list.unique(maintain_order=True), pl.when(pl.element().str.contains("staple"))
    rated = rows.with_columns(item.list.concat(pl.lit(["never-sold"])).alias("rated_item"))
    values = pl.col("rated_item").list.eval(stars.then(5.0).otherwise(3.0).cast(pl.Float32))
    return rated.with_columns(values.alias("rated_value"))


@pytest.fixture(scope="session")
def rows() -> pl.DataFrame:
    """Sixty users."""
    return shop(60, 3)


@pytest.fixture(scope="session")
def vocabulary(rows: pl.DataFrame) -> Vocabulary:
    """All that two users bought."""
    return Vocabulary.learn(rows, 2)


@pytest.fixture(scope="session")
def catalogue(rows: pl.DataFrame) -> pl.DataFrame:
    """What the shop says of its items, two that nobody bought included: category = kind and taste."""
    ids = sorted({item for items in rows["history_item"] for item in items} | {"staple-0-new", "new-1-new"})
    kinds = [item.rsplit("-", 1)[0] for item in ids]
    titles = [f"{kind.split('-')[0]} of taste{kind[-1]}" for kind in kinds]
    blank = [None] * len(ids)
    columns = (t.ITEM_ID, t.CATEGORY, t.SUBCATEGORY, t.BRAND, t.TITLE, t.DESCRIPTION)
    values = dict(zip(columns, (ids, kinds, blank, blank, titles, blank), strict=True))
    return pl.DataFrame(values, schema=dict.fromkeys(columns, pl.String))


@pytest.fixture(scope="session")
def known(rows: pl.DataFrame, catalogue: pl.DataFrame) -> Vocabulary:
    """All that two users bought, with its categories."""
    return Vocabulary.learn(rows, 2, catalogue)


@pytest.fixture(scope="session")
def histories(rows: pl.DataFrame, known: Vocabulary) -> Histories:
    """Of the sixty users, in items of `known`."""
    return read_histories(rows, known)


@pytest.fixture
def few() -> pl.DataFrame:
    """Users with a regular history, a long one, one order, an empty history, none, and unknown items only."""
    orders: dict[str, list[Order]] = {
        "regular": [(21.0, ["staple-0-1", "new-0-3"]), (14.0, ["staple-0-1"]), (5.5, ["staple-0-1", "unknown"])],
        "long": [(200.0 - n, [f"staple-1-{n % 6}", "staple-1-0"]) for n in range(0, 180, 2)],
        "once": [(3.0, ["new-1-2", "staple-0-0"])],
        "empty": [],
        "none": [],
        "stranger": [(9.0, ["never-sold"])],
    }
    rows = basket_rows(orders)
    is_none = pl.col(t.USER_ID) == "none"
    return rows.with_columns(pl.when(~is_none).then(pl.col(name)).alias(name) for name in LISTS)
