"""Auxiliary targets of network and boosting besides churn: how soon, and on how many days, users came back.

One bit per user says little: someone who came back on the last day nearly left, someone who came daily did not.
"""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from everstay import tables as t
from everstay.churn.rows import LABEL_COLUMNS

SHARES = (1.0, 0.25, 0.5, 0.75)
"""Parts of the label window, from its start: silent in the whole of it means churned."""

OUTLOOKS = len(SHARES) + 1
"""Outputs of a network per row: log-odds of silence in each of these parts, and the log of the days with an order."""


def returns(rows: pl.DataFrame) -> NDArray[np.float32]:
    """Targets of N rows: (N, OUTLOOKS), silence (0 or 1) in each of `SHARES`, then the days with an order.

    All zeros where the label columns are missing: nothing is known yet.
    """
    if any(name not in rows.columns for name in LABEL_COLUMNS):
        return np.zeros((rows.height, OUTLOOKS), dtype=np.float32)
    part = (pl.col(t.RETURN_DAYS) / pl.col(t.HORIZON_DAYS)).fill_null(1.0)
    silences = ((part >= share).alias(f"silent_{share}") for share in SHARES)
    return rows.select(*silences, pl.col(t.ORDER_DAYS)).cast(pl.Float32).to_numpy()
