"""Reasons: they name what the model uses, with the user's and the usual number, the strongest first."""

import numpy as np
import polars as pl

from everstay.churn.encoding import FEATURE_COLUMNS
from everstay.churn.explanation import GROUPS, explain, usual_values
from everstay.churn.rows import ChurnRows


def recency_odds(rows: pl.DataFrame) -> np.ndarray:
    return rows["recency_days"].to_numpy() / 10 - rows["orders_84d"].to_numpy() / 100


def test_reasons_name_what_the_model_uses(churn_rows: ChurnRows) -> None:
    usual = {**dict.fromkeys(FEATURE_COLUMNS, 1.0), "recency_days": 4.0, "orders_84d": 20.0}
    rows = churn_rows.test.head(3).with_columns(
        pl.Series("recency_days", [45.2, 4.0, 1.5]), pl.Series("orders_84d", [2.0, 20.0, 20.0])
    )
    reasons = explain(recency_odds, rows, usual)
    assert reasons == [
        [
            "raises the risk: since the last order: 45 days (usually 4)",
            "raises the risk: orders placed, returned or not in 84 days: 2 orders (usually 20)",
        ],
        [],
        ["lowers the risk: since the last order: 1.5 days (usually 4)"],
    ]


def test_at_most_three_reasons_and_undefined_values_are_words(churn_rows: ChurnRows) -> None:
    usual = usual_values(churn_rows.train)

    def odds(rows: pl.DataFrame) -> np.ndarray:
        return rows.select(pl.sum_horizontal(pl.col(FEATURE_COLUMNS).fill_null(9.0))).to_series().to_numpy()

    rows = churn_rows.test.head(50).with_columns(pl.lit(None, pl.Float64).alias("recency_days"))
    reasons = explain(odds, rows, usual)
    assert len(reasons) == 50
    assert {len(row) for row in reasons} == {3}
    assert any("since the last order: none days" in reason for row in reasons for reason in row)


def test_no_rows_have_no_reasons(churn_rows: ChurnRows) -> None:
    assert explain(recency_odds, churn_rows.test.head(0), usual_values(churn_rows.train)) == []


def test_groups_do_not_overlap_and_tell_a_declared_feature() -> None:
    columns = [name for group in GROUPS for name in group.columns]
    assert len(columns) == len(set(columns))
    assert set(columns) <= set(FEATURE_COLUMNS)
