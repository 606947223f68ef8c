"""Dask DataFrame: plain group-bys over the raw files on two worker processes give the benchmark's 31 features."""

import json
import sys
import time
from datetime import datetime

import dask.dataframe as dd
import pandas as pd
from dask.base import compute
from distributed import Client, LocalCluster

TYPES = {"views": "view", "carts": "cart", "searches": "search", "purchases": "purchase"}


def main(raw: str, as_of: datetime, output: str) -> None:
    """Write `output` and print the seconds; the start of the workers is not counted."""
    cluster = LocalCluster(n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None)
    with cluster, Client(cluster):
        began = time.perf_counter()
        table(raw, as_of).to_parquet(output)
        print(json.dumps({"seconds": time.perf_counter() - began}))


def table(raw: str, as_of: datetime) -> pd.DataFrame:
    """The features by user."""
    events = dd.read_parquet(raw)
    events = events[events.occurred_at < as_of]
    events["age"] = (pd.Timestamp(as_of) - events.occurred_at).dt.total_seconds()
    events["day"] = events.occurred_at.dt.floor("D")
    users = events.user_id
    is_purchase = events.event_type == "purchase"
    parts = {}
    for days in (7, 28, 91, 364):
        inside = events.age <= days * 86_400
        for name, kind in TYPES.items():
            parts[f"{name}_{days}d"] = ((events.event_type == kind) & inside).astype("int64").groupby(users).sum()
        parts[f"spend_{days}d"] = events.amount.where(inside & is_purchase, 0.0).groupby(users).sum()
        parts[f"distinct_items_seen_{days}d"] = events[inside].groupby("user_id").item_id.nunique()
        parts[f"active_days_{days}d"] = events[inside].groupby("user_id").day.nunique()
    parts["purchases_recency_days"] = events[is_purchase].groupby("user_id").age.min() / 86_400
    parts["tenure_days"] = events.groupby("user_id").age.max() / 86_400
    parts["inactive_days"] = events.groupby("user_id").age.min() / 86_400
    computed = pd.DataFrame(dict(zip(parts, compute(*parts.values()), strict=True)))
    filled = {name: computed[name].fillna(0) for name in computed if name != "purchases_recency_days"}
    return computed.assign(**filled).rename_axis("user_id").reset_index()


if __name__ == "__main__":
    main(sys.argv[1], datetime.fromisoformat(sys.argv[2]), sys.argv[3])
