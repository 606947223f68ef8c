"""How well does each model predict the value of users who stay, at a past as-of? Intervals are over users."""

from datetime import datetime, timedelta
from functools import partial
from typing import Any

import numpy as np
import polars as pl

from benchmarks.result import Row, estimated, parse_arguments, show
from everstay import tables as t
from everstay.errors import NotReady
from everstay.features import midnight_before
from everstay.lake import Lake, Snapshot
from everstay.metrics.comparison import mean_interval, paired_mean_difference
from everstay.settings import Settings, load_settings
from everstay.value import VALUE_COLUMNS, fit_value, purchase_summary
from everstay.value.learned import LearnedValue
from everstay.value.past import SPEND_AHEAD, earlier_as_ofs, past_rows

_SLICES, _STEP_DAYS = 8, 7
_RESAMPLES = 2_000
_PACE, _PURCHASES, _LEARNED = "pace of the last year", "buy till you die × Gamma-Gamma", "boosting"


def main() -> None:
    """Predict as of the last as-of whose horizon has passed, and compare with what the users who stayed paid."""
    arguments = parse_arguments(__doc__ or "")
    settings = load_settings()
    lake, horizon = Lake(settings.data.folder, settings.data.buckets).snapshot(), settings.value.horizon_days
    as_of = midnight_before(lake.recorded_until) - timedelta(days=horizon)
    test = _rows(lake, [as_of], settings, lake.recorded_until).filter(pl.col(SPEND_AHEAD) > 0)
    truth, foretold = test[SPEND_AHEAD].to_numpy(), _foretold(lake, as_of, test, settings)
    policy: dict[str, Any] = {
        "resamples": _RESAMPLES,
        "confidence": settings.promotion.confidence,
        "seed": settings.training.seed,
    }
    rows: list[Row] = []
    errors = {case: np.abs(values[t.CUSTOMER_VALUE].to_numpy() - truth) for case, values in foretold.items()}
    for case, values in foretold.items():
        rows.append(estimated(case, "mean absolute error", mean_interval(errors[case], **policy)))
        against = paired_mean_difference(errors[case], errors[_PURCHASES], **policy)
        rows.append(estimated(case, "minus buy till you die's", against))
        bias = mean_interval(values[t.CUSTOMER_VALUE].to_numpy() - truth, **policy)
        rows.append(estimated(case, "mean error", bias))
        if t.CUSTOMER_VALUE_LOW in values.columns:
            low, high = (values[name].to_numpy() for name in VALUE_COLUMNS[1:])
            inside = ((truth >= low) & (truth <= high)).astype(float)
            rows.append(estimated(case, "share inside low to high", mean_interval(inside, **policy)))
            rows.append(estimated(case, "mean width", mean_interval(high - low, **policy)))
    title = (
        f"Spend in {horizon} days from {as_of:%Y-%m-%d} of {test.height:,} users who stayed, {truth.mean():.1f} a user"
    )
    show(title, rows, arguments.json)


def _foretold(lake: Snapshot, as_of: datetime, test: pl.DataFrame, settings: Settings) -> dict[str, pl.DataFrame]:
    """Case to values of the test users, in their order, from what was known at the as-of."""
    value = settings.value
    summary = pl.concat([purchase_summary(lake.read_events(bucket, as_of), as_of) for bucket in lake.buckets])
    model = fit_value(summary.sort(t.USER_ID), value)
    if model is None:
        raise NotReady(f"nobody ordered twice before {as_of:%Y-%m-%d}: there is no value to forecast")
    known = test.select(t.USER_ID).join(summary, on=t.USER_ID, how="left", maintain_order="left")
    pace = pl.col("spend_364d") / pl.col("tenure_days").clip(28, 364) * value.horizon_days
    past = _rows(lake, earlier_as_ofs(as_of, value.horizon_days, _SLICES, _STEP_DAYS), settings, as_of)
    return {
        _PACE: test.select(pace.fill_null(0.0).alias(t.CUSTOMER_VALUE)),
        _PURCHASES: model.values(known),
        _LEARNED: LearnedValue.fit(past, settings.training.seed).values(test),
    }


def _rows(lake: Snapshot, as_ofs: list[datetime], settings: Settings, known_at: datetime) -> pl.DataFrame:
    """`past_rows` of all buckets."""
    rows_of = partial(
        past_rows,
        items=lake.read(t.ITEMS),
        as_ofs=as_ofs,
        horizon_days=settings.value.horizon_days,
        look_back_days=settings.churn.look_back_days,
        known_at=known_at,
    )
    return pl.concat([rows_of(lake.read_events(bucket, known_at)) for bucket in lake.buckets])


if __name__ == "__main__":
    main()
