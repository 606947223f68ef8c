"""A small shop in memory, and two small models in artifact folders."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from everstay import tables as t
from everstay.features.ledger import code_events
from everstay.lake import assign_bucket
from everstay.recommender import ListRules
from everstay.scoring import Work

AS_OF = datetime(2024, 6, 1, tzinfo=UTC)
TOY = "everstay.toy_models"
USERS = t.USERS.conform(
    pl.DataFrame({t.USER_ID: [f"u{number}" for number in range(60) if number % 10 < 3], t.AGE_BAND: "old"})
)


@dataclass(frozen=True)
class ShopReader:
    """Events in memory, read like a snapshot."""

    events: pl.DataFrame
    items: pl.DataFrame
    bucket_count: int
    data_version: str = "events-5.items-1"
    users: pl.DataFrame = field(default_factory=lambda: USERS)

    @property
    def buckets(self) -> range:
        return range(self.bucket_count)

    def read_events(self, bucket: int, as_of: datetime, columns: Sequence[str] | None = None) -> pl.DataFrame:
        known = self.events.filter(pl.col(t.OCCURRED_AT) < as_of, pl.col(t.RECORDED_AT) < as_of)
        inside = assign_bucket(known, self.bucket_count).filter(pl.col(t.USER_BUCKET) == bucket)
        return inside.sort(t.USER_ID, t.OCCURRED_AT, t.EVENT_ID).select(*(columns or t.EVENTS.columns))

    def read_coded(self, bucket: int, as_of: datetime, columns: Sequence[str]) -> pa.Table:
        return code_events(self.read_events(bucket, as_of)).select(list(columns))

    def read(self, table: t.Table) -> pl.DataFrame:
        return self.items if table is t.ITEMS else self.users


class ToyChurn:
    """Recency alone, in steps, so that there are ties."""

    def predict_probability(self, rows: pl.DataFrame) -> np.ndarray:
        days = rows["recency_days"].fill_null(400.0).to_numpy()
        return np.clip(np.floor(days / 7) / 20, 0.0, 1.0)

    def explain(self, rows: pl.DataFrame) -> list[list[str]]:
        days = rows["recency_days"].fill_null(400.0)
        return [[f"last order {ago:.0f} days ago"] for ago in days.to_list()]


class ToyRecommender:
    """What was bought, the latest first, then best sellers."""

    segment_by = None
    reads_ratings = False

    def recommend(self, rows: pl.DataFrame, k: int, rules: ListRules | None = None) -> pl.DataFrame:
        own = pl.col("history_item").fill_null([]).list.reverse()
        lists = rows.select(t.USER_ID, own.list.concat(pl.lit(["i0", "i1", "i2"])).alias(t.ITEM_ID))
        lists = lists.with_columns(pl.col(t.ITEM_ID).list.unique(maintain_order=True).list.head(k)).explode(t.ITEM_ID)
        ranked = lists.with_columns(pl.int_range(1, pl.len() + 1).over(t.USER_ID).alias(t.RANK))
        return ranked.with_columns((1 / pl.col(t.RANK)).alias(t.SCORE), pl.lit("bought often").alias(t.REASON))

    def find_users(
        self, rows: pl.DataFrame, items: Sequence[str], users: int, rules: ListRules | None = None
    ) -> pl.DataFrame:
        lists = self.recommend(rows, 99, rules).filter(pl.col(t.ITEM_ID).is_in(list(items)))
        found = lists.rename({t.RANK: t.PLACE}).sort(t.SCORE, descending=True)
        return found.unique(t.USER_ID, keep="first", maintain_order=True).head(users)


LOADS: list[Path] = []


def load_toy(folder: Path) -> ToyChurn | ToyRecommender:
    LOADS.append(folder)
    card = json.loads((folder / "artifact.json").read_text())
    return ToyChurn() if card["model"] == "churn" else ToyRecommender()


@pytest.fixture
def loads() -> list[Path]:
    """The folders that were loaded from, in order."""
    LOADS.clear()
    return LOADS


@pytest.fixture(autouse=True)
def toy_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the toys' loader a function of the package, as a model's own room would."""
    module = ModuleType(TOY)
    monkeypatch.setattr(load_toy, "__module__", TOY)
    module.load_toy = load_toy  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, TOY, module)


@pytest.fixture(scope="session")
def events() -> pl.DataFrame:
    """Half a year of 60 users: orders, views, some returned orders, and events after the as-of."""
    random = np.random.default_rng(5)
    count = 900
    users = random.integers(0, 60, count)
    at = [AS_OF + timedelta(minutes=int(minute)) for minute in random.integers(-180 * 1440, 20 * 1440, count)]
    kinds = random.choice([t.PURCHASE, t.PURCHASE, t.VIEW, t.RETURN], count)
    kinds[users >= 50] = t.VIEW  # ten users never bought
    frame = pl.DataFrame(
        {
            t.EVENT_ID: [f"e{number}" for number in range(count)],
            t.USER_ID: [f"u{user}" for user in users],
            t.ITEM_ID: [f"i{item}" for item in random.integers(0, 12, count)],
            t.EVENT_TYPE: kinds,
            t.OCCURRED_AT: at,
            t.RECORDED_AT: at,
            t.ORDER_ID: [f"o{user}-{order}" for user, order in zip(users, random.integers(0, 9, count), strict=True)],
            t.QUANTITY: random.integers(1, 4, count),
            t.AMOUNT: random.integers(1, 50, count).astype(float),
            t.DISCOUNT: np.zeros(count),
        }
    )
    return t.EVENTS.conform(frame.with_columns(pl.when(pl.col(t.EVENT_TYPE) != t.VIEW).then(t.ORDER_ID)))


@pytest.fixture
def make_work(tmp_path: Path, events: pl.DataFrame):
    def make(model: str, bucket_count: int = 3, shop: pl.DataFrame = events) -> Work:
        folder = tmp_path / f"artifact-{model}"
        folder.mkdir(exist_ok=True)
        (folder / "artifact.json").write_text(json.dumps({"model": model, "loader": f"{TOY}:load_toy"}))
        items = t.ITEMS.conform(pl.DataFrame({t.ITEM_ID: [f"i{item}" for item in range(12)]}))
        return Work(ShopReader(shop, items, bucket_count), folder, "7", AS_OF)

    return make
