"""Who left of each lifecycle state and each declared group, counted by hand; small declared groups are not shown."""

from datetime import UTC, datetime

import polars as pl
import pytest

from everstay import tables as t
from everstay.retention.page import segment_section
from everstay.retention.segments import GROUP, HIGH, LEFT, LIFECYCLE, LOW, SEGMENT, SHARE, USERS, churn_by_segment

NAMES = ["a", "b", "c", "d", "e", "f"]
LABELS = pl.DataFrame(
    {t.USER_ID: NAMES, t.AS_OF: datetime(2024, 3, 1, tzinfo=UTC), t.CHURNED: [True, False, True, False, False, True]}
)
STATES = pl.DataFrame({t.USER_ID: NAMES, LIFECYCLE: [2.0, 2.0, 4.0, 2.0, 1.0, 5.0]})
DECLARED = pl.DataFrame({t.USER_ID: ["a", "b", "d", "x"], t.AGE_BAND: ["old", "old", "young", "old"]})


def found(min_users: int) -> dict[tuple[str, str], tuple[int, int]]:
    rows = churn_by_segment(LABELS, STATES, t.USERS.conform(DECLARED), min_users)
    return {(row[SEGMENT], row[GROUP]): (row[USERS], row[LEFT]) for row in rows.iter_rows(named=True)}


def test_every_group_is_counted() -> None:
    assert found(1) == {
        ("everybody", ""): (6, 3),
        (LIFECYCLE, "active"): (3, 1),
        (LIFECYCLE, "lapsed"): (1, 1),
        (LIFECYCLE, "new"): (1, 0),
        (LIFECYCLE, "won back"): (1, 1),
        (t.AGE_BAND, "old"): (2, 1),
        (t.AGE_BAND, "young"): (1, 0),
        (t.AGE_BAND, "not declared"): (3, 2),
    }


def test_small_groups_of_what_users_declared_are_left_out() -> None:
    assert found(2).keys() == found(1).keys() - {(t.AGE_BAND, "young")}


def test_the_share_has_its_interval_and_the_page_says_what_is_left_out() -> None:
    rows = churn_by_segment(LABELS, STATES, t.USERS.conform(DECLARED), 2)
    assert rows[SHARE][0] == pytest.approx(0.5)
    assert rows[LOW][0] < 0.5 < rows[HIGH][0]
    section = segment_section(rows, "2024-03-01", 28, 2)
    assert "groups of fewer than 2 are left out" in section.words[1]
    assert "<svg" in section.pictures[0].content
    assert [table.rows[0][:4] for table in section.tables] == [
        ("everybody", "", 6, 3),
        ("age band", "not declared", 3, 2),
    ]
