"""On the simulated shop, whose users have tastes and habits, the network beats popularity."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from everstay import tables as t
from everstay.features import next_basket, purchase_history
from everstay.metrics.comparison import paired_mean_difference
from everstay.recommender import BasketRows, load_artifact, per_user_metrics, train_candidate
from everstay.settings import Recommender, Settings, Source, StoreTwinSource, Training
from everstay.sources import open_source

SETTINGS = Settings(recommender=Recommender(min_item_users=3), training=Training(accelerator="cpu"))


@pytest.fixture(scope="module")
def rows() -> BasketRows:
    source = open_source(Source(kind="store_twin", store_twin=StoreTwinSource(users=400, items=120, days=240)))
    events = pl.concat([part for chunk in source.event_chunks() for part in chunk.read()])
    events = events.filter(pl.col(t.PROBLEM).is_null())
    end = events[t.OCCURRED_AT].max()
    assert isinstance(end, datetime)
    test = end.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=28)

    def at(as_of: datetime) -> pl.DataFrame:
        baskets = next_basket(events, as_of, 28, as_of + timedelta(days=28))
        history = purchase_history(events, as_of)
        return history.join(baskets, on=[t.USER_ID, t.AS_OF], how="full", coalesce=True).sort(t.USER_ID)

    return BasketRows(at(test - timedelta(days=28)), at(test))


def test_the_network_beats_popularity(rows: BasketRows, tmp_path: Path) -> None:
    folder = rows.write(tmp_path / "rows")
    values = {}
    for name in ("popularity", "network"):
        model = load_artifact(train_candidate(name, folder, SETTINGS, tmp_path, "twin") / "artifact")
        values[name] = per_user_metrics(model, rows.test, rows.test, 10)["ndcg"]
    difference = paired_mean_difference(
        values["network"], values["popularity"], resamples=1000, confidence=0.95, seed=1
    )
    assert difference.low > 0
