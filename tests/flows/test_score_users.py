"""When users are scored, and models judged: at the as-of of the settings, which the data must reach."""

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from everstay.errors import NotReady
from everstay.lake import Lake, Snapshot, commit_staged, stage_events
from everstay.partitions import IN_PROCESS
from everstay.scoring import scoring_as_of
from everstay.settings import Churn, Settings
from flows.build_features import choose_split, feature_key
from flows.score_users import learned_otherwise
from tests.lake.test_ingest import FrameChunk, purchases


@pytest.fixture
def snapshot(tmp_path: Path) -> Snapshot:
    """Hourly events from 2023-01-01 00:00 to 2023-01-09 23:00."""
    lake = Lake(str(tmp_path / "lake"), 1)
    commit_staged(stage_events(lake, [FrameChunk("a", purchases(0, 216))], IN_PROCESS, max_quarantined_share=0))
    return lake.snapshot()


def settings(as_of: date | None) -> Settings:
    return Settings(score_as_of=as_of)


def test_the_last_midnight_that_the_data_covers(snapshot: Snapshot):
    assert scoring_as_of(snapshot, settings(None)) == datetime(2023, 1, 9, tzinfo=UTC)


@pytest.mark.parametrize("day", [2, 9, 10])
def test_the_as_of_of_the_settings(snapshot: Snapshot, day: int):
    assert scoring_as_of(snapshot, settings(date(2023, 1, day))) == datetime(2023, 1, day, tzinfo=UTC)


@pytest.mark.parametrize("as_of", [date(2023, 1, 1), date(2022, 6, 1), date(2023, 1, 11), date(2030, 1, 1)])
def test_an_as_of_that_the_data_does_not_reach(snapshot: Snapshot, as_of: date):
    with pytest.raises(NotReady, match=r"reaches from 2023-01-01 to 2023-01-09.*leave it out for 2023-01-09"):
        scoring_as_of(snapshot, settings(as_of))


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
    churn = Churn(horizon_days=1, allowed_lateness_days=1, look_back_days=1)
    with pytest.raises(NotReady, match=words):
        choose_split(snapshot, Settings(as_of=as_of, churn=churn))
    assert choose_split(snapshot, Settings(churn=churn)).test == datetime(2023, 1, 7, tzinfo=UTC)


@pytest.mark.parametrize("days", ["look_back_days", "gap_days", "horizon_days", "allowed_lateness_days"])
def test_features_and_labels_are_stored_by_the_definition_of_leaving(snapshot: Snapshot, days: str):
    churn = Churn(horizon_days=1, allowed_lateness_days=1, look_back_days=1)
    split, other = choose_split(snapshot, Settings(churn=churn)), churn.model_copy(update={days: 2})
    assert feature_key(snapshot, split, Settings(churn=churn)) == feature_key(snapshot, split, Settings(churn=churn))
    assert feature_key(snapshot, split, Settings(churn=churn)) != feature_key(snapshot, split, Settings(churn=other))
