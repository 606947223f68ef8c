"""Buy-till-you-die models on rows: how days are counted, and what their kinds tell apart."""

import numpy as np
import polars as pl

from everstay.churn.purchase_process import activity_history, order_history


def test_order_days_are_read_back_from_the_mean_gap() -> None:
    rows = pl.DataFrame(
        {"first_order_days": [29.4, 10.2, None], "recency_days": [1.4, 10.2, None], "gap_mean_days": [7.0, None, None]}
    )
    history = order_history(rows)
    np.testing.assert_allclose(history.frequency, [4, 0, 0])
    np.testing.assert_allclose(history.recency, [28, 0, 0])
    np.testing.assert_allclose(history.age, [29.4, 10.2, 3_650])


def test_active_days_count_after_the_first_and_within_a_year() -> None:
    rows = pl.DataFrame(
        {
            "tenure_days": [30.0, 5.0, 500.0, None],
            "inactive_days": [2.0, 5.0, 100.0, None],
            "active_days_364d": [6.0, 1.0, 8.0, 0.0],
        }
    )
    history = activity_history(rows)
    np.testing.assert_allclose(history.frequency, [5, 0, 8, 0])  # the third came first before the year
    np.testing.assert_allclose(history.recency, [28, 0, 264, 0])
    np.testing.assert_allclose(history.age, [30, 5, 364, 364])
