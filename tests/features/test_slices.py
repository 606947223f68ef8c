"""As-of midnights and the split by time: nothing twice, every part after the one before, labels known in time."""

from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everstay.errors import NotReady
from everstay.features.slices import last_mature_as_of, midnight_before, time_split
from everstay.settings import Churn
from tests.strategies import AS_OF, PROPERTY

churns = st.builds(
    Churn,
    look_back_days=st.integers(1, 100),
    gap_days=st.integers(0, 10),
    horizon_days=st.integers(1, 60),
    allowed_lateness_days=st.integers(0, 10),
    slice_step_days=st.integers(1, 20),
    training_slices=st.integers(1, 30),
    validation_slices=st.integers(1, 4),
)


@PROPERTY
@given(churn=churns, history_days=st.floats(0, 500))
def test_split_never_lets_a_label_window_reach_the_next_part(churn, history_days):
    first_event_at = AS_OF - timedelta(days=history_days)
    window = timedelta(days=churn.gap_days + churn.horizon_days + churn.allowed_lateness_days)
    full_history = first_event_at + timedelta(days=churn.look_back_days)
    try:
        split = time_split(AS_OF, first_event_at, churn)
    except NotReady:
        assert AS_OF - window < full_history
        return
    if split.is_by_user:
        assert AS_OF - 2 * window < full_history <= min(split.train)
        assert max(split.train) + window == AS_OF == split.test
        assert len(split.train) <= churn.training_slices
        assert split.as_ofs == (*split.train, split.test)
        assert split.between == ()
        return
    everything = [*split.train, *split.validation, split.test]
    assert everything == sorted(set(everything))
    assert max(split.train) + window <= min(split.validation)
    assert max(split.validation) + window <= split.test == AS_OF
    assert min(split.train) >= full_history
    assert 1 <= len(split.train) <= churn.training_slices
    room = (min(split.validation) - window - full_history) // timedelta(days=churn.slice_step_days) + 1
    assert 1 <= len(split.validation) <= churn.validation_slices
    assert len(split.validation) == 1 or room >= 4 * len(split.validation)
    assert len(set(split.as_ofs)) == len(split.as_ofs)
    assert all(max(split.train) < moment < max(split.validation) for moment in split.between)
    steps = {later - earlier for earlier, later in pairwise(split.train)}
    assert steps <= {timedelta(days=churn.slice_step_days)}


@PROPERTY
@given(churn=churns)
def test_split_uses_every_slice_it_may(churn):
    split = time_split(AS_OF, AS_OF - timedelta(days=800), churn)
    one_more = split.train[0] - timedelta(days=churn.slice_step_days)
    has_history = one_more - timedelta(days=churn.look_back_days) >= AS_OF - timedelta(days=800)
    assert len(split.train) == churn.training_slices or not has_history


def test_too_short_a_history_is_not_ready_and_says_what_to_do():
    with pytest.raises(NotReady, match=r"does not have 84 days of history before it; shorten"):
        time_split(AS_OF, AS_OF - timedelta(days=113), Churn())


def test_a_history_of_one_label_is_split_by_users_and_of_two_by_time():
    shortest, short, enough = (time_split(AS_OF, AS_OF - timedelta(days=days), Churn()) for days in (114, 143, 144))
    assert (shortest.is_by_user, short.is_by_user, enough.is_by_user) == (True, True, False)
    assert [len(split.train) for split in (shortest, short, enough)] == [1, 5, 1]
    assert "chosen on the others (the history is too short" in short.in_words()
    trained = f"were trained on one as-of, {enough.train[0]:%Y-%m-%d}, chosen as of {enough.validation[0]:%Y-%m-%d}, "
    assert enough.in_words().startswith(trained)
    trained = f"were trained on one as-of, {shortest.train[0]:%Y-%m-%d}, of two thirds of the users, chosen on the "
    assert shortest.in_words().startswith(trained)


@pytest.mark.parametrize(
    ("moment", "midnight"),
    [
        (datetime(2018, 1, 1, tzinfo=UTC), datetime(2018, 1, 1, tzinfo=UTC)),
        (datetime(2018, 1, 1, 23, 59, 59, 999_999, tzinfo=UTC), datetime(2018, 1, 1, tzinfo=UTC)),
        (datetime(2018, 1, 1, 1, tzinfo=timezone(timedelta(hours=2))), datetime(2017, 12, 31, tzinfo=UTC)),
    ],
)
def test_midnight_is_that_of_utc_and_itself(moment, midnight):
    assert midnight_before(moment) == midnight


@PROPERTY
@given(churn=churns, minutes=st.integers(0, 10**6))
def test_last_mature_as_of_is_mature_and_the_next_midnight_is_not(churn, minutes):
    recorded_until = AS_OF + timedelta(minutes=minutes)
    as_of = last_mature_as_of(recorded_until, churn)
    window = timedelta(days=churn.gap_days + churn.horizon_days + churn.allowed_lateness_days)
    assert as_of == midnight_before(as_of)
    assert as_of + window <= recorded_until < as_of + window + timedelta(days=1)
