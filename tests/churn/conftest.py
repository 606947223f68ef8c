"""A planted shop: who buys often and has been away for long leaves; the last day's hour decides the rest."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from threadpoolctl import threadpool_limits

from everstay import tables as t
from everstay.churn.encoding import FEATURE_COLUMNS
from everstay.churn.rows import LABEL_COLUMNS, ChurnRows
from everstay.features import TimeSplit
from everstay.features import sequences as s
from everstay.settings import Churn, Promotion, Settings, Training

TEST = datetime(2024, 6, 1, tzinfo=UTC)
VALIDATION = TEST - timedelta(days=30)
TRAIN = tuple(VALIDATION - timedelta(days=30 + 7 * back) for back in (3, 2, 1, 0))
BETWEEN = (VALIDATION - timedelta(days=7),)
CONSTANT = "views_7d"
UNDEFINED = "carts_recency_days"


def planted_rows(as_of: datetime, users: int, seed: int) -> pl.DataFrame:
    """Rows of one as-of. The true log-odds of leaving are 4 (recency / gap - 1) - 1, plus or minus 1 by the hour."""
    generator = np.random.default_rng((seed, as_of.toordinal()))
    gap = generator.uniform(1, 20, users)
    recency = gap * generator.uniform(0, 2, users)
    is_late = generator.random(users) < 0.5
    odds = 4 * (recency / gap - 1) - 1 + np.where(is_late, 1.0, -1.0)
    features = {name: generator.normal(size=users) for name in FEATURE_COLUMNS}
    features |= {CONSTANT: np.zeros(users), "recency_days": recency, "gap_mean_days": gap}
    rows = pl.DataFrame(features).with_columns(
        pl.lit(None, pl.Float64).alias(UNDEFINED),
        pl.when(pl.col("gap_std_days") > 0).then("gap_std_days"),
        pl.Series(t.USER_ID, [f"u{number}" for number in range(users)]),
        pl.lit(as_of, t.TIME).alias(t.AS_OF),
        pl.Series(t.CHURNED, generator.random(users) < 1 / (1 + np.exp(-odds))),
    )
    rows = rows.with_columns(
        pl.when(~pl.col(t.CHURNED)).then(generator.integers(0, 28, users)).cast(pl.Int32).alias(t.RETURN_DAYS),
        pl.col(t.CHURNED).not_().cast(pl.Int32).alias(t.ORDER_DAYS),
        pl.lit(28, pl.Int32).alias(t.HORIZON_DAYS),
        pl.Series("lifecycle_state", generator.integers(1, 4, users).astype(float)),
        pl.Series("first_order_days", recency + gap * generator.integers(1, 9, users)),
    )
    return rows.join(_tokens(recency, gap, is_late, generator), on=t.USER_ID, how="left").select(
        t.USER_ID, t.AS_OF, *FEATURE_COLUMNS, "first_order_days", "lifecycle_state", *_LISTS, *LABEL_COLUMNS
    )


_LISTS = (
    s.TOKEN_TYPE, s.TOKEN_DAYS_AGO, s.TOKEN_COUNT, s.TOKEN_AMOUNT, s.TOKEN_ITEMS, s.TOKEN_DISCOUNT, s.TOKEN_HOUR,
)  # fmt: skip


def _tokens(recency: np.ndarray, gap: np.ndarray, is_late: np.ndarray, generator: np.random.Generator) -> pl.DataFrame:
    """One to nine tokens per user, `gap` days apart, the last `recency` days ago; evenings for those who leave."""
    lengths = generator.integers(1, 10, len(recency))
    row = np.repeat(np.arange(len(recency)), lengths)
    place = np.arange(len(row)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    ago = recency[row] + gap[row] * (lengths[row] - 1 - place)
    numbers = {name: generator.uniform(0, 9, len(row)) for name in _LISTS[2:]}
    numbers |= {s.TOKEN_DAYS_AGO: ago, s.TOKEN_HOUR: np.where(is_late[row], 20.0, 8.0)}
    kinds = np.where(generator.random(len(row)) < 0.9, t.PURCHASE, t.VIEW)
    flat = pl.DataFrame({t.USER_ID: row, s.TOKEN_TYPE: kinds, **numbers}).cast(dict.fromkeys(numbers, pl.Float32))
    lists = flat.group_by(t.USER_ID, maintain_order=True).agg(pl.col(_LISTS))
    return lists.with_columns(pl.format("u{}", t.USER_ID).alias(t.USER_ID))


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny matrices are slower on several threads, and far slower when the machine is busy."""
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="session")
def churn_rows() -> ChurnRows:
    rows = pl.concat([planted_rows(as_of, 400, 1) for as_of in (*TRAIN, *BETWEEN, VALIDATION, TEST)])
    return ChurnRows.split(rows, TimeSplit(TRAIN, BETWEEN, (VALIDATION,), TEST))


@pytest.fixture(scope="session")
def rows_folder(churn_rows: ChurnRows, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return churn_rows.write(tmp_path_factory.mktemp("rows"))


@pytest.fixture(scope="session")
def churn_settings() -> Settings:
    return Settings(
        churn=Churn(candidates=("recency", "logistic", "boosting", "network", "blend")),
        training=Training(max_epochs=4, accelerator="cpu"),
        promotion=Promotion(resamples=100),
    )
