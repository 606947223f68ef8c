"""One small clean table of each kind, in which no expectation fails, and how a test validates one."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from everstay import tables as t
from everstay.features.activity import activity_features
from everstay.partitions import IN_PROCESS
from everstay.validation import ValidationReport, validate

SUITES = Path(__file__).parents[2] / "expectations"
START = datetime(2023, 1, 1, tzinfo=UTC)
AS_OF = START + timedelta(days=90)
USERS, ITEMS, EVENTS = 40, 25, 1_200


@pytest.fixture(scope="session")
def suites() -> Path:
    return SUITES


@pytest.fixture(scope="session")
def clean() -> Mapping[str, pl.DataFrame]:
    """Clean rows by table name."""
    events, items = t.EVENTS.conform(_events()), _items()
    users = [f"u{number}" for number in range(USERS)]
    as_of = pl.lit(AS_OF, t.TIME).alias(t.AS_OF)
    return_days = pl.when(~pl.col(t.CHURNED)).then(3).alias(t.RETURN_DAYS)
    matured_at = pl.lit(AS_OF + timedelta(days=30), t.TIME).alias(t.MATURED_AT)
    tables = {
        t.EVENTS.name: events,
        t.ITEMS.name: items,
        t.USERS.name: pl.DataFrame({t.USER_ID: users}).with_columns(
            pl.lit(START, t.TIME).alias(t.JOINED_AT), pl.lit(True).alias(t.HAS_MARKETING_CONSENT)
        ),
        t.TREATMENTS.name: pl.DataFrame({t.USER_ID: users, t.CAMPAIGN_ID: "c1", t.ARM: "coupon", t.PROPENSITY: 0.5})
        .with_columns(pl.lit(START, t.TIME).alias(t.ASSIGNED_AT), pl.lit(0.1).alias(t.COST)),
        t.USER_FEATURES.name: activity_features(events, items, AS_OF),
        t.CHURN_LABELS.name: pl.DataFrame({t.USER_ID: users, t.CHURNED: [n % 4 == 0 for n in range(USERS)]})
        .with_columns(pl.col(t.CHURNED).not_().alias(t.ORDER_DAYS), return_days)
        .with_columns(as_of, pl.lit(28).alias(t.HORIZON_DAYS), matured_at),
        t.CHURN_SCORES.name: _scores(users).with_columns(as_of),
        t.RECOMMENDATIONS.name: _recommendations(users).with_columns(as_of),
    }  # fmt: skip
    by_name = {table.name: table for table in vars(t).values() if isinstance(table, t.Table)}
    return {name: by_name[name].conform(frame) for name, frame in tables.items()}


@pytest.fixture(scope="session")
def check() -> Callable[..., ValidationReport]:
    """Validate a frame against the project's suites; `split` gives a row's part, by default from its user or item."""

    def run(
        table: t.Table, frame: pl.DataFrame, parts: int = 1, folder: Path = SUITES, split: pl.Expr | None = None
    ) -> ValidationReport:
        split_by = t.USER_ID if t.USER_ID in table.columns else t.ITEM_ID
        part = pl.col(split_by).hash(seed=0) % parts if split is None else split
        return validate(
            table, lambda number: frame.filter(part == number), range(parts), IN_PROCESS, expectations=folder
        )

    return run


def _events() -> pl.DataFrame:
    """Thirty events a user over 90 days: purchases, views, and a few of every other type."""
    rng = np.random.default_rng(3)
    row = pl.int_range(EVENTS, eager=True)
    kinds = np.array([t.PURCHASE, t.PURCHASE, t.VIEW, t.CART, t.RATE, t.REVIEW, t.RETURN, t.MESSAGE_SENT])
    kind = pl.Series(kinds[rng.integers(len(kinds), size=EVENTS)])
    moment = START + pl.Series(rng.integers(90 * 86_400, size=EVENTS) * 1_000_000, dtype=pl.Duration("us"))
    is_about_item = kind != t.MESSAGE_SENT
    frame = pl.DataFrame({
        t.EVENT_ID: "e" + row.cast(pl.String),
        t.USER_ID: "u" + (row % USERS).cast(pl.String),
        t.ITEM_ID: "i" + pl.Series(rng.integers(ITEMS, size=EVENTS)).cast(pl.String),
        t.EVENT_TYPE: kind,
        t.OCCURRED_AT: moment.cast(t.TIME),
        t.ORDER_ID: "o" + row.cast(pl.String),
        t.QUANTITY: rng.integers(1, 5, size=EVENTS),
        t.AMOUNT: rng.uniform(1, 20, size=EVENTS),
        t.DISCOUNT: rng.uniform(0, 1, size=EVENTS),
    })  # fmt: skip
    return frame.with_columns(
        pl.when(is_about_item).then(t.ITEM_ID),
        pl.when(kind == t.PURCHASE).then(t.ORDER_ID),
        pl.when(kind == t.RATE).then(4.0).alias(t.RATING),
        pl.when(kind == t.REVIEW).then(pl.lit("as described")).alias(t.TEXT),
        pl.when(kind == t.MESSAGE_SENT).then(pl.lit("c1")).alias(t.CAMPAIGN_ID),
        pl.col(t.OCCURRED_AT).alias(t.RECORDED_AT),
    )


def _items() -> pl.DataFrame:
    items = pl.DataFrame({t.ITEM_ID: [f"i{number}" for number in range(ITEMS)]})
    return items.with_columns(
        pl.lit("food").alias(t.CATEGORY),
        pl.lit("ours").alias(t.BRAND),
        pl.lit(2.5).alias(t.PRICE),
        pl.lit(START, t.TIME).alias(t.AVAILABLE_FROM),
        pl.lit(AS_OF, t.TIME).alias(t.AVAILABLE_UNTIL),
    )


def _scores(users: list[str]) -> pl.DataFrame:
    return pl.DataFrame({
        t.USER_ID: users,
        t.CHURN_PROBABILITY: np.linspace(0.02, 0.9, len(users)),
        t.RISK_TIER: [("low", "medium", "high")[number % 3] for number in range(len(users))],
        t.REASONS: [["no order for 30 days"]] * len(users),
        t.CUSTOMER_VALUE: 100.0,
        t.CUSTOMER_VALUE_LOW: 20.0,
        t.CUSTOMER_VALUE_HIGH: 180.0,
        t.VALUE_AT_RISK: 10.0,
        t.PREVIOUS_PROBABILITY: 0.5,
        t.PROBABILITY_CHANGE: 0.1,
        t.EXPECTED_ORDER_AT: AS_OF + timedelta(days=3),
        t.EXPECTED_ALARM_AT: AS_OF - timedelta(days=3),
        t.GAP_DAYS: 0,
        t.HORIZON_DAYS: 28,
        t.MODEL_VERSION: "3",
        t.DATA_VERSION: "events-3.items-1",
    })  # fmt: skip


def _recommendations(users: list[str]) -> pl.DataFrame:
    lists = pl.DataFrame({t.USER_ID: users}).join(pl.DataFrame({t.RANK: [1, 2, 3]}), how="cross")
    return lists.with_columns(
        ("i" + pl.col(t.RANK).cast(pl.String)).alias(t.ITEM_ID),
        (1 / pl.col(t.RANK)).alias(t.SCORE),
        pl.lit("bought often").alias(t.REASON),
        pl.lit("3").alias(t.MODEL_VERSION),
        pl.lit("events-3.items-1").alias(t.DATA_VERSION),
    )
