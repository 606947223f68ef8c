"""What the network learns from those who stayed: silences that grow, and nothing where nothing is known yet."""

from datetime import UTC, datetime

import numpy as np
import polars as pl

from everstay import tables as t
from everstay.churn.returns import OUTLOOKS, SHARES, returns


def test_silence_in_each_part_of_the_window_and_days_with_an_order() -> None:
    rows = pl.DataFrame(
        {t.CHURNED: [True, False, False, False], t.RETURN_DAYS: [None, 0, 7, 27], t.ORDER_DAYS: [0, 9, 2, 1]}
    ).with_columns(pl.lit(28).alias(t.HORIZON_DAYS))
    assert SHARES == (1.0, 0.25, 0.5, 0.75)
    expected = [[1, 1, 1, 1, 0], [0, 0, 0, 0, 9], [0, 1, 0, 0, 2], [0, 1, 1, 1, 1]]
    np.testing.assert_array_equal(returns(rows), np.array(expected, np.float32))


def test_without_labels_nothing_is_known() -> None:
    rows = pl.DataFrame({t.USER_ID: ["u"], t.AS_OF: [datetime(2024, 1, 1, tzinfo=UTC)]})
    assert returns(rows).tolist() == [[0.0] * OUTLOOKS]
