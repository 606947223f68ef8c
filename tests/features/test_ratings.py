"""Latest ratings against a slow reference; that later events change nothing is in test_as_of."""

from hypothesis import given
from hypothesis import strategies as st

from everstay import tables as t
from everstay.features.ratings import RATED_ITEM, RATED_VALUE, latest_ratings
from tests.strategies import AS_OF, PROPERTY, event, event_rows, frame_of, is_known


@PROPERTY
@given(rows=st.lists(event_rows(), max_size=60))
def test_latest_ratings_equal_a_slow_reference(rows):
    frame = frame_of(rows)
    expected: dict[str, dict[str, float]] = {}
    for row in frame.sort(t.OCCURRED_AT, t.EVENT_ID).iter_rows(named=True):
        if is_known(row, AS_OF) and row[t.RATING] is not None and row[t.ITEM_ID] is not None:
            expected.setdefault(row[t.USER_ID], {})[row[t.ITEM_ID]] = row[t.RATING]
    table = latest_ratings(frame, AS_OF)
    assert table[t.USER_ID].to_list() == sorted(expected)
    assert table[t.AS_OF].unique().to_list() == ([AS_OF] if expected else [])
    for user, items, values in table.select(t.USER_ID, RATED_ITEM, RATED_VALUE).iter_rows():
        assert dict(zip(items, values, strict=True)) == expected[user]
        assert items == sorted(items)


def test_the_later_of_two_ratings_counts_wherever_it_stands():
    rows = [event("u0", t.RATE, days) | {t.RATING: stars} for days, stars in ((-1, 5.0), (-9, 1.0))]
    for frame in (frame_of(rows), frame_of(rows[::-1])):
        assert latest_ratings(frame, AS_OF)[RATED_VALUE].to_list() == [[5.0]]
