"""The 31 features of the feature benchmark, as Everstay declares them, and a check that all give the same table."""

from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl

from everstay.features import Feature, declare_features

WINDOWS = (7, 28, 91, 364)
COUNTED = ("views", "carts", "searches", "purchases", "spend", "distinct_items_seen", "active_days")
NAMES = (
    *(f"{name}_{days}d" for name in COUNTED for days in WINDOWS),
    "purchases_recency_days",
    "tenure_days",
    "inactive_days",
)


def benchmark_features() -> list[Feature]:
    """Everstay's declarations of `NAMES`."""
    declared = {feature.name: feature for feature in declare_features(WINDOWS)}
    return [declared[name] for name in NAMES]


def same_table(files: list[Path], other: Path, as_of: datetime) -> bool:
    """Whether Everstay's part files and a peer's file hold the same users and numbers (money and times to 1e-9).

    Args:
        files: `user_id` (text), `as_of` and `NAMES`.
        other: `user_id` (whole number) and `NAMES`.
        as_of: whose rows of `files` are meant.
    """
    ours = pl.scan_ipc(files).filter(pl.col("as_of") == as_of).cast({"user_id": pl.Int64})
    left = ours.select("user_id", *NAMES).sort("user_id").collect()
    right = pl.scan_parquet(other).select("user_id", *NAMES).sort("user_id").collect()
    if not left["user_id"].equals(right["user_id"]):
        return False
    return all(
        np.allclose(
            left[name].cast(pl.Float64).fill_null(-1).to_numpy(),
            right[name].cast(pl.Float64).fill_null(-1).to_numpy(),
            rtol=1e-9,
            atol=1e-9,
        )
        for name in NAMES
    )
