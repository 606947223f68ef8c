"""Staged events: exactly the declared columns, and ids that depend on content alone."""

from datetime import UTC, datetime

import polars as pl

from everstay import tables as t
from everstay.sources.contract import STAGED, content_ids, stage

MOMENT = datetime(2024, 5, 1, 12, tzinfo=UTC)


def _events() -> pl.DataFrame:
    return pl.DataFrame(
        {
            t.USER_ID: ["a", "a", "a", "b"],
            t.ITEM_ID: ["x", "x", None, "x"],
            t.OCCURRED_AT: [MOMENT] * 4,
            t.AMOUNT: [1.5, 1.5, 1.5, 1.5],
            t.SOURCE_ROW: [1, 2, 3, 4],
        }
    )


def test_staged_events_have_the_declared_columns() -> None:
    staged = stage(_events(), "shop.csv")
    assert staged.schema == pl.Schema(STAGED)
    assert staged[t.SOURCE_FILE].unique().to_list() == ["shop.csv"]
    assert staged[t.RECORDED_AT].to_list() == [MOMENT] * 4
    assert staged[t.PROBLEM].null_count() == 4


def test_identical_rows_are_one_event_and_others_are_not() -> None:
    ids = stage(_events(), "shop.csv")[t.EVENT_ID]
    assert ids[0] == ids[1]
    assert ids.n_unique() == 3
    assert ids.str.contains(r"^~[A-Za-z0-9+/]{16}$").all()


def test_a_given_id_is_kept() -> None:
    staged = stage(_events().with_columns(pl.Series(t.EVENT_ID, ["1", "2", None, "4"])), "shop.csv")
    assert staged[t.EVENT_ID].to_list() == ["1", "2", None, "4"]


def test_ids_depend_neither_on_order_nor_on_columns_without_values() -> None:
    events = _events()
    shuffled = content_ids(events.reverse()).reverse()
    wider = content_ids(events.with_columns(pl.lit(None, pl.String).alias(t.PLATFORM)))
    assert content_ids(events).to_list() == shuffled.to_list() == wider.to_list()


def test_ids_are_what_they_have_always_been() -> None:
    """The ids are stored; were they to change, every event would enter the lake a second time."""
    assert content_ids(_events())[0] == "~OW9NlIgLtolQDTRc"


def test_a_value_never_runs_into_the_next_column() -> None:
    shifted = pl.DataFrame({t.USER_ID: ["ab", "a"], t.ITEM_ID: ["c", "bc"]})
    assert content_ids(shifted).n_unique() == 2


def test_a_given_id_that_looks_made_must_have_been_made() -> None:
    exported = stage(_events(), "shop.csv")
    again = exported.drop(t.SOURCE_FILE, t.PROBLEM, t.CONTENT)
    assert stage(again, "export.csv")[t.PROBLEM].null_count() == 4
    told = stage(again.with_columns(pl.col(t.AMOUNT) + pl.int_range(4)), "shop.csv")[t.PROBLEM]
    assert told[0] is None
    assert told.null_count() == 1
    assert told[1].startswith("event_id: begins with '~', which stands for ids made from a row")
