from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from everstay import tables as t
from everstay.partitions import IN_PROCESS
from everstay.recommender import ListRules
from everstay.recommender.reasons import POPULAR, POPULAR_WITH
from everstay.scoring import Work, compute_recommendations, history_rows, served_by_popularity
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
    assert lists(having(make_work("recommender", 2, events.clear()), USERS.clear()), tmp_path).is_empty()


def having(work: Work, users: pl.DataFrame) -> Work:
    return replace(work, reader=replace(work.reader, users=users))  # type: ignore[type-var]


def registered(work: Work) -> pl.DataFrame:
    """The shop's users, and some without an event: who joined just in time, nobody knows when, and too late."""
    joined = {"in time": work.as_of - timedelta(microseconds=1), "sometime": None, "too late": work.as_of}
    new = pl.DataFrame(
        {t.USER_ID: list(joined), t.JOINED_AT: list(joined.values()), t.AGE_BAND: ["old", "young", "old"]}
    )
    return pl.concat([USERS, t.USERS.conform(new)])


@pytest.mark.parametrize("bucket_count", [1, 5])
def test_who_has_only_registered_gets_a_list_and_changes_no_other(make_work: Make, tmp_path: Path, bucket_count: int):
    work = make_work("recommender", bucket_count)
    before, after = lists(work, tmp_path), lists(having(work, registered(work)), tmp_path)
    is_new = pl.col(t.USER_ID).is_in(["in time", "sometime"])
    assert_frame_equal(after.filter(~is_new), before)
    new = after.filter(is_new)
    assert new.select(t.USER_ID, t.RANK, t.ITEM_ID).rows() == [
        (user, rank, f"i{rank - 1}") for user in ("in time", "sometime") for rank in (1, 2, 3)
    ]
    assert (
        new.drop(t.USER_ID)
        .unique(t.RANK)
        .sort(t.RANK)
        .equals(
            before.filter(pl.col(t.USER_ID) == "u55").drop(t.USER_ID)  # who never bought
        )
    )


def test_who_has_only_registered_gets_what_is_liked_in_their_segment(
    make_work: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def by_age(self: ToyRecommender, rows: pl.DataFrame, k: int, rules: ListRules | None = None) -> pl.DataFrame:
        item = pl.when(pl.col(t.AGE_BAND) == "old").then(pl.lit("i9")).otherwise(pl.lit("i8"))
        one = rows.select(t.USER_ID, item.alias(t.ITEM_ID), pl.lit(1, pl.Int32).alias(t.RANK))
        return one.with_columns(pl.lit(0.5).alias(t.SCORE), pl.lit("popular").alias(t.REASON))

    monkeypatch.setattr(ToyRecommender, "segment_by", t.AGE_BAND)
    monkeypatch.setattr(ToyRecommender, "recommend", by_age)
    work = make_work("recommender", 2)
    silent = pl.DataFrame({t.USER_ID: ["silent", "silent too"]})  # declare nothing
    table = lists(having(work, pl.concat([registered(work), t.USERS.conform(silent)])), tmp_path)
    found = dict(table.select(t.USER_ID, t.ITEM_ID).iter_rows())
    assert [found[user] for user in ("in time", "sometime", "silent", "silent too")] == ["i9", "i8", "i8", "i8"]
    assert "too late" not in found


def test_how_many_lists_popularity_alone_made():
    reasons = {
        "cold": [POPULAR, POPULAR],
        "declared": [POPULAR_WITH + "age band", POPULAR],
        "filled up": ["bought once, today", POPULAR],
        "by category": ["popular in soap", "popular in your category soap"],
    }
    rows = [(user, reason) for user, told in reasons.items() for reason in told]
    lists = pl.DataFrame(rows, schema=[t.USER_ID, t.REASON], orient="row")
    assert served_by_popularity(lists) == 2
    assert served_by_popularity(t.RECOMMENDATIONS.empty()) == 0
