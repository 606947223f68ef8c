"""CDNOW, 23,570 customers who first bought in the first quarter of 1997: who of them buys again in the second half?

Half-year labels do not exist before the as-of 1998-01-01: candidates learn a shorter horizon and are judged by how they
rank users for the long one. Buy-till-you-die models, fitted to the histories up to the as-of, are given the long one.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks.churn_comparison import Scored
from benchmarks.churn_lake import score_candidates, score_peers, write_rows
from benchmarks.peers import run_peer
from everstay import tables as t
from everstay.churn import ChurnRows
from everstay.churn.btyd import BgNbd, ParetoNbd
from everstay.churn.purchase_process import order_history
from everstay.features import TimeSplit, churn_labels
from everstay.lake import Snapshot
from everstay.settings import FILE_VARIABLE, Settings, load_settings
from flows import runtime
from flows.ingest_events import ingest_events

_CANDIDATES = ("recency", "purchase_process", "logistic", "boosting", "lightgbm", "network", "blend")
_AS_OF = datetime(1998, 1, 1, tzinfo=UTC)
_HORIZON, _LONG = 84, 180  # days: what is learned, and what is judged; the table ends on 1998-06-30
_FIRST = datetime(1997, 4, 15, tzinfo=UTC)  # all have begun by then
_STEP = timedelta(days=21)

_SETTINGS = """
report_folder = "{folder}/reports"
[source]
kind = "files"
[source.files]
events = "{folder}/cdnow.csv"
default_event_type = "purchase"
[data]
folder = "{folder}/lake"
[churn]
look_back_days = 400
horizon_days = {horizon}
allowed_lateness_days = 0
max_users = 23570
"""


def judge_cdnow() -> Scored:
    """Copy, ingest, train and judge; everything is removed afterwards."""
    with tempfile.TemporaryDirectory() as folder, _settings_in(Path(folder)) as settings:
        ingest_events()
        snapshot, work = runtime.open_lake(settings).snapshot(), Path(folder)
        rows = write_rows(snapshot, _split(), settings, work)
        probabilities, chosen = score_candidates(rows, settings, _CANDIDATES, work / "candidates")
        test = ChurnRows.read(rows).test
        found = {**score_peers(rows, test), **_published(test), **probabilities}
        return Scored.of_rows("CDNOW, 180 days", _long_labels(snapshot, settings, test), found, chosen)


@contextmanager
def _settings_in(folder: Path) -> Iterator[Settings]:
    """Settings of a lake of its own in `folder`, in force for the duration of the block."""
    run_peer("cdnow.py", str(folder / "cdnow.txt"))
    names = ("user_id", "occurred_at", "quantity", "amount")
    lines = [line.split() for line in (folder / "cdnow.txt").read_text().splitlines()[1:]]
    events = pl.DataFrame(lines, schema=list(names), orient="row").with_columns(
        pl.col("occurred_at").str.to_date("%Y%m%d")
    )
    events = events.with_columns(pl.lit("cd").alias("item_id"))
    events.with_row_index("event_id").write_csv(folder / "cdnow.csv")
    (folder / "cdnow.toml").write_text(_SETTINGS.format(folder=folder, horizon=_HORIZON))
    before = os.environ.get(FILE_VARIABLE)
    os.environ[FILE_VARIABLE] = str(folder / "cdnow.toml")
    try:
        yield load_settings()
    finally:
        os.environ.pop(FILE_VARIABLE)
        if before is not None:
            os.environ[FILE_VARIABLE] = before


def _split() -> TimeSplit:
    """Every third week from April on; the last label windows end at the as-ofs that they must be known at."""
    horizon = timedelta(days=_HORIZON)
    validation = _AS_OF - horizon
    moments = [_FIRST + step * _STEP for step in range((validation - _FIRST) // _STEP)]
    train = tuple(moment for moment in moments if moment + horizon <= validation)
    return TimeSplit(train, tuple(moments[len(train) :]), (validation,), _AS_OF)


def _published(test: pl.DataFrame) -> dict[str, NDArray[np.float64]]:
    """The models as published: fitted to the histories up to the as-of, given the horizon; no label is needed."""
    history = order_history(test)
    return {
        f"{model.__name__}, told 180 days": model.fit(history).probability_no_purchase(history, float(_LONG))
        for model in (BgNbd, ParetoNbd)
    }


def _long_labels(snapshot: Snapshot, settings: Settings, test: pl.DataFrame) -> pl.DataFrame:
    """The test rows with the labels of the long horizon."""
    churn, known = settings.churn.model_copy(update={"horizon_days": _LONG}), snapshot.recorded_until
    parts = [churn_labels(snapshot.read_events(bucket, known), _AS_OF, churn, known) for bucket in snapshot.buckets]
    labels = pl.concat(parts).select(t.USER_ID, t.CHURNED)
    return test.drop(t.CHURNED).join(labels, on=t.USER_ID, how="inner", maintain_order="left")
