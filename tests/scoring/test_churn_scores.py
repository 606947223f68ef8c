import pickle
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from everstay import tables as t
from everstay.errors import SettingsError
from everstay.features import churn_labels
from everstay.lake import Lake
from everstay.partitions import IN_PROCESS
from everstay.scoring import Work, active_users, compute_churn_scores, keep_previous, previous_as_of
from everstay.scoring.churn_scores import score_churn_bucket
from everstay.settings import Churn, Fairness, Settings
from everstay.storage import Folder
from tests.publishing import publish
from tests.strategies import AS_OF, event, frame_of

Make = Callable[..., Work]
CHURN, SETTINGS = Churn(), Settings()


def score(work: Work, folder: Path, settings: Settings = SETTINGS) -> pl.DataFrame:
    return compute_churn_scores(work, settings, Folder(str(folder / "scores")), IN_PROCESS).read_all().sort(t.USER_ID)


def test_every_active_user_is_scored_once_and_nobody_else(make_work: Make, events: pl.DataFrame, tmp_path: Path):
    work = make_work("churn")
    scores = score(work, tmp_path)
    assert scores.schema == t.CHURN_SCORES.empty().schema
    known_at = work.as_of + timedelta(days=60)
    labelled = churn_labels(events, work.as_of, CHURN, known_at)
    assert scores[t.USER_ID].to_list() == labelled[t.USER_ID].sort().to_list()
    assert 0 < len(scores) < events[t.USER_ID].n_unique()
    change = (t.PREVIOUS_PROBABILITY, t.PROBABILITY_CHANGE)  # nothing was published before
    assert scores.drop(t.EXPECTED_ORDER_AT, *change).null_count().sum_horizontal().item() == 0
    assert scores.select(change).null_count().row(0) == (len(scores), len(scores))
    assert (scores[t.EXPECTED_ORDER_AT].drop_nulls() >= work.as_of).all()
    at_risk = (scores[t.CHURN_PROBABILITY] * scores[t.CUSTOMER_VALUE]).to_numpy()
    assert scores[t.VALUE_AT_RISK].to_numpy() == pytest.approx(at_risk)
    assert (scores[t.CUSTOMER_VALUE_LOW] < scores[t.CUSTOMER_VALUE_HIGH]).all()


def test_value_is_null_where_nobody_bought_twice(make_work: Make, events: pl.DataFrame, tmp_path: Path):
    once = events.filter(pl.col(t.EVENT_TYPE) == t.PURCHASE).unique(t.USER_ID, keep="first", maintain_order=True)
    scores = score(make_work("churn", shop=once), tmp_path)
    assert len(scores) > 0
    assert scores[t.CUSTOMER_VALUE].is_null().all()
    assert scores[t.VALUE_AT_RISK].is_null().all()


def test_the_change_is_told_beside_what_was_published_before(make_work: Make, tmp_path: Path):
    work, lake = make_work("churn"), Lake(str(tmp_path / "lake"), 2)
    earlier = [work.as_of - timedelta(days=days) for days in (9, 2)]
    for as_of, probability in zip(earlier, (0.9, 0.25), strict=True):
        row = score(work, tmp_path).head(2).with_columns(
            pl.lit(as_of, t.TIME).alias(t.AS_OF), pl.lit(probability).alias(t.CHURN_PROBABILITY)
        )  # fmt: skip
        publish(lake, t.CHURN_SCORES, row, as_of=as_of, key=str(as_of))
    before = previous_as_of(lake, work.as_of)
    assert before == earlier[1]
    assert previous_as_of(lake, earlier[0]) is None
    previous = keep_previous(lake, before, Folder(str(tmp_path / "previous")))
    folder = Folder(str(tmp_path / "scores"))
    scores = compute_churn_scores(work, SETTINGS, folder, IN_PROCESS, previous).read_all().sort(t.USER_ID)
    assert scores[t.PREVIOUS_PROBABILITY].to_list() == [0.25, 0.25] + [None] * (len(scores) - 2)
    assert scores[t.PROBABILITY_CHANGE][0] == pytest.approx(scores[t.CHURN_PROBABILITY][0] - 0.25)


@pytest.mark.parametrize("other", [{t.HORIZON_DAYS: 90}, {t.GAP_DAYS: 7}, {t.GAP_DAYS: None, t.HORIZON_DAYS: None}])
def test_no_change_is_told_from_another_definition_of_leaving(make_work: Make, tmp_path: Path, other: dict):
    work, lake = make_work("churn"), Lake(str(tmp_path / "lake"), 2)
    before = work.as_of - timedelta(days=9)
    told = {t.AS_OF: pl.lit(before, t.TIME), t.CHURN_PROBABILITY: pl.lit(0.25)}
    told |= {name: pl.lit(days, pl.Int32) for name, days in other.items()}
    publish(lake, t.CHURN_SCORES, score(work, tmp_path).with_columns(**told), as_of=before, key="before")
    previous = keep_previous(lake, before, Folder(str(tmp_path / "previous")))
    folder = Folder(str(tmp_path / "scores"))
    scores = compute_churn_scores(work, SETTINGS, folder, IN_PROCESS, previous).read_all()
    assert (scores[t.PREVIOUS_PROBABILITY] == 0.25).all()
    assert scores[t.PROBABILITY_CHANGE].is_null().all()
    assert scores.select(t.GAP_DAYS, t.HORIZON_DAYS).unique().row(0) == (0, 28)


