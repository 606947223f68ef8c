"""Staged events: exactly the declared columns, and ids that are given or left to be made."""

import polars as pl

from everstay import tables as t
from everstay.event_ids import with_ids
from everstay.sources.contract import STAGED, stage
from tests.test_event_ids import MOMENT, some_events


def test_staged_events_have_the_declared_columns() -> None:
    staged = stage(some_events(), "shop.csv")
    assert staged.schema == pl.Schema({name: dtype for name, dtype in STAGED.items() if name != t.EVENT_ID})
    keyed = some_events().with_columns(pl.lit("e").alias(t.EVENT_ID))
    assert stage(keyed, "shop.csv").schema == pl.Schema(STAGED)
    assert staged[t.SOURCE_FILE].unique().to_list() == ["shop.csv"]
    assert staged[t.RECORDED_AT].to_list() == [MOMENT] * 4
    assert staged[t.PROBLEM].null_count() == 4


def test_a_given_id_is_kept() -> None:
    staged = stage(some_events().with_columns(pl.Series(t.EVENT_ID, ["1", "2", None, "4"])), "shop.csv")
    assert staged[t.EVENT_ID].to_list() == ["1", "2", None, "4"]


def test_a_given_id_that_looks_made_must_have_been_made() -> None:
    exported = with_ids(stage(some_events(), "shop.csv"))
    again = exported.drop(t.SOURCE_FILE, t.PROBLEM, t.CONTENT)
    assert stage(again, "export.csv")[t.PROBLEM].null_count() == 4
    told = stage(again.with_columns(pl.col(t.AMOUNT) + pl.int_range(4)), "shop.csv")[t.PROBLEM]
    assert told[0] is None
    assert told.null_count() == 1
    assert told[1].startswith("event_id: begins with '~', which is reserved for ids made from a row")
