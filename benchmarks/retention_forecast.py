"""Do the intervals of retention forecasts hold? Back-tested from many past origins of a lake, by weeks or months."""

import argparse
import time
from datetime import timedelta

import polars as pl

from benchmarks.result import Row, count, measured, parse_arguments, show
from everstay.features import midnight_before
from everstay.partitions import open_cluster
from everstay.retention import measure_retention
from everstay.retention.cohorts import COHORT
from everstay.retention.forecast import AHEAD, ALL, BOUGHT, HIGH, LOW, SHARE, coverage, forecast, mature
from everstay.settings import load_settings
from flows import runtime

_KINDS = {"all users": pl.col(COHORT) == ALL, "first cohort": pl.col(COHORT) == 0, "later cohorts": pl.col(COHORT) > 0}


def main() -> None:
    """Read the lake of the settings, forecast from every origin, and say how often the 90% interval held."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--period", choices=("week", "month"), default="month")
    parser.add_argument("--origins", type=count, default=40, help="at most so many, the latest")
    arguments = parse_arguments(__doc__ or "", parser)
    settings = load_settings()
    snapshot = runtime.open_lake(settings).snapshot()
    chosen = settings.retention.model_copy(update={"period": arguments.period})
    as_of = midnight_before(snapshot.recorded_until)
    with open_cluster(settings.dask) as scheduler:
        figures = measure_retention(snapshot, snapshot.first_event_at, as_of, chosen, scheduler)
    periods, histories = figures.periods.count, figures.cohorts.histories
    begun = time.perf_counter()
    made = forecast(histories, periods, chosen.ahead, chosen.min_cohort_users, arguments.origins + 1)
    seconds = time.perf_counter() - begun
    lateness = timedelta(days=settings.churn.allowed_lateness_days)
    due = mature(made, figures.periods, lateness, as_of)
    rows = [*_figures("all forecasts", due), measured("all forecasts", "time", seconds, "s")]
    for name, kind in _KINDS.items():
        for (ahead,), part in due.filter(kind).sort(AHEAD).group_by(AHEAD, maintain_order=True):
            rows += _figures(f"{name}, {ahead} ahead", part)
    show(f"{settings.source.kind}: retention by {arguments.period}, {periods} periods", rows, arguments.json)


def _figures(case: str, due: pl.DataFrame) -> list[Row]:
    error = due.select((pl.col(BOUGHT) - pl.col(SHARE)).abs().mean()).item()
    width = due.select((pl.col(HIGH) - pl.col(LOW)).mean()).item()
    return [
        measured(case, "forecasts", len(due), ""),
        measured(case, "90% intervals that held", 100 * coverage(due), "%"),
        measured(case, "mean error", 100 * error, "points"),
        measured(case, "mean width", 100 * width, "points"),
    ]


if __name__ == "__main__":
    main()
