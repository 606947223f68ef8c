"""The proof of no leak: it holds for the store twin, and it finds what is not the same."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import combinations
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from polars.testing import assert_frame_equal

from everstay import tables as t
from everstay.features import last_mature_as_of
from everstay.features.ledger import code_events
from everstay.features.slices import midnight_before
from everstay.lake import Lake, Snapshot, commit_staged, stage_events
from everstay.lake.futures import AS_IT_IS, END_OF_TIME, FUTURES, FrameChunk, sample_events, write_futures
from everstay.lake.refusal import MOST_MONEY
from everstay.partitions import IN_PROCESS
from everstay.scoring.proof import digest, prove_as_of
from everstay.settings import Fairness, Settings, Source, StoreTwinSource
from everstay.sources import open_source

SETTINGS = Settings(source=Source(kind="store_twin", store_twin=StoreTwinSource(users=120, items=40, days=200, seed=5)))


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    lake = Lake(str(tmp_path_factory.mktemp("proof") / "lake"), 3)
    source = open_source(SETTINGS.source)
    commit_staged(stage_events(lake, source.event_chunks(), IN_PROCESS, max_quarantined_share=0.0))
    lake.replace(t.ITEMS, source.items(), key="items")
    lake.replace(t.USERS, source.users(), key="users")
    nobody = pl.concat_str(pl.lit(t.ANONYMOUS), t.EVENT_ID)
    some = everything(lake.snapshot()).gather_every(3).with_columns(nobody.alias(t.USER_ID), nobody.alias(t.EVENT_ID))
    commit_staged(stage_events(lake, [FrameChunk("anonymous", some)], IN_PROCESS, max_quarantined_share=0.0))
    return lake.snapshot()


@pytest.fixture(scope="module")
def futures(snapshot: Snapshot, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Snapshot]:
    folder = str(tmp_path_factory.mktemp("futures"))
    return write_futures(snapshot, as_of(snapshot), folder, most_events=100_000, seed=1)


def as_of(snapshot: Snapshot):
    return last_mature_as_of(snapshot.recorded_until, SETTINGS.churn)


class TooEarly(Snapshot):
    """Knows anonymous events when they occur, though they are recorded later."""

    def read_coded(
        self, bucket: int, as_of: datetime, columns: Sequence[str], *, with_anonymous: bool = False
    ) -> pa.Table:
        if not with_anonymous:
            return super().read_coded(bucket, as_of, columns)
        rows = pl.DataFrame(super().read_coded(bucket, END_OF_TIME, columns, with_anonymous=True))
        events = rows.cast({pl.Categorical: pl.String})
        early = pl.when(t.is_anonymous()).then(t.OCCURRED_AT).otherwise(t.RECORDED_AT)
        return code_events(events.with_columns(early.alias(t.RECORDED_AT)))


def everything(snapshot: Snapshot) -> pl.DataFrame:
    return pl.concat([snapshot.read_events(bucket, END_OF_TIME, with_anonymous=True) for bucket in snapshot.buckets])


def test_the_futures_share_a_past_and_differ_in_what_follows(snapshot, futures):
    now = as_of(snapshot)
    pasts = {
        name: pl.concat([one.read_events(bucket, now, with_anonymous=True) for bucket in one.buckets])
        for name, one in futures.items()
    }
    first, *others = (past.sort(t.EVENT_ID) for past in pasts.values())
    assert set(pasts) == set(FUTURES)
    assert first.filter(~t.is_anonymous()).height > 1_000
    assert first.filter(t.is_anonymous()).height > 100
    assert all(past.equals(first) for past in others)
    wholes = [everything(future).sort(t.EVENT_ID) for future in futures.values()]
    assert not any(one.equals(other) for one, other in combinations(wholes, 2))


def test_a_shop_whose_events_reach_until_now_has_futures_too(snapshot: Snapshot, tmp_path: Path):
    events, moment = everything(snapshot), datetime.now(UTC)
    late = pl.lit(moment - events[t.RECORDED_AT].max())
    live = Lake(str(tmp_path / "live"), 2)
    dearest = pl.when(pl.col(t.EVENT_TYPE) == t.PURCHASE).then(MOST_MONEY).otherwise(t.AMOUNT).alias(t.AMOUNT)
    chunk = FrameChunk("live", events.with_columns(pl.col(t.OCCURRED_AT, t.RECORDED_AT) + late, dearest))
    commit_staged(stage_events(live, [chunk], IN_PROCESS, max_quarantined_share=0.0))
    live.replace(t.ITEMS, snapshot.read(t.ITEMS), key="items")
    found = write_futures(
        live.snapshot(), midnight_before(moment), str(tmp_path / "futures"), most_events=9_000, seed=1
    )
    assert found["later events appended"].event_count > found[AS_IT_IS].event_count


def test_nothing_computed_as_of_a_moment_changes(snapshot, futures, tmp_path):
    proof = prove_as_of(futures, {}, as_of(snapshot), SETTINGS, tmp_path)
    assert proof.leaks == []
    assert set(proof.digests) == {"user_features", "day_tokens", "purchase_history", "vocabulary", "churn_labels"}
    assert all(rows > 10 for rows in proof.rows.values())


def test_what_users_declare_is_the_same_in_every_future_though_few_users_are_sampled(snapshot, tmp_path):
    sampled = write_futures(snapshot, as_of(snapshot), str(tmp_path), most_events=2_000, seed=1)
    assert everything(sampled[AS_IT_IS]).filter(~t.is_anonymous())[t.USER_ID].n_unique() < 60
    for future in sampled.values():
        assert_frame_equal(future.read(t.USERS), snapshot.read(t.USERS))


def test_tiers_that_are_evened_out_by_what_users_declare_do_not_change(snapshot, futures, make_work, tmp_path):
    champions = {"churn": make_work("churn").artifact}
    settings = SETTINGS.model_copy(update={"fairness": Fairness(mitigate=t.AGE_BAND)})
    proof = prove_as_of(futures, champions, as_of(snapshot), settings, tmp_path)
    assert proof.leaks == []
    assert proof.rows[t.CHURN_SCORES.name] > 10


def test_lists_do_not_change_and_neither_does_who_gets_one_without_an_event(snapshot, make_work, tmp_path):
    now = as_of(snapshot)
    sampled = write_futures(snapshot, now, str(tmp_path / "futures"), most_events=2_000, seed=1)
    proof = prove_as_of(sampled, {"recommender": make_work("recommender").artifact}, now, SETTINGS, tmp_path / "work")
    assert proof.leaks == []
    one = sampled[AS_IT_IS]
    users = pl.concat([one.read_events(bucket, now) for bucket in one.buckets])[t.USER_ID]
    joined = snapshot.read(t.USERS).filter(pl.col(t.JOINED_AT) < now)
    others = joined.filter(~pl.col(t.USER_ID).is_in(users.unique().implode()))
    assert others.height > 20
    assert proof.rows[t.RECOMMENDATIONS.name] >= users.n_unique() + others.height


def test_a_change_of_the_past_is_found_in_every_table(snapshot, futures, tmp_path):
    now = as_of(snapshot)
    events = everything(futures[AS_IT_IS])
    is_gone = (pl.col(t.OCCURRED_AT) < now - timedelta(days=30)) & (pl.col(t.EVENT_TYPE) == t.PURCHASE)
    forged = Lake(str(tmp_path / "forged"), 2)
    chunk = FrameChunk("forged", events.filter(~is_gone | (pl.int_range(pl.len()) % 3 > 0)))
    commit_staged(stage_events(forged, [chunk], IN_PROCESS, max_quarantined_share=0.0))
    forged.replace(t.ITEMS, snapshot.read(t.ITEMS), key="items")
    proof = prove_as_of({AS_IT_IS: futures[AS_IT_IS], "forged": forged.snapshot()}, {}, now, SETTINGS, tmp_path)
    assert proof.leaks == [f"{table} (forged)" for table in proof.digests]


def test_a_leak_through_anonymous_events_is_found(snapshot, futures, tmp_path):
    leaky = {name: TooEarly(one.uri, one.bucket_count, one.versions) for name, one in futures.items()}
    proof = prove_as_of(leaky, {}, as_of(snapshot), SETTINGS, tmp_path)
    assert proof.leaks == ["user_features (late records back-dated)"]


def test_a_sample_is_of_whole_users_and_about_as_large_as_wanted(snapshot: Snapshot):
    events, sample = everything(snapshot), sample_events(snapshot, 5_000)
    assert 1_000 < sample.height < 10_000 < events.height
    whole = events.filter(pl.col(t.USER_ID).is_in(sample[t.USER_ID].unique().implode()))
    assert whole.height == sample.height


def test_a_digest_depends_on_values_not_on_the_order_of_rows(tmp_path: Path):
    table = pl.DataFrame({t.USER_ID: ["a", "b"], "x": [1.0, None], t.DATA_VERSION: ["1", "1"]})
    assert digest(table) == digest(table.reverse()) == digest(table.with_columns(pl.lit("2").alias(t.DATA_VERSION)))
    assert digest(table) != digest(table.with_columns(pl.lit(2.0).alias("x")))