def test_rows_say_what_they_were_made_from(make_work: Make, tmp_path: Path):
    work = make_work("churn")
    scores = score(work, tmp_path)
    stamps = scores.select(t.AS_OF, t.MODEL_VERSION, t.DATA_VERSION, t.GAP_DAYS, t.HORIZON_DAYS).unique()
    assert stamps.row(0) == (work.as_of, "7", "events-5.items-1", 0, 28)
    assert len(stamps) == 1
    assert scores[t.REASONS][0][0].startswith("last order")


def test_one_bucket_gives_what_many_give(make_work: Make, tmp_path: Path):
    many = score(make_work("churn", 7), tmp_path)
    assert_frame_equal(score(make_work("churn", 1), tmp_path), many)
    assert set(many[t.RISK_TIER]) == {"high", "medium", "low"}


def test_tiers_hold_their_shares_of_all_users(make_work: Make, tmp_path: Path):
    scores = score(make_work("churn"), tmp_path)
    counts = dict(scores[t.RISK_TIER].value_counts().iter_rows())
    assert counts["high"] == round(0.1 * len(scores))
    assert counts["high"] + counts["medium"] == round(0.3 * len(scores))
    lowest = dict(scores.group_by(t.RISK_TIER).agg(pl.min(t.VALUE_AT_RISK)).iter_rows())
    highest = dict(scores.group_by(t.RISK_TIER).agg(pl.max(t.VALUE_AT_RISK)).iter_rows())
    assert lowest["high"] >= highest["medium"]
    assert lowest["medium"] >= highest["low"]


def test_evened_out_tiers_hold_their_shares_of_every_group(make_work: Make, tmp_path: Path):
    even = Settings(fairness=Fairness(mitigate="age_band"))
    scores = score(make_work("churn"), tmp_path, even)
    plain = score(make_work("churn"), tmp_path)
    assert_frame_equal(scores.drop(t.RISK_TIER), plain.drop(t.RISK_TIER))
    is_old = (
        pl.col(t.USER_ID).str.tail(1).is_in(["0", "1", "2"])
    )  # as the shop declares; of the others nothing is known
    for group in (scores.filter(is_old), scores.filter(~is_old)):
        counts = dict(group[t.RISK_TIER].value_counts().iter_rows())
        assert counts.get("high", 0) == round(0.1 * len(group))
        assert counts.get("high", 0) + counts["medium"] == round(0.3 * len(group))


def test_groups_that_nobody_declares_cannot_be_evened_out(make_work: Make, tmp_path: Path):
    with pytest.raises(SettingsError, match=r"fairness\.mitigate: no user declares income_band"):
        score(make_work("churn"), tmp_path, Settings(fairness=Fairness(mitigate="income_band")))


def test_later_events_change_nothing(make_work: Make, events: pl.DataFrame, tmp_path: Path):
    work = make_work("churn")
    before = events.filter(pl.col(t.OCCURRED_AT) < work.as_of)
    assert len(before) < len(events)
    shuffled = before.sample(fraction=1, shuffle=True, seed=1)
    assert_frame_equal(score(work, tmp_path), score(make_work("churn", shop=shuffled), tmp_path))


def test_the_model_is_loaded_once_per_process(make_work: Make, tmp_path: Path, loads: list[Path]):
    work = make_work("churn", 5)
    score(work, tmp_path)
    assert loads == [work.artifact]


def test_a_bucket_without_users_gives_no_rows(make_work: Make, events: pl.DataFrame, tmp_path: Path):
    alone = events.filter(pl.col(t.USER_ID) == "u1")
    assert score(make_work("churn", 5, alone), tmp_path)[t.USER_ID].to_list() == ["u1"]
    assert score(make_work("churn", 5, events.clear()), tmp_path).is_empty()


def test_the_work_of_a_worker_can_be_pickled(make_work: Make):
    work = partial(score_churn_bucket, work=make_work("churn"), look_back_days=84)
    assert_frame_equal(pickle.loads(pickle.dumps(work))(0), work(0))  # noqa: S301  # our own bytes, as Dask sends them


@pytest.mark.parametrize("days", [1, 30, 84])
def test_the_population_bought_within_the_look_back(events: pl.DataFrame, make_work: Make, days: int):
    as_of = make_work("churn").as_of
    rows = events.filter(pl.col(t.OCCURRED_AT) < as_of)
    bought = {}
    for user, kind, order, pieces, amount, at in rows.select(
        t.USER_ID, t.EVENT_TYPE, t.ORDER_ID, t.QUANTITY, t.AMOUNT, t.OCCURRED_AT
    ).iter_rows():
        if kind in (t.PURCHASE, t.RETURN):
            entry = bought.setdefault((user, order), {"net": 0, "kept": 0.0, "at": []})
            entry["net"] += pieces if kind == t.PURCHASE else -pieces
            entry["kept"] += amount if kind == t.PURCHASE else -amount  # whole numbers, never 0
            if kind == t.PURCHASE:
                entry["at"].append(at)
    start = as_of - timedelta(days=days)
    expected = {
        user
        for (user, _), order in bought.items()
        if order["net"] > 0 and order["kept"] > 0 and any(at >= start for at in order["at"])
    }
    assert active_users(events, as_of, days)[t.USER_ID].to_list() == sorted(expected)


def test_the_first_moment_of_the_look_back_is_in_it():
    moments = {"inside": -84.0, "outside": -84.0 - 1e-9}
    rows = frame_of([event(user, t.PURCHASE, days, order=user) for user, days in moments.items()])
    assert active_users(rows, AS_OF, 84)[t.USER_ID].to_list() == ["inside"]
