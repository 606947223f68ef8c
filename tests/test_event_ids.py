"""Ids made of rows: they depend on content alone, and are the same as digests and as text."""

from datetime import UTC, datetime

import polars as pl
import pyarrow as pa

from everstay import tables as t
from everstay.event_ids import DIGEST, as_text, content_digests, content_ids, with_ids

MOMENT = datetime(2024, 5, 1, 12, tzinfo=UTC)


def some_events() -> pl.DataFrame:
    """Three of one user, of which two are the same, and one of another."""
    return pl.DataFrame(
        {
            t.USER_ID: ["a", "a", "a", "b"],
            t.ITEM_ID: ["x", "x", None, "x"],
            t.OCCURRED_AT: [MOMENT] * 4,
            t.AMOUNT: [1.5, 1.5, 1.5, 1.5],
            t.SOURCE_ROW: [1, 2, 3, 4],
        }
    )


def test_identical_rows_are_one_event_and_others_are_not() -> None:
    ids = content_ids(some_events())
    assert ids[0] == ids[1]
    assert ids.n_unique() == 3
    assert ids.str.contains(r"^~[A-Za-z0-9+/]{16}$").all()


def test_ids_depend_neither_on_order_nor_on_columns_without_values() -> None:
    events = some_events()
    shuffled = content_ids(events.reverse()).reverse()
    wider = content_ids(events.with_columns(pl.lit(None, pl.String).alias(t.PLATFORM)))
    assert content_ids(events).to_list() == shuffled.to_list() == wider.to_list()


def test_ids_are_what_they_have_always_been() -> None:
    """The ids are stored; were they to change, every event would enter the lake a second time."""
    assert content_ids(some_events())[0] == "~OW9NlIgLtolQDTRc"


def test_a_value_never_runs_into_the_next_column() -> None:
    shifted = pl.DataFrame({t.USER_ID: ["ab", "a"], t.ITEM_ID: ["c", "bc"]})
    assert content_ids(shifted).n_unique() == 2


def test_a_part_of_the_digests_is_the_same_part_of_the_ids() -> None:
    digests = content_digests(some_events())
    assert digests.type == DIGEST
    assert as_text(digests[1:3]).to_pylist() == content_ids(some_events())[1:3].to_list()
    assert as_text(digests[:0]).to_pylist() == []


def test_text_stays_as_it_is() -> None:
    assert as_text(pa.array(["1", "~x"])).to_pylist() == ["1", "~x"]
    keyed = some_events().with_columns(pl.Series(t.EVENT_ID, ["1", "2", "3", "4"]))
    assert with_ids(keyed)[t.EVENT_ID].to_list() == ["1", "2", "3", "4"]
