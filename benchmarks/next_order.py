"""Are the warning list's dates right? Half should have ordered by the expected day, nine of ten before the alarm."""

import argparse
from datetime import UTC, datetime, timedelta

import polars as pl

from benchmarks.result import Row, measured, parse_arguments, show
from everstay import tables as t
from everstay.errors import NotReady
from everstay.features import net_purchases
from everstay.lake import Snapshot
from everstay.scoring.next_order import ALARM, LAST_DAY, fit_gaps, order_rhythm
from everstay.settings import load_settings
from flows import runtime

_COLUMNS = (t.USER_ID, t.OCCURRED_AT, t.RECORDED_AT, t.EVENT_TYPE, t.ORDER_ID, t.QUANTITY, t.AMOUNT)
_CAME = "came"


def main() -> None:
    """Predict dates as of each `--as-of`, and look up in the lake when the next order came."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--as-of", nargs="+", required=True, type=datetime.fromisoformat, metavar="DATE")
    arguments = parse_arguments(__doc__ or "", parser)
    settings = load_settings()
    snapshot = runtime.open_lake(settings).snapshot()
    rows: list[Row] = []
    for moment in arguments.as_of:
        rows += _figures(snapshot, moment.replace(tzinfo=UTC), settings.churn.look_back_days)
    show(f"{settings.source.kind}: dates of the warning list", rows, arguments.json)


def _figures(snapshot: Snapshot, as_of: datetime, look_back_days: int) -> list[Row]:
    """Only dates that the data reaches are judged; the alarm's on users who ordered on the day before the as-of."""
    rhythm = order_rhythm(_purchases(snapshot, as_of))
    model = fit_gaps(rhythm)
    if model is None:
        raise NotReady(f"nobody had two gaps between orders as of {as_of:%Y-%m-%d}")
    users = rhythm.filter(pl.col(LAST_DAY) >= as_of - timedelta(days=look_back_days))
    end = snapshot.recorded_until - timedelta(days=1)
    later = _purchases(snapshot, snapshot.recorded_until).filter(pl.col(t.OCCURRED_AT) >= as_of)
    came = later.group_by(t.USER_ID).agg(pl.col(t.OCCURRED_AT).min().dt.truncate("1d").alias(_CAME))
    dated = users.hstack(model.dates(users, as_of)).join(came, on=t.USER_ID, how="left")
    fresh = dated.filter(pl.col(LAST_DAY) >= as_of - timedelta(days=1))
    case, found = f"{as_of:%Y-%m-%d}", []
    for name, column, who in (
        ("ordered by the expected day (50)", t.EXPECTED_ORDER_AT, dated),
        (f"ordered before the alarm ({ALARM:.0%})", t.EXPECTED_ALARM_AT, fresh),
    ):
        judged = who.filter(pl.col(column) < end)
        in_time = judged.select((pl.col(_CAME) <= pl.col(column)).fill_null(False).mean()).item()
        found += [measured(case, f"users, {name}", len(judged), ""), measured(case, name, 100 * in_time, "%")]
    return found


def _purchases(snapshot: Snapshot, as_of: datetime) -> pl.DataFrame:
    return net_purchases(pl.concat([snapshot.read_events(bucket, as_of, _COLUMNS) for bucket in snapshot.buckets]))


if __name__ == "__main__":
    main()
