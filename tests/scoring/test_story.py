"""One user's story: the curve is what was known then, an order tomorrow lowers the risk, tiers are those published."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from rich.console import Console

from everstay import tables as t
from everstay.churn.calibration import Calibrator
from everstay.churn.model import CalibratedModel
from everstay.errors import NotReady
from everstay.features import net_purchases
from everstay.features.slices import known_before
from everstay.partitions import IN_PROCESS
from everstay.scoring import Work, compute_churn_scores
from everstay.scoring.__main__ import main, print_story
from everstay.scoring.story import Story, silence_words, tell_story
from everstay.settings import Churn, Fairness, Settings
from everstay.storage import Folder
from everstay.value import fit_value, purchase_summary
from everstay.value.summary import ORDER_DAYS_SO_FAR
from tests.scoring.conftest import AS_OF

Make = Callable[..., Work]


def tell(user: str, work: Work, published: pl.DataFrame) -> Story:
    return tell_story(user, work, published, Settings(), AS_OF)


@pytest.fixture
def published(make_work: Make, tmp_path: Path) -> pl.DataFrame:
    return compute_churn_scores(make_work("churn"), Settings(), Folder(str(tmp_path / "s")), IN_PROCESS).read_all()


def test_the_story_of_a_user(make_work: Make, published: pl.DataFrame, events: pl.DataFrame) -> None:
    work = make_work("churn")
    row = published.filter(pl.col(t.CHURN_PROBABILITY) < 0.8).sort(t.CHURN_PROBABILITY).row(-1, named=True)
    story = tell(row[t.USER_ID], work, published)
    assert story.now.probability == row[t.CHURN_PROBABILITY]
    assert (story.now.tier, story.reasons) == (row[t.RISK_TIER], row[t.REASONS])
    assert story.worth == (row[t.CUSTOMER_VALUE], row[t.VALUE_AT_RISK])
    assert story.curve[t.AS_OF].to_list() == sorted(story.curve[t.AS_OF].to_list())
    assert story.curve[t.CHURN_PROBABILITY][-1] == story.now.probability
    last = events.filter(pl.col(t.USER_ID) == row[t.USER_ID], pl.col(t.EVENT_TYPE) == t.PURCHASE)[t.OCCURRED_AT].max()
    ago = (work.as_of - last) / timedelta(days=1)
    assert ago > 10
    told = f"last order net of returns {last:%Y-%m-%d}, {ago:.0f} days ago; gap between orders usually"
    assert told in story.summary[-1]
    outlooks = {outlook.words: outlook for outlook in story.outlooks}
    soon = outlooks["if they repeat their last order tomorrow"]
    assert soon.as_of == work.as_of + timedelta(days=1)
    assert soon.probability < story.now.probability
    assert soon.tier in ("low", "medium")
    assert outlooks["if inactive for another 28 days"].probability > story.now.probability
    assert outlooks["if inactive for another 28 days"].tier in ("medium", "high")


def test_a_future_is_worth_what_would_be_published_then(
    make_work: Make, published: pl.DataFrame, events: pl.DataFrame
) -> None:
    work = make_work("churn")
    summary = purchase_summary(events, work.as_of)
    once = summary.filter(pl.col(ORDER_DAYS_SO_FAR) == summary[ORDER_DAYS_SO_FAR].min())[t.USER_ID]
    user = published.filter(pl.col(t.USER_ID).is_in(once.to_list())).row(0, named=True)
    story = tell(user[t.USER_ID], work, published)
    words = "if they repeat it tomorrow, then nothing for a week"
    (soon,) = [outlook for outlook in story.outlooks if outlook.words == words]
    assert soon.probability > 0
    order = net_purchases(events.filter(pl.col(t.USER_ID) == user[t.USER_ID], known_before(work.as_of)))
    order = order.filter(pl.col(t.OCCURRED_AT).dt.date() == order[t.OCCURRED_AT].dt.date().max())
    noon = pl.lit(work.as_of + timedelta(hours=12), t.TIME)
    again = order.with_columns(
        noon.alias(t.OCCURRED_AT), noon.alias(t.RECORDED_AT), pl.lit("new").alias(t.ORDER_ID)
    )  # fmt: skip
    told = purchase_summary(pl.concat([events.filter(known_before(work.as_of)), again]), soon.as_of)
    model = fit_value(summary, Settings().value)
    assert model is not None
    value = model.values(told.filter(pl.col(t.USER_ID) == user[t.USER_ID]))[t.CUSTOMER_VALUE][0]
    assert value > user[t.CUSTOMER_VALUE] + 1  # as published, an order less
    assert soon.value_at_risk == pytest.approx(soon.probability * value)
    riskier = (published[t.VALUE_AT_RISK] > soon.value_at_risk).sum()
    assert soon.tier == published.sort(t.VALUE_AT_RISK, descending=True)[t.RISK_TIER][riskier]


def test_a_future_has_the_tier_of_its_own_group(make_work: Make, tmp_path: Path) -> None:
    work, even = make_work("churn"), Settings(fairness=Fairness(mitigate="age_band"))
    listed = compute_churn_scores(work, even, Folder(str(tmp_path / "even")), IN_PROCESS).read_all()
    is_old = pl.col(t.USER_ID).str.tail(1).is_in(["0", "1", "2"])  # as the shop declares
    for group in (listed.filter(is_old), listed.filter(~is_old)):
        ranked = group.sort(t.VALUE_AT_RISK, descending=True)
        for user in group[t.USER_ID].to_list()[:8]:
            for outlook in tell_story(user, work, listed, even, AS_OF).outlooks:
                riskier = (ranked[t.VALUE_AT_RISK] > outlook.value_at_risk).sum()
                assert outlook.tier == (ranked[t.RISK_TIER][riskier] if riskier < len(ranked) else "low")
                assert outlook.tier is not None


def test_no_tier_is_told_by_another_order_than_the_published_one(make_work: Make, tmp_path: Path) -> None:
    work, even = make_work("churn"), Settings(fairness=Fairness(mitigate="age_band"))
    listed = compute_churn_scores(work, even, Folder(str(tmp_path / "even")), IN_PROCESS).read_all()
    story = tell(listed[t.USER_ID][0], work, listed)
    assert story.now.tier == listed[t.RISK_TIER][0]
    assert {outlook.tier for outlook in story.outlooks} == {None}
    console = Console(record=True, width=300, highlight=False)
    print_story(console, story)
    assert "No tier is told: the published ones do not follow the order that the settings" in console.export_text()


def test_nothing_is_told_of_a_list_that_another_model_published(make_work: Make, published: pl.DataFrame) -> None:
    """After a rollback, before the next publication."""
    work = make_work("churn")
    before = published.with_columns(pl.lit("6").alias(t.MODEL_VERSION), pl.col(t.VALUE_AT_RISK) / 2)
    story = tell(published[t.USER_ID][0], work, before)
    assert story.now.probability == published[t.CHURN_PROBABILITY][0]
    assert (story.now.tier, story.now.value_at_risk, story.worth) == (None, None, None)
    assert {outlook.tier for outlook in story.outlooks} == {None}
    assert "another model" in story.untold


def test_tiers_by_probability_need_no_value(make_work: Make, tmp_path: Path) -> None:
    work, by_risk = make_work("churn"), Settings(churn=Churn(tiers_by="probability"))
    listed = compute_churn_scores(work, by_risk, Folder(str(tmp_path / "risk")), IN_PROCESS).read_all()
    user = listed.sort(t.CHURN_PROBABILITY)[t.USER_ID][0]
    outlooks = tell_story(user, work, listed, by_risk, AS_OF).outlooks
    assert {outlook.value_at_risk for outlook in outlooks} == {None}
    assert outlooks[0].tier == "low"


def test_the_curve_knows_nothing_that_came_later(make_work: Make, events: pl.DataFrame) -> None:
    story = tell("u1", make_work("churn"), t.CHURN_SCORES.empty())
    work = make_work("churn")
    earlier = story.curve[t.AS_OF][-3]
    then = tell("u1", Work(work.reader, work.artifact, "7", earlier), t.CHURN_SCORES.empty())
    assert then.now.probability == story.curve[t.CHURN_PROBABILITY][-3]
    assert {outlook.tier for outlook in story.outlooks} == {None}


def test_the_curve_begins_when_the_first_event_was_recorded(make_work: Make, events: pl.DataFrame) -> None:
    mine, moment = events.filter(pl.col(t.USER_ID) == "u1"), AS_OF - timedelta(weeks=5)
    late = mine.with_columns(
        pl.lit(moment - timedelta(hours=10), t.TIME).alias(t.OCCURRED_AT),
        pl.lit(moment + timedelta(days=1), t.TIME).alias(t.RECORDED_AT),
    )
    story = tell("u1", make_work("churn", shop=t.EVENTS.conform(late)), t.CHURN_SCORES.empty())
    assert story.curve[t.AS_OF][0] == AS_OF - timedelta(weeks=4)


def test_who_never_bought_can_only_be_silent(make_work: Make) -> None:
    story = tell("u55", make_work("churn"), t.CHURN_SCORES.empty())
    assert "no order net of returns" in story.summary
    assert len(story.outlooks) == 3


def test_nobody_known_is_a_message(make_work: Make, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(NotReady, match="there is no user 'nobody'"):
        tell("nobody", make_work("churn"), t.CHURN_SCORES.empty())
    assert main([""]) == 1
    assert "make explain USER=1234" in capsys.readouterr().err


def test_the_story_is_printed_in_plain_lines(make_work: Make, published: pl.DataFrame) -> None:
    user = published.sort(t.CHURN_PROBABILITY)[t.USER_ID][-1]
    console = Console(record=True, width=120, highlight=False)
    print_story(console, tell(user, make_work("churn"), published))
    told = console.export_text()
    assert f"User {user} as of 2024-06-01" in told
    assert "Churn labels: not knowable before 2024-07-01." in told  # 28 days, and two in which they may be recorded
    assert "Value if they stay: " in told
    assert "if they repeat their last order tomorrow, as of 2024-06-02: " in told


class SlowlyFalling:
    """Everybody's chance of silence falls to three fifths every week."""

    is_curve = True

    def scores(self, rows: pl.DataFrame) -> np.ndarray:
        return np.full(len(rows), np.log(0.6**4 / (1 - 0.6**4)))

    def silences(self, rows: pl.DataFrame) -> np.ndarray:
        return np.tile(0.6 ** np.arange(1, 5), (len(rows), 1))


def test_a_curve_is_told_where_the_champion_has_one() -> None:
    row, churn = pl.DataFrame({t.USER_ID: ["u1"]}), Churn(horizon_days=28)
    told = silence_words(CalibratedModel("hazard", SlowlyFalling(), Calibrator(0.0, 1.0), {}), row, churn)
    assert told == [
        "probability of no order: 60% for 7 days, 36% for 14 days, 22% for 21 days, 13% for 28 days, 5% for 42 days",
        "half of similar users order within 9 days",
    ]
    assert silence_words(CalibratedModel("recency", object(), Calibrator(0.0, 1.0), {}), row, churn) == []
