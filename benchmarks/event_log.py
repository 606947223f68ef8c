"""The benchmarks' event log: as many events as asked for, a year long, users of very different activity.

Raw Parquet files in the order of time, as a shop's own log would be: integer ids, four event types, money on purchases.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

FIRST_DAY = datetime(2025, 1, 1, tzinfo=UTC)
DAYS = 365
AS_OF = FIRST_DAY + timedelta(days=DAYS)
EVENTS_PER_USER = 50
ITEMS = 100_000
TYPES = ("view", "cart", "search", "purchase")
COLUMNS = ("user_id", "item_id", "event_type", "occurred_at", "amount")

_SHARES = (0.80, 0.12, 0.03, 0.05)
_FILE_ROWS = 1_000_000
_TAIL = (
    8.0  # user number = users × (e^(8u) - 1) / (e^8 - 1): the most active user has 375 times the mean, the least 1/8
)
_SCATTER = 2_654_435_761  # an odd prime: multiplying by it modulo the number of users puts their numbers out of order
_DAY_SECONDS = 86_400


def write_event_log(
    folder: Path, events: int, *, first_day: datetime = FIRST_DAY, days: int = DAYS, seed: int = 5
) -> Path:
    """Write `events` events, evenly over `days` days, to Parquet files of a million rows in `folder`; return it.

    The same arguments give the same files. Users: one for every 50 events of a year's log of this size.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = max(1, -(-events // _FILE_ROWS))
    bounds = np.linspace(0, events, files + 1).astype(int)
    seconds = np.linspace(0, days * _DAY_SECONDS, files + 1)
    for file in range(files):
        rows = bounds[file + 1] - bounds[file]
        frame = _frame(rows, events, first_day, seconds[file], seconds[file + 1], (seed, file))
        frame.write_parquet(folder / f"events-{file:05d}.parquet")
    return folder


def _frame(
    rows: int, events: int, first_day: datetime, start: float, end: float, seed: tuple[int, int]
) -> pl.DataFrame:
    draw = np.random.default_rng(seed)
    users = max(1, events // EVENTS_PER_USER)
    rank = users * np.expm1(_TAIL * draw.random(rows)) / np.expm1(_TAIL)
    user = rank.astype(np.int64) * _SCATTER % users
    item = (ITEMS * draw.random(rows) ** 3).astype(np.int64)
    kind = np.searchsorted(np.cumsum(_SHARES)[:-1], draw.random(rows))
    moment = np.sort(draw.uniform(start, end, rows) * 1e6).astype(np.int64)
    cents = np.where(kind == TYPES.index("purchase"), draw.integers(100, 20_000, rows), 0)
    return pl.DataFrame(
        {
            "user_id": user,
            "item_id": item,
            "event_type": pl.Series(np.array(TYPES)[kind]),
            "occurred_at": pl.Series(moment + int(first_day.timestamp() * 1e6)).cast(pl.Datetime("us", "UTC")),
            "amount": cents / 100,
        }
    )
