"""DuckDB: one query over the raw files gives the benchmark's 31 features."""

import json
import sys
import time

import duckdb

TYPES = {"views": "view", "carts": "cart", "searches": "search", "purchases": "purchase"}


def main(raw: str, as_of: str, output: str) -> None:
    """Write `output` and print the seconds."""
    columns = []
    for days in (7, 28, 91, 364):
        inside = f"age <= {days} * 86400000000"
        columns += [
            f"count(*) FILTER (event_type = '{kind}' AND {inside}) AS {name}_{days}d" for name, kind in TYPES.items()
        ]
        columns += [
            f"coalesce(sum(amount) FILTER (event_type = 'purchase' AND {inside}), 0) AS spend_{days}d",
            f"count(DISTINCT item_id) FILTER ({inside}) AS distinct_items_seen_{days}d",
            f"count(DISTINCT day) FILTER ({inside}) AS active_days_{days}d",
        ]
    columns += [
        "min(age) FILTER (event_type = 'purchase') / 86400e6 AS purchases_recency_days",
        "max(age) / 86400e6 AS tenure_days",
        "min(age) / 86400e6 AS inactive_days",
    ]
    began = time.perf_counter()
    connection = duckdb.connect(config={"enable_external_file_cache": False})
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(f"""
        COPY (
            WITH events AS (
                SELECT user_id, item_id, event_type, amount, epoch_us(occurred_at) // 86400000000 AS day,
                       epoch_us(TIMESTAMPTZ '{as_of}') - epoch_us(occurred_at) AS age
                FROM read_parquet('{raw}') WHERE occurred_at < TIMESTAMPTZ '{as_of}'
            )
            SELECT user_id, {", ".join(columns)} FROM events GROUP BY user_id
        ) TO '{output}' (FORMAT parquet)""")
    print(json.dumps({"seconds": time.perf_counter() - began}))


if __name__ == "__main__":
    main(*sys.argv[1:4])
