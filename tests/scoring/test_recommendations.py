from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from everstay import tables as t
from everstay.partitions import IN_PROCESS
from everstay.scoring import Work, compute_recommendations, history_rows
from everstay.scoring.recommendations import list_rows
from everstay.settings import Recommender
from everstay.storage import Folder

from .conftest import USERS, ToyRecommender

Make = Callable[..., Work]


def lists(work: Work, folder: Path, k: int = 3) -> pl.DataFrame:
    return (
        compute_recommendations(work, Recommender(list_length=k), Folder(str(folder / "lists")), IN_PROCESS)
        .read_all()
        .sort(t.USER_ID, t.RANK)
    )


def test_every_user_with_an_event_gets_a_list(make_work: Make, events: pl.DataFrame, tmp_path: Path):
    work = make_work("recommender")
    table = lists(work, tmp_path)
    known = events.filter(pl.col(t.OCCURRED_AT) < work.as_of)
    assert table.schema == t.RECOMMENDATIONS.empty().schema
    assert table[t.USER_ID].unique().sort().to_list() == known[t.USER_ID].unique().sort().to_list()
    assert table.group_by(t.USER_ID).agg(pl.col(t.RANK))[t.RANK].to_list() == [[1, 2, 3]] * known[t.USER_ID].n_unique()
    assert table[t.AS_OF].unique().to_list() == [work.as_of]
    assert table[t.MODEL_VERSION].unique().to_list() == ["7"]


def test_who_never_bought_gets_best_sellers(make_work: Make, tmp_path: Path):
    table = lists(make_work("recommender"), tmp_path)
    assert table.filter(pl.col(t.USER_ID) == "u55")[t.ITEM_ID].to_list() == ["i0", "i1", "i2"]


def test_rows_have_the_attribute_that_the_model_goes_by_and_no_other(make_work: Make, monkeypatch: pytest.MonkeyPatch):
    work = make_work("recommender", 1)
    plain = list_rows(0, work)
    assert not set(plain.columns) & {t.AGE_BAND, t.INCOME_BAND, t.HOUSEHOLD_SIZE}
    monkeypatch.setattr(ToyRecommender, "segment_by", t.AGE_BAND)
    rows = list_rows(0, work)
    assert rows.drop(t.AGE_BAND).equals(plain)
    declared = dict(USERS.select(t.USER_ID, t.AGE_BAND).iter_rows())
    assert rows[t.AGE_BAND].to_list() == [declared.get(user) for user in rows[t.USER_ID]]


def test_one_bucket_gives_what_many_give(make_work: Make, tmp_path: Path):
    assert_frame_equal(lists(make_work("recommender", 1), tmp_path), lists(make_work("recommender", 6), tmp_path))


def test_rows_are_sorted_and_cold_users_have_null_lists(make_work: Make, events: pl.DataFrame):
    rows = history_rows(events, make_work("recommender").as_of)
    assert rows[t.USER_ID].is_sorted()
    cold = rows.filter(pl.col("history_item").is_null())
    assert {f"u{number}" for number in range(50, 60)} <= set(cold[t.USER_ID])
    assert rows.filter(pl.col("history_item").is_not_null())["history_item"].list.len().min() >= 1


def test_an_empty_lake_gives_no_lists(make_work: Make, events: pl.DataFrame, tmp_path: Path):
    assert lists(make_work("recommender", 2, events.clear()), tmp_path).is_empty()
