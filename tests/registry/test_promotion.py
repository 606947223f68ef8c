from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everstay.metrics.comparison import Interval, JudgedUsers
from everstay.registry.promotion import Evidence, decide
from everstay.registry.refs import ModelRef
from everstay.settings import Promotion

POLICY = Promotion()
CHAMPION = ModelRef("churn", "1", "r1", "m1", "boosting", "digest-1", "events-0", "2024-03-01")
CHALLENGER = ModelRef("churn", "2", "r2", "m2", "network", "digest-2", "events-0", "2024-03-01")
BETTER, TIED, WORSE = Interval(0.02, 0.01, 0.03), Interval(0.01, -0.01, 0.03), Interval(-0.02, -0.03, -0.01)


def evidence(difference: Interval | None = None, **values: object) -> Evidence:
    return Evidence("average_precision", "events-0", difference, **values)  # type: ignore[arg-type]


def test_a_better_challenger_is_promoted_and_the_reason_has_the_numbers():
    decision = decide(CHAMPION, CHALLENGER, evidence(BETTER), POLICY)
    assert decision.is_promoted
    assert decision.is_new
    assert decision.reasons == (
        "average_precision against champion 1: +0.0200 (95% interval +0.0100 to +0.0300); significantly above 0",
    )


@pytest.mark.parametrize(
    ("difference", "word"),
    [(TIED, "tie"), (WORSE, "worse"), (Interval(0.0, 0.0, 0.0), "tie"), (Interval(-0.01, -0.03, 0.01), "tie")],
)
def test_a_tied_or_worse_challenger_is_not(difference: Interval, word: str):
    decision = decide(CHAMPION, CHALLENGER, evidence(difference), POLICY)
    assert not decision.is_promoted
    assert word in decision.reasons[0]


@given(st.floats(-1, 1), st.floats(0, 1), st.floats(0, 0.1))
def test_promotion_needs_the_lower_bound_above_the_minimum_effect(low: float, width: float, effect: float):
    decision = decide(
        CHAMPION, CHALLENGER, evidence(Interval(low + width / 2, low, low + width)), Promotion(minimum_effect=effect)
    )
    assert decision.is_promoted == (low > effect)


def test_an_undefined_interval_promotes_nothing():
    nan = float("nan")
    assert not decide(CHAMPION, CHALLENGER, evidence(Interval(0.1, nan, nan)), POLICY).is_promoted
    assert not decide(None, CHALLENGER, evidence(baselines={"recency": Interval(0.1, nan, nan)}), POLICY).is_promoted


def test_the_first_model_must_beat_every_baseline():
    both = {"recency": BETTER, "logistic": Interval(0.03, 0.005, 0.05)}
    assert decide(None, CHALLENGER, evidence(baselines=both), POLICY).is_promoted
    refused = decide(None, CHALLENGER, evidence(baselines=both | {"logistic": TIED}), POLICY)
    assert not refused.is_promoted
    assert "baseline logistic" in refused.reasons[0]
    assert refused.difference == TIED


def test_the_strongest_rival_is_the_one_least_surely_beaten():
    both = {"recency": Interval(0.03, -0.01, 0.07), "logistic": Interval(0.02, 0.01, 0.03)}
    refused = decide(None, CHALLENGER, evidence(baselines=both), POLICY)
    assert not refused.is_promoted
    assert "baseline recency" in refused.reasons[0]


def test_the_best_baseline_is_an_honest_first_champion():
    decision = decide(None, CHALLENGER, evidence(baselines={"recency": TIED}, is_baseline=True), POLICY)
    assert decision.is_promoted
    assert "best of the baselines" in decision.reasons[0]
    behind = decide(None, CHALLENGER, evidence(baselines={"recency": WORSE}, is_baseline=True), POLICY)
    assert not behind.is_promoted
    assert "behind recency by 0.0200" in behind.reasons[0]


@pytest.mark.parametrize("same", [{"version": "1"}, {"artifact_digest": "digest-1"}])
def test_the_champion_itself_is_nothing_new(same: dict[str, str]):
    decision = decide(CHAMPION, replace(CHALLENGER, **same), evidence(), POLICY)
    assert not decision.is_new
    assert not decision.is_promoted


@pytest.mark.parametrize(
    ("guard", "words"),
    [
        ({"calibration_error": 0.06}, "calibration error 0.0600 is above the limit 0.05"),
        ({"calibration_error": float("nan")}, "calibration error"),
        (
            {"calibration_error": 0.06, "chance_error": 0.07},
            "0.05; perfectly calibrated scores would show up to 0.0700 with",
        ),
        ({"coverage": 0.1}, "coverage 0.1000 is below the limit 0.2"),
        ({"was_rolled_back": True}, "rolled back"),
    ],
)
def test_a_guard_that_fails_refuses_a_better_challenger(guard: dict[str, float], words: str):
    policy = Promotion(min_coverage=0.2)
    for champion, found in ((CHAMPION, evidence(BETTER, **guard)), (None, evidence(baselines={"a": BETTER}, **guard))):
        decision = decide(champion, CHALLENGER, found, policy)
        assert not decision.is_promoted
        assert words in decision.reasons[1]


def test_guards_that_hold_change_nothing():
    good = evidence(BETTER, calibration_error=0.05, coverage=0.2)
    assert decide(CHAMPION, CHALLENGER, good, Promotion(min_coverage=0.2)).is_promoted


def test_evidence_that_was_not_measured_is_an_error():
    with pytest.raises(ValueError, match="no difference"):
        decide(CHAMPION, CHALLENGER, evidence(), POLICY)
    with pytest.raises(ValueError, match="no difference"):
        decide(None, CHALLENGER, evidence(), POLICY)


@pytest.mark.parametrize(
    ("judged", "words"),
    [
        (JudgedUsers(1), "too few users: 1 are judged, and at least 30"),
        (JudgedUsers(29, 12), "too few users: 29 are judged"),
        (
            JudgedUsers(500, 9),
            "too few users: 9 of the 500 judged have the rarer outcome (left or stayed), and at least 10",
        ),
    ],
)
def test_a_difference_among_a_handful_of_users_promotes_nothing(judged: JudgedUsers, words: str):
    for champion, found in ((CHAMPION, evidence(BETTER, judged=judged)), (None, evidence(baselines={"a": BETTER}))):
        decision = decide(champion, CHALLENGER, replace(found, judged=judged), POLICY)
        assert not decision.is_promoted
        assert words in decision.reasons[1]


def test_enough_users_and_the_first_baseline_of_any_number_are_promoted():
    for judged in (JudgedUsers(30), JudgedUsers(30, 10), JudgedUsers(20_000, 10)):
        assert decide(CHAMPION, CHALLENGER, evidence(BETTER, judged=judged), POLICY).is_promoted
    assert decide(
        None, CHALLENGER, evidence(baselines={}, is_baseline=True, judged=JudgedUsers(3, 1)), POLICY
    ).is_promoted
