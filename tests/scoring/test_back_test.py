"""What was warned and what happened, by hand; nothing is told before the labels are mature."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from everstay import tables as t
from everstay.features import churn_labels
from everstay.lake import Lake
from everstay.metrics import warned
from everstay.metrics.maturity import maturity
from everstay.metrics.proportion import share_interval
from everstay.metrics.warned import Outcome, calibration_points
from everstay.partitions import IN_PROCESS, compute_parts
from everstay.report import Report, render
from everstay.scoring.back_test import PastPublication, back_test, judge_publications, publications
from everstay.scoring.back_test_page import apart, back_test_section
from everstay.scoring.leaving import learned_definition, mature_as_ofs, with_definitions
from everstay.settings import Churn, Promotion
from everstay.storage import Folder
from tests.publishing import publish
from tests.strategies import AS_OF, event, frame_of

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


@dataclass(frozen=True)
class Past:
    """A lake with publications, and the labels of those of `EARLY`."""

    folder: Path

    @property
    def lake(self) -> Lake:
        return Lake(str(self.folder / "lake"), 1)

    def publish(self, *frames: pl.DataFrame) -> "Past":
        for frame in frames:
            publish(self.lake, t.CHURN_SCORES, frame, as_of=frame[t.AS_OF][0], key="v1")
        return self

    def judge(self, churned: list[int], judged_at: dict[str, datetime], churn: Churn = CHURN) -> list[PastPublication]:
        parts = compute_parts(lambda _: labels(churned), [0], Folder(str(self.folder / "labels")), IN_PROCESS)
        outcomes = judge_publications(self.lake, [EARLY], parts, POLICY, self.folder / "kept")
        assert parts.folder.files() == []
        return back_test(publications(self.lake), outcomes, judged_at, churn, UNTIL)


@pytest.fixture
def past(tmp_path: Path) -> Past:
    return Past(tmp_path)


def test_a_mature_publication_is_judged_by_tier(past: Past):
    past.publish(scores(EARLY), scores(LATE))
    ((meant, as_ofs),) = mature_as_ofs(publications(past.lake), CHURN, UNTIL)
    assert (meant.horizon_days, as_ofs) == (28, [EARLY])
    late, early = past.judge([0, 2, 3, 7], {"3": EARLY})
    assert early.outcome is not None
    high, upper, everybody = (early.outcome.groups[name] for name in ("high", "high and medium", "all"))
    assert (high.users, high.left, high.precision.value) == (2, 1, 0.5)
    assert high.expected == pytest.approx(1.7)
    assert high.recall.value == 0.25
    assert high.lift == pytest.approx(0.5 / 0.4)
    assert (upper.users, upper.left, upper.recall.value) == (5, 3, 0.75)
    assert (everybody.users, everybody.lift, everybody.lost_value) == (10, 1.0, 1.0)
    assert high.lost_value == pytest.approx(100 / 150)  # users 0, 2, 3 and 7 left; the value of 3 is not known
    # leavers 0.9 0.5 0.4 0.1 against stayers 0.8 0.3 0.2 0.1 0.1 0.1: 6 + 5 + 5 + (3 halves) of 24 pairs
    assert early.outcome.roc_auc.value == pytest.approx(17.5 / 24)
    assert early.clock.state == "mature"
    assert not early.learned_later
    assert (early.users, late.users, late.outcome) == (10, 10, None)
    assert str(late.clock) == "not knowable before 2024-05-20"


def test_a_publication_is_mature_as_soon_as_its_labels_are_known_and_everybody_in_it_is_labelled():
    known_at = EARLY + timedelta(days=30)
    ((meant, as_ofs),) = mature_as_ofs(scores(EARLY), CHURN, known_at)
    assert as_ofs == [EARLY]
    assert mature_as_ofs(scores(EARLY), CHURN, known_at - timedelta(microseconds=1)) == []
    long_ago = frame_of([event("u0", t.PURCHASE, -CHURN.look_back_days - 300.0, order="o0")])
    assert churn_labels(long_ago, AS_OF, meant, AS_OF + timedelta(days=30))[t.USER_ID].to_list() == ["u0"]


def _left(found: list[PastPublication]) -> dict[str, int]:
    (outcome,) = (one.outcome for one in found)
    assert outcome is not None
    return {name: group.left for name, group in outcome.groups.items() if group.left}


def test_what_was_judged_before_is_not_judged_again_but_where_scores_or_labels_are_others(
    past: Past, monkeypatch: pytest.MonkeyPatch
):
    judged = []

    def counted(*arguments: object, **options: object) -> warned.Outcome:
        judged.append(arguments)
        return warned.judge_warnings(*arguments, **options)

    monkeypatch.setattr("everstay.scoring.back_test.judge_warnings", counted)
    past.publish(scores(EARLY).with_columns(pl.lit("low").alias(t.RISK_TIER)))
    first = past.judge([0, 2], {})
    assert repr(past.judge([0, 2], {})) == repr(first)  # NaN is not equal to itself
    assert len(judged) == 1
    assert [_left(past.judge(churned, {})) for churned in ([0, 2], [0, 3, 4])] == [{"all": 2}, {"all": 3}]
    publish(past.lake, t.CHURN_SCORES, scores(EARLY), as_of=EARLY, key="v2")
    assert _left(past.judge([0, 2], {})) == {"high": 1, "high and medium": 2, "all": 2}
    assert len(judged) == 3
    for file in (past.folder / "kept").iterdir():
        file.write_text(file.read_text()[:50])  # cut off by a loss of power
    assert _left(past.judge([0, 2], {})) == {"high": 1, "high and medium": 2, "all": 2}
    assert (len(judged), len(list((past.folder / "kept").iterdir()))) == (4, 3)


def test_calibration_is_drawn_from_tenths_of_all_users():
    rng = np.random.default_rng(3)
    probability = rng.random(2_000).round(3)
    left = rng.random(2_000) < probability
    tier, value = np.full(1_000, "low"), np.full(1_000, np.nan)
    halves = [
        warned.judge_warnings(p, y, tier, value, {}, resamples=10, confidence=0.9).cells
        for p, y in zip(np.split(probability, 2), np.split(left, 2), strict=True)
    ]
    means, shares = calibration_points(halves, 0.9)
    order = np.argsort(probability, kind="stable")
    tenths = np.split(order, 10)
    assert means == pytest.approx([probability[tenth].mean() for tenth in tenths], abs=0.002)
    assert [share.value for share in shares] == pytest.approx([left[tenth].mean() for tenth in tenths], abs=0.015)
    assert calibration_points([((10, 2.0, 3),)], 0.9) == ([0.2], [share_interval(3, 10, 0.9)])


def nightly(outcome: Outcome, nights: int, churn: Churn = CHURN) -> list[PastPublication]:
    """The same outcome night after night, newest first."""
    clock = maturity(LATE, timedelta(0), LATE)
    moments = (LATE - timedelta(days=night) for night in range(nights))
    return [PastPublication(moment, "3", 10, churn, clock, False, outcome) for moment in moments]


@pytest.mark.parametrize(
    ("nights", "gap_days", "taken"),
    [(1, 0, [0]), (28, 0, [0]), (29, 0, [0, 28]), (80, 0, [0, 28, 56]), (80, 3, [0, 28, 56])],
)
def test_calibration_counts_each_label_window_once(past: Past, nights: int, gap_days: int, taken: list[int]):
    found = past.publish(scores(EARLY)).judge([0, 2, 3, 7], {"3": EARLY})
    outcome = found[0].outcome
    assert outcome is not None
    told = nightly(outcome, nights, Churn(gap_days=gap_days))
    assert [(LATE - one.as_of).days for one, _ in apart([(one, outcome) for one in told])] == taken
    (picture,) = back_test_section(told, 0.9).pictures
    plural = "s" if len(taken) > 1 else ""
    rest = f" of {nights}, whose label windows do not overlap" if nights > 1 else ""
    assert (
        picture.caption == f"Calibration of {len(taken)} mature publication{plural}{rest}: share that left, by decile"
    )


def test_a_model_that_learned_from_later_is_marked_and_no_test(past: Past):
    (one,) = past.publish(scores(EARLY)).judge([0], {"3": EARLY + timedelta(days=1)})
    assert one.learned_later
    section = back_test_section([one], 0.95)
    assert section.badges == []
    assert "2024-03-01 *" in render(Report("Back-test", "", [section]))


def test_a_model_that_the_registry_does_not_know_is_no_test_either(past: Past):
    past.publish(scores(EARLY))
    known, unknown = (past.judge([0], judged)[0] for judged in ({"3": EARLY}, {}))
    assert (known.learned_later, unknown.learned_later) == (False, True)
    assert "is no longer in the registry" in render(Report("", "", [back_test_section([unknown], 0.95)]))


def test_where_nobody_left_there_is_no_recall(past: Past):
    (one,) = past.publish(scores(EARLY)).judge([], {"3": EARLY})
    assert one.outcome is not None
    assert one.outcome.groups["high"].recall is None
    assert one.outcome.roc_auc is None
    assert "<svg" in render(Report("Back-test", "", [back_test_section([one], 0.95)]))


def published(as_of: datetime, horizon_days: int, gap_days: int = 0) -> pl.DataFrame:
    told = {t.HORIZON_DAYS: pl.lit(horizon_days, pl.Int32), t.GAP_DAYS: pl.lit(gap_days, pl.Int32)}
    return scores(as_of).with_columns(**told)


def test_a_publication_is_judged_by_its_own_definition_whatever_the_settings_say_now(past: Past):
    day = timedelta(days=1)
    past.publish(published(EARLY, 28), published(EARLY + day, 14, 3), published(EARLY + 2 * day, 90))
    log = publications(past.lake)
    for now in (Churn(horizon_days=7), Churn(horizon_days=28), Churn(horizon_days=300, gap_days=20)):
        mature = {(c.gap_days, c.horizon_days): as_ofs for c, as_ofs in mature_as_ofs(log, now, UNTIL)}
        assert mature == {(0, 28): [EARLY], (3, 14): [EARLY + day]}
        found = past.judge([0], {}, now)
        assert [str(one.clock) for one in found] == [
            "not knowable before 2024-06-03",
            "mature since 2024-03-21",
            "mature since 2024-03-31",
        ]
        page = render(Report("Back-test", "", [back_test_section(found, 0.95)]))
        assert all(words in page for words in ("28 days", "14 days after a gap of 3 days", "90 days"))


def test_a_publication_of_an_older_release_is_judged_by_what_its_model_learned():
    learned = {"3": learned_definition({"horizon_days": 60, "gap_days": 2, "look_back_days": 9}, CHURN), "4": CHURN}
    log = with_definitions(pl.concat([scores(EARLY), scores(LATE, "4"), published(UNTIL, 14)]), learned)
    told = dict(log.unique(t.AS_OF).select(t.AS_OF, pl.concat_list(t.GAP_DAYS, t.HORIZON_DAYS)).iter_rows())
    assert told == {EARLY: [2, 60], LATE: [0, 28], UNTIL: [0, 14]}
