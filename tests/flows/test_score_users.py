"""When users are scored, and models judged: at the as-of of the settings, which the data must reach."""

from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from everstay import tables as t
from everstay.errors import NotReady
from everstay.lake import Lake, Snapshot, commit_staged, stage_events
from everstay.partitions import IN_PROCESS
from everstay.scoring import is_history, scoring_as_of
from everstay.settings import Churn, Recommender, Settings
from flows.build_features import choose_split, feature_key
from flows.score_users import learned_otherwise
from tests.lake.test_ingest import FrameChunk, purchases
from tests.publishing import publish


@pytest.fixture
def snapshot(tmp_path: Path) -> Snapshot:
    """Hourly events from 2023-01-01 00:00 to 2023-01-09 23:00."""
    lake = Lake(str(tmp_path / "lake"), 1)
    commit_staged(stage_events(lake, [FrameChunk("a", purchases(0, 216))], IN_PROCESS, max_quarantined_share=0))
    return lake.snapshot()


def settings(as_of: date | None) -> Settings:
    return Settings(score_as_of=as_of)


def brief(basket_days: int = 1, as_of: date | None = None) -> Settings:
    """Labels are known two days after an as-of, next baskets after `basket_days`."""
    churn = Churn(horizon_days=1, allowed_lateness_days=1, look_back_days=1)
    return Settings(as_of=as_of, churn=churn, recommender=Recommender(horizon_days=basket_days))


def test_the_last_midnight_that_the_data_covers(snapshot: Snapshot):
    assert scoring_as_of(snapshot, settings(None)) == datetime(2023, 1, 9, tzinfo=UTC)


@pytest.mark.parametrize("day", [2, 9, 10])
def test_the_as_of_of_the_settings(snapshot: Snapshot, day: int):
    assert scoring_as_of(snapshot, settings(date(2023, 1, day))) == datetime(2023, 1, day, tzinfo=UTC)


@pytest.mark.parametrize("as_of", [date(2023, 1, 1), date(2022, 6, 1), date(2023, 1, 11), date(2030, 1, 1)])
def test_an_as_of_that_the_data_does_not_reach(snapshot: Snapshot, as_of: date):
    with pytest.raises(NotReady, match=r"reaches from 2023-01-01 to 2023-01-09.*remove it to use 2023-01-09"):
        scoring_as_of(snapshot, settings(as_of))


def test_what_later_publications_followed_is_history(tmp_path: Path):
    lake = Lake(str(tmp_path / "lake"), 1)
    first, second = datetime(2023, 1, 8, tzinfo=UTC), datetime(2023, 1, 9, tzinfo=UTC)
    assert not is_history(lake, t.CHURN_SCORES, first)
    for as_of in (first, second):
        row = pl.DataFrame({t.USER_ID: ["ann"], t.AS_OF: [as_of]}, schema_overrides={t.AS_OF: t.TIME})
        absent = [pl.lit(None, kind).alias(name) for name, kind in t.CHURN_SCORES.columns.items() if name not in row]
        publish(lake, t.CHURN_SCORES, row.with_columns(absent), as_of=as_of, key="k")
    assert is_history(lake, t.CHURN_SCORES, first)
    assert not is_history(lake, t.CHURN_SCORES, second)
    assert not is_history(lake, t.CHURN_SCORES, datetime(2023, 1, 7, tzinfo=UTC))  # nobody was told anything then


def test_a_champion_of_another_definition_is_told():
    logged = Churn().model_dump(mode="json")
    assert learned_otherwise(logged, Churn(training_slices=3)) == ""
    words = learned_otherwise(logged, Churn(horizon_days=60, gap_days=3))
    assert "gap_days = 0 (now 3), horizon_days = 28 (now 60)" in words
    assert "make train" in words


@pytest.mark.parametrize(
    ("as_of", "words"),
    [
        (date(2023, 1, 9), r"as_of is 2023-01-09, but the data ends at 2023-01-09 23:00: .* known up to 2023-01-07"),
        (date(2022, 1, 1), "is too short to train: judged at 2022-01-01"),
    ],
)
def test_an_as_of_of_training_that_the_data_does_not_reach(snapshot: Snapshot, as_of: date, words: str):
    with pytest.raises(NotReady, match=words):
        choose_split(snapshot, brief(as_of=as_of))
    assert choose_split(snapshot, brief()).test == datetime(2023, 1, 7, tzinfo=UTC)


@pytest.mark.parametrize(("days", "last"), [(1, 7), (2, 7), (3, 6), (4, 5)])
def test_models_are_judged_when_the_later_of_labels_and_next_baskets_is_known(snapshot: Snapshot, days: int, last: int):
    chosen = choose_split(snapshot, brief(days))
    assert chosen.test == datetime(2023, 1, last, tzinfo=UTC)
    assert choose_split(snapshot, brief(days, as_of=chosen.test.date())) == chosen
    by = "whether users left" if last == 7 else rf"what users bought next \({days} days, horizon_days in \[recommender"
    with pytest.raises(NotReady, match=rf"as_of is 2023-01-0{last + 1}, .*: {by}.* is known up to 2023-01-0{last};"):
        choose_split(snapshot, brief(days, as_of=date(2023, 1, last + 1)))


@pytest.mark.parametrize("days", ["look_back_days", "gap_days", "horizon_days", "allowed_lateness_days"])
def test_features_and_labels_are_stored_by_the_definition_of_leaving(snapshot: Snapshot, days: str):
    split, churn = choose_split(snapshot, brief()), brief().churn
    other = churn.model_copy(update={days: 2})
    assert feature_key(snapshot, split, Settings(churn=churn)) == feature_key(snapshot, split, Settings(churn=churn))
    assert feature_key(snapshot, split, Settings(churn=churn)) != feature_key(snapshot, split, Settings(churn=other))
