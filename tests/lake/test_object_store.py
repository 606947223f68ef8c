"""The lake in an object store: a real server, and publications that are read from files of their own."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from everstay import tables as t
from everstay.lake import Lake
from everstay.partitions import IN_PROCESS, compute_parts
from everstay.storage import Folder
from tests.cluster.machines import BUCKET, object_store

MONDAY = datetime(2023, 5, 1, tzinfo=UTC)


def publication(as_of: datetime, rank: int) -> pl.DataFrame:
    return t.RECOMMENDATIONS.conform(
        pl.DataFrame({t.USER_ID: ["u0", "u1"], t.RANK: rank, t.ITEM_ID: "i"}).with_columns(
            pl.lit(as_of, t.TIME).alias(t.AS_OF),
            pl.lit(0.5).alias(t.SCORE),
            *(pl.lit("x").alias(name) for name in (t.REASON, t.MODEL_VERSION, t.DATA_VERSION)),
        )
    )


def test_a_publication_is_read_from_its_own_files(monkeypatch: pytest.MonkeyPatch):
    with object_store() as variables:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        lake = Lake(f"s3://{BUCKET}/lake", 2)
        assert lake.as_ofs(t.RECOMMENDATIONS) == []
        days = [MONDAY + timedelta(days=number) for number in range(3)]
        for rank, as_of in enumerate(days, 1):
            frame = publication(as_of, rank)
            parts = compute_parts(lambda n, f=frame: f[n : n + 1], [0, 1], Folder(f"{lake.uri}/_work"), IN_PROCESS)
            assert lake.publish_parts(t.RECOMMENDATIONS, parts, as_of=as_of, key="v1")
        assert lake.as_ofs(t.RECOMMENDATIONS) == days
        found = lake.read_publication(t.RECOMMENDATIONS, days[1]).sort(t.USER_ID)  # parts come in any order
        assert_frame_equal(found, publication(days[1], 2))
        told = lake.read_publications(t.RECOMMENDATIONS, days, [t.RANK])
        assert [rows[t.RANK].to_list() for _, rows in told] == [[1, 1], [2, 2], [3, 3]]
