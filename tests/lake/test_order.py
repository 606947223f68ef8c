"""The order of events is that of a plain sort, however the rows come."""

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from everstay.lake.order import event_order

_YEAR = 365 * 86_400 * 1_000_000


@pytest.mark.parametrize("users", [1, 7, 70_000])
@pytest.mark.parametrize("come", ["a log", "files of the lake", "anyhow"])
@pytest.mark.parametrize("span", [3, _YEAR, 2**62])
def test_rows_are_in_the_order_of_user_time_and_id(users: int, come: str, span: int):
    draw = np.random.default_rng(users + span % 1_000)
    user, moment = draw.integers(0, users, 3_000).astype(np.int32), draw.integers(-span, span, 3_000)
    ids = [f"e{number}" for number in draw.integers(0, 500, 3_000)]
    if come == "a log":
        moment.sort()
    if come == "files of the lake":
        half = np.arange(3_000) >= 1_500
        order = np.lexsort((moment, user, half))
        user, moment = user[order], moment[order]
    rows = pl.DataFrame({"user": user, "moment": moment, "id": ids})
    order = event_order(user, moment, pa.array(ids))
    assert np.array_equal(np.sort(order), np.arange(3_000))
    assert rows[order].equals(rows.sort("user", "moment", "id"))


def test_no_rows_have_no_order():
    nothing = np.empty(0, np.int64)
    assert len(event_order(nothing, nothing, pa.array([], pa.string()))) == 0
