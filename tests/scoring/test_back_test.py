"""What was warned and what happened, by hand; nothing is told before the labels are mature."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from everstay import tables as t
from everstay.report import Report, render
from everstay.scoring.back_test import back_test, mature_as_ofs
from everstay.scoring.back_test_page import back_test_section
from everstay.settings import Churn, Promotion

EARLY, LATE = datetime(2024, 3, 1, tzinfo=UTC), datetime(2024, 4, 20, tzinfo=UTC)
UNTIL = datetime(2024, 5, 1, tzinfo=UTC)
CHURN, POLICY = Churn(), Promotion(resamples=200)


def scores(as_of: datetime, version: str = "3") -> pl.DataFrame:
    """Ten users: two high, three medium, five low."""
    tiers = ["high"] * 2 + ["medium"] * 3 + ["low"] * 5
    return t.CHURN_SCORES.conform(
        pl.DataFrame(
            {
                t.USER_ID: [f"u{number}" for number in range(10)],
                t.CHURN_PROBABILITY: [0.9, 0.8, 0.5, 0.4, 0.3, 0.2, 0.1, 0.1, 0.1, 0.1],
                t.RISK_TIER: tiers,
                t.REASONS: [[]] * 10,
                t.CUSTOMER_VALUE: [100.0, 90.0, 40.0, None, *[10.0] * 6],
            }
        ).with_columns(
            pl.lit(as_of, t.TIME).alias(t.AS_OF),
            pl.lit(version).alias(t.MODEL_VERSION),
            pl.lit("events-0").alias(t.DATA_VERSION),
        )
    )


def labels(churned: list[int]) -> pl.DataFrame:
    users = [f"u{number}" for number in range(10)]
    frame = pl.DataFrame({t.USER_ID: users, t.CHURNED: [number in churned for number in range(10)]})
    return frame.with_columns(pl.lit(EARLY, t.TIME).alias(t.AS_OF))


def test_a_mature_publication_is_judged_by_tier():
    both = pl.concat([scores(EARLY), scores(LATE)])
    assert mature_as_ofs(both, CHURN, UNTIL) == [EARLY]
    late, early = back_test(both, labels([0, 2, 3, 7]), {"3": EARLY}, CHURN, POLICY, UNTIL)
    high, upper, everybody = (early.groups[name] for name in ("high", "high and medium", "all"))
    assert (high.users, high.left, high.precision.value) == (2, 1, 0.5)
    assert high.expected == pytest.approx(1.7)
    assert high.recall.value == 0.25
    assert high.lift == pytest.approx(0.5 / 0.4)
    assert (upper.users, upper.left, upper.recall.value) == (5, 3, 0.75)
    assert (everybody.users, everybody.lift, everybody.lost_value) == (10, 1.0, 1.0)
    assert high.lost_value == pytest.approx(100 / 150)  # users 0, 2, 3 and 7 left; the value of 3 is not known
    # leavers 0.9 0.5 0.4 0.1 against stayers 0.8 0.3 0.2 0.1 0.1 0.1: 6 + 5 + 5 + (3 halves) of 24 pairs
    assert early.roc_auc.value == pytest.approx(17.5 / 24)
    assert early.clock.state == "mature"
    assert not early.learned_later
    assert (late.groups, late.roc_auc, len(late.outcomes)) == ({}, None, 0)
    assert str(late.clock) == "not knowable before 2024-05-20"


def test_a_model_that_learned_from_later_is_marked_and_no_test():
    (one,) = back_test(scores(EARLY), labels([0]), {"3": EARLY + timedelta(days=1)}, CHURN, POLICY, UNTIL)
    assert one.learned_later
    section = back_test_section([one], 0.95)
    assert section.badges == []
    assert "2024-03-01 *" in render(Report("Back-test", "", [section]))


def test_where_nobody_left_there_is_no_recall():
    (one,) = back_test(scores(EARLY), labels([]), {}, CHURN, POLICY, UNTIL)
    assert one.groups["high"].recall is None
    assert one.roc_auc is None
    assert "<svg" in render(Report("Back-test", "", [back_test_section([one], 0.95)]))
