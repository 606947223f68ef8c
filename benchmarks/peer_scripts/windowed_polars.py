"""Polars: one streaming query over the raw files gives the benchmark's 31 features."""

import json
import sys
import time
from datetime import datetime

import polars as pl

TYPES = {"views": "view", "carts": "cart", "searches": "search", "purchases": "purchase"}
DAY = pl.duration(days=1)


def main(raw: str, as_of: datetime, output: str) -> None:
    """Write `output` and print the seconds."""
    began = time.perf_counter()
    age = pl.lit(as_of).cast(pl.Datetime("us", "UTC")) - pl.col("occurred_at")
    values = []
    for days in (7, 28, 91, 364):
        inside = age <= pl.duration(days=days)
        values += [
            ((pl.col("event_type") == kind) & inside).sum().alias(f"{name}_{days}d") for name, kind in TYPES.items()
        ]
        values += [
            pl.col("amount").filter((pl.col("event_type") == "purchase") & inside).sum().alias(f"spend_{days}d"),
            pl.col("item_id").filter(inside).n_unique().alias(f"distinct_items_seen_{days}d"),
            pl.col("occurred_at").dt.date().filter(inside).n_unique().alias(f"active_days_{days}d"),
        ]
    values += [
        age.filter(pl.col("event_type") == "purchase").min().alias("purchases_recency_days"),
        age.max().alias("tenure_days"),
        age.min().alias("inactive_days"),
    ]
    ages = [
        (pl.col(name).dt.total_microseconds() / 86_400e6).alias(name)
        for name in ("purchases_recency_days", "tenure_days", "inactive_days")
    ]
    query = (
        pl.scan_parquet(raw).filter(pl.col("occurred_at") < as_of).group_by("user_id").agg(values).with_columns(ages)
    )
    query.collect(engine="streaming").write_parquet(output)
    print(json.dumps({"seconds": time.perf_counter() - began}))


if __name__ == "__main__":
    main(sys.argv[1], datetime.fromisoformat(sys.argv[2]), sys.argv[3])
