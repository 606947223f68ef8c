"""What was warned and what happened, by hand; nothing is told before the labels are mature."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from everstay import tables as t
from everstay.report import Report, render
from everstay.scoring.back_test import back_test
from everstay.scoring.back_test_page import back_test_section
from everstay.scoring.leaving import learned_definition, mature_as_ofs, with_definitions
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
    ((meant, as_ofs),) = mature_as_ofs(both, CHURN, UNTIL)
    assert (meant.horizon_days, as_ofs) == (28, [EARLY])
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


def test_a_model_that_the_registry_does_not_know_is_no_test_either():
    known, unknown = (
        back_test(scores(EARLY), labels([0]), judged, CHURN, POLICY, UNTIL)[0] for judged in ({"3": EARLY}, {})
    )
    assert (known.learned_later, unknown.learned_later) == (False, True)
    assert "is not in the registry any more" in render(Report("", "", [back_test_section([unknown], 0.95)]))


def test_where_nobody_left_there_is_no_recall():
    (one,) = back_test(scores(EARLY), labels([]), {"3": EARLY}, CHURN, POLICY, UNTIL)
    assert one.groups["high"].recall is None
    assert one.roc_auc is None
    assert "<svg" in render(Report("Back-test", "", [back_test_section([one], 0.95)]))


def published(as_of: datetime, horizon_days: int, gap_days: int = 0) -> pl.DataFrame:
    told = {t.HORIZON_DAYS: pl.lit(horizon_days, pl.Int32), t.GAP_DAYS: pl.lit(gap_days, pl.Int32)}
    return scores(as_of).with_columns(**told)


def test_a_publication_is_judged_by_its_own_definition_whatever_the_settings_say_now():
    day = timedelta(days=1)
    log = pl.concat([published(EARLY, 28), published(EARLY + day, 14, 3), published(EARLY + 2 * day, 90)])
    for now in (Churn(horizon_days=7), Churn(horizon_days=28), Churn(horizon_days=300, gap_days=20)):
        mature = {(c.gap_days, c.horizon_days): as_ofs for c, as_ofs in mature_as_ofs(log, now, UNTIL)}
        assert mature == {(0, 28): [EARLY], (3, 14): [EARLY + day]}
        past = back_test(log, labels([0]), {}, now, POLICY, UNTIL)
        assert [str(one.clock) for one in past] == [
            "not knowable before 2024-06-03",
            "mature since 2024-03-21",
            "mature since 2024-03-31",
        ]
        page = render(Report("Back-test", "", [back_test_section(past, 0.95)]))
        assert all(words in page for words in ("28 days", "14 days, 3 days later", "90 days"))


def test_a_publication_of_an_older_release_is_judged_by_what_its_model_learned():
    learned = {"3": learned_definition({"horizon_days": 60, "gap_days": 2, "look_back_days": 9}, CHURN), "4": CHURN}
    log = with_definitions(pl.concat([scores(EARLY), scores(LATE, "4"), published(UNTIL, 14)]), learned)
    told = dict(log.unique(t.AS_OF).select(t.AS_OF, pl.concat_list(t.GAP_DAYS, t.HORIZON_DAYS)).iter_rows())
    assert told == {EARLY: [2, 60], LATE: [0, 28], UNTIL: [0, 14]}
