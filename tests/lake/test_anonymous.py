"""Events of nobody known: stored like all others, read only where items are counted."""

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from everstay import tables as t
from everstay.features.buckets import bucket_baskets, bucket_labels, compute_features
from everstay.lake import Lake
from everstay.partitions import IN_PROCESS
from everstay.settings import Churn
from everstay.storage import Folder
from tests.lake.test_ingest import LATER, ingest, purchases

AS_OF = datetime(2023, 1, 5, tzinfo=UTC)


@pytest.fixture
def lake(tmp_path) -> Lake:
    """200 hourly purchases of 17 users; every third is nobody's."""
    lake = Lake(str(tmp_path / "lake"), 2)
    number = pl.col(t.EVENT_ID).str.slice(1).cast(pl.Int64)
    nobody = pl.when(number % 3 == 0).then(pl.concat_str(pl.lit(t.ANONYMOUS), number)).otherwise(t.USER_ID)
    ingest(lake, purchases(0, 100, user_id=nobody))
    ingest(lake, purchases(100, 100, user_id=nobody))
    return lake


def test_readers_get_users_unless_they_ask_for_all(lake: Lake):
    snapshot = lake.snapshot()
    users = pl.concat([snapshot.read_events(bucket, LATER) for bucket in snapshot.buckets])
    everybody = pl.concat([snapshot.read_events(bucket, LATER, with_anonymous=True) for bucket in snapshot.buckets])
    assert snapshot.event_count == everybody.height == 200
    assert users.height == 200 - 67
    assert not users.select(t.is_anonymous().any()).item()
    assert everybody.filter(t.is_anonymous()).height == 67


def test_coded_events_are_those_of_users(lake: Lake):
    snapshot = lake.snapshot()
    columns = (t.USER_ID, t.EVENT_TYPE, t.OCCURRED_AT)
    for bucket in snapshot.buckets:
        coded = pl.DataFrame(snapshot.read_coded(bucket, LATER, columns)).select(columns)
        expected = snapshot.read_events(bucket, LATER, columns)
        assert coded.with_columns(pl.col(t.USER_ID, t.EVENT_TYPE).cast(pl.String)).rows() == expected.rows()


def test_nobody_has_features_labels_or_a_next_basket_but_a_history(lake: Lake, tmp_path: Path):
    snapshot, churn = lake.snapshot(), Churn(horizon_days=2, look_back_days=3, allowed_lateness_days=0)
    built = compute_features(snapshot, [AS_OF], Folder(str(tmp_path / "features")), IN_PROCESS)
    for bucket in snapshot.buckets:
        features = built.read(bucket)
        labels = bucket_labels(bucket, reader=snapshot, as_ofs=[AS_OF], churn=churn, known_at=LATER)
        assert features.height + labels.height > 0
        for table in (features, labels):
            assert not table.select(t.is_anonymous().any()).item()
        baskets = bucket_baskets(bucket, reader=snapshot, as_of=AS_OF, horizon_days=2, known_at=LATER)
        nobody = baskets.filter(t.is_anonymous())
        assert nobody.height > 0
        assert nobody["target_item"].null_count() == nobody.height
