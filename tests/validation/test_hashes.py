"""Hashes, runs and days equal what Polars finds the plain way, for values in runs or scattered, with gaps or none."""

from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

from everstay import tables as t
from everstay.validation.hashes import find_doubles, hash_rows, smallest
from everstay.validation.runs import count_by_run, distinct_days

DRAW = np.random.default_rng(7)
SCATTERED = pl.Series("id", [None if n % 9 == 0 else f"u{n}" for n in DRAW.integers(40, size=500)])


@pytest.mark.parametrize("values", [SCATTERED, SCATTERED.sort(), SCATTERED.head(1), SCATTERED.head(0)])
def test_runs_count_each_value(values: pl.Series) -> None:
    assert count_by_run(values).sort().to_list() == values.unique_counts().sort().to_list()


@pytest.mark.parametrize("span_days", [1, 400, 2_000_000])
def test_days_are_those_of_polars(span_days: int) -> None:
    moments = DRAW.integers(-span_days * 86_400_000_000 // 2, span_days * 86_400_000_000 // 2, size=300)
    times = pl.Series(moments).cast(t.TIME).extend(pl.Series([None], dtype=t.TIME))
    plain = times.drop_nulls().dt.date().unique().sort()
    assert distinct_days(times).to_physical().to_list() == plain.to_physical().to_list()  # years beyond Python's too
    assert distinct_days(times.head(0)).to_list() == []


@pytest.mark.parametrize("count", [1, 5, 41, 1_000])
def test_smallest_hashes_are_different_and_ascending(count: int) -> None:
    hashes = hash_rows(SCATTERED.to_frame(), ["id"])
    assert smallest(hashes, count).tolist() == hashes.unique().sort().head(count).to_list()


def test_doubles_are_the_hashes_of_values_that_occur_twice() -> None:
    frame = pl.DataFrame(
        {"id": ["a", "b", "a", "c", "a"], "at": [datetime(2024, 1, day, tzinfo=UTC) for day in (1, 1, 2, 1, 1)]}
    )
    for columns in (["id"], ["id", "at"]):
        hashes = hash_rows(frame, columns)
        is_double = hashes.is_in(find_doubles(hashes).implode())
        assert is_double.to_list() == frame.select(pl.struct(columns).is_duplicated()).to_series().to_list()


def test_coded_texts_have_the_hashes_of_their_texts() -> None:
    coded = pl.DataFrame({"id": ["b", "a"]}, schema={"id": pl.Categorical})
    assert hash_rows(coded, ["id"]).to_list() == hash_rows(coded.cast(pl.String), ["id"]).to_list()
