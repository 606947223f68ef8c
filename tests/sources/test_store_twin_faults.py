"""Injected faults: known, of the kind they are called, and beside an otherwise unchanged shop."""

import json
from datetime import timedelta

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from everstay import tables as t
from everstay.settings import StoreTwinSource
from everstay.sources.store_twin import StoreTwin
from everstay.sources.store_twin import faults as kinds

CLEAN = StoreTwinSource(users=300, items=40, days=60, seed=5)
FAULTY = CLEAN.model_copy(update={"fault_share": 0.05})


def read(settings: StoreTwinSource) -> pl.DataFrame:
    return pl.concat([frame for chunk in StoreTwin(settings).event_chunks() for frame in chunk.read()])


@pytest.fixture(scope="module")
def rows() -> pl.DataFrame:
    """The faulty shop's staged events, with the known fault of each."""
    faults = StoreTwin(FAULTY).truth().faults().drop(t.EVENT_ID)
    return read(FAULTY).join(faults, on=[t.SOURCE_FILE, t.SOURCE_ROW], how="left", maintain_order="left")


def test_good_events_are_those_of_the_clean_shop(rows: pl.DataFrame) -> None:
    good = rows.filter(pl.col(kinds.FAULT).is_null()).select(*t.EVENTS.columns)
    assert_frame_equal(good, read(CLEAN).select(*t.EVENTS.columns))
    assert StoreTwin(CLEAN).truth().faults().is_empty()


def test_the_share_is_the_one_asked_for_and_every_kind_occurs(rows: pl.DataFrame) -> None:
    spoiled = rows.filter(pl.col(kinds.FAULT).is_not_null())
    assert spoiled.height / (rows.height - spoiled.height) == pytest.approx(0.05, rel=0.15)
    counts = spoiled[kinds.FAULT].value_counts()
    assert set(counts[kinds.FAULT]) == set(kinds.FAULTS)
    assert counts["count"].min() > 0.7 * spoiled.height / len(kinds.FAULTS)


def test_each_kind_is_what_it_is_called(rows: pl.DataFrame) -> None:
    late = pl.col(t.RECORDED_AT) < pl.col(t.OCCURRED_AT)
    signs = {
        kinds.MISSING_USER: pl.col(t.USER_ID).is_null(),
        kinds.UNPARSABLE_TIME: pl.col(t.PROBLEM).is_not_null() & pl.col(t.OCCURRED_AT).is_null(),
        kinds.NEGATIVE_QUANTITY: pl.col(t.QUANTITY) < 0,
        kinds.UNKNOWN_EVENT_TYPE: ~pl.col(t.EVENT_TYPE).is_in(t.EVENT_TYPES),
        kinds.RECORDED_BEFORE_OCCURRED: late.fill_null(value=False),
        kinds.DUPLICATE_ID: pl.col(t.EVENT_ID).is_duplicated() & ~pl.col(t.EVENT_ID).is_first_distinct(),
    }
    for kind, sign in signs.items():
        is_kind = (pl.col(kinds.FAULT) == kind).fill_null(value=False)
        assert rows.select((sign == is_kind).all()).item(), kind


def test_a_duplicate_is_the_same_event_again(rows: pl.DataFrame) -> None:
    is_duplicate = (pl.col(kinds.FAULT) == kinds.DUPLICATE_ID).fill_null(value=False)
    original = rows.filter(is_duplicate.shift(-1, fill_value=False)).select(*t.EVENTS.columns)
    assert_frame_equal(rows.filter(is_duplicate).select(*t.EVENTS.columns), original)


def test_the_problem_names_the_value_and_the_content_is_the_raw_row(rows: pl.DataFrame) -> None:
    row = rows.filter(pl.col(t.PROBLEM).is_not_null()).row(0, named=True)
    content = json.loads(row[t.CONTENT])
    assert row[t.PROBLEM] == f"occurred_at: '{content[t.OCCURRED_AT]}' is not a time"
    assert content[t.EVENT_ID] == row[t.EVENT_ID]
    assert rows.filter(pl.col(t.PROBLEM).is_null())[t.CONTENT].count() == 0


def test_recorded_an_hour_too_early(rows: pl.DataFrame) -> None:
    early = rows.filter(pl.col(kinds.FAULT) == kinds.RECORDED_BEFORE_OCCURRED)
    assert set(early[t.OCCURRED_AT] - early[t.RECORDED_AT]) == {timedelta(hours=1)}
