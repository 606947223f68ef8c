"""Aggregates: parts merged equal the whole; keys of several parts are counted, on a sample where there are many."""

from collections.abc import Mapping

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from everstay import tables as t
from everstay.validation import aggregates
from everstay.validation.aggregates import aggregate_names, aggregate_part, merge_aggregates

TABLES = (t.EVENTS, t.ITEMS, t.CHURN_LABELS, t.CHURN_SCORES, t.RECOMMENDATIONS)


def split(frame: pl.DataFrame, column: str, parts: int) -> list[pl.DataFrame]:
    return [frame.filter(pl.col(column).hash(seed=1) % parts == part) for part in range(parts)]


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_merged_parts_equal_the_whole(table: t.Table, clean: Mapping[str, pl.DataFrame]) -> None:
    frame = clean[table.name]
    whole = merge_aggregates(table, [aggregate_part(table, frame, 1)])
    column = t.USER_ID if t.USER_ID in table.columns else t.ITEM_ID
    merged = merge_aggregates(table, [aggregate_part(table, part, 7) for part in split(frame, column, 7)])
    drifting = ["days_in_future"] if table is t.EVENTS else []
    assert tuple(merged.columns) == aggregate_names(table)
    assert_frame_equal(merged.drop(drifting), whole.drop(drifting), check_exact=False)


def test_values_by_hand(clean: Mapping[str, pl.DataFrame]) -> None:
    events = clean[t.EVENTS.name]
    row = merge_aggregates(t.EVENTS, [aggregate_part(t.EVENTS, part, 3) for part in split(events, t.USER_ID, 3)]).row(
        0, named=True
    )
    assert row["row_count"] == len(events)
    assert row["user_count"] == events[t.USER_ID].n_unique()
    assert row["first_occurred_at"] == events[t.OCCURRED_AT].min()
    assert row["last_occurred_at"] == events[t.OCCURRED_AT].max()
    assert row["purchase_share"] == pytest.approx((events[t.EVENT_TYPE] == t.PURCHASE).mean())
    assert sum(row[f"{kind}_share"] for kind in t.EVENT_TYPES) == pytest.approx(1)
    assert row["largest_user_share"] == pytest.approx(1 / 40)
    assert row["largest_silence_days"] == 1
    assert row["keys_in_several_parts"] == 0


def test_no_rows_at_all_have_aggregates() -> None:
    row = merge_aggregates(t.EVENTS, [aggregate_part(t.EVENTS, t.EVENTS.empty(), 2)] * 2).row(0, named=True)
    assert (row["row_count"], row["purchase_rows"], row["keys_in_several_parts"]) == (0, 0, 0)
    assert row["largest_silence_days"] is None
    assert row["purchase_share"] is None


def test_gaps_in_lists_are_counted_by_row(clean: Mapping[str, pl.DataFrame]) -> None:
    lists = clean[t.RECOMMENDATIONS.name].filter(~((pl.col(t.USER_ID) == "u3") & (pl.col(t.RANK) == 2)))
    row = merge_aggregates(t.RECOMMENDATIONS, [aggregate_part(t.RECOMMENDATIONS, lists, 1)]).row(0, named=True)
    assert (row["rows_in_lists_with_gaps"], row["shortest_list"], row["longest_list"]) == (2, 2, 3)


def test_each_shared_key_is_counted_when_parts_are_small() -> None:
    ids = pl.DataFrame({t.ITEM_ID: [f"i{number}" for number in range(100)]})
    parts = [aggregate_part(t.ITEMS, t.ITEMS.conform(part), 2) for part in (ids.head(60), ids.tail(43))]
    assert merge_aggregates(t.ITEMS, parts)["keys_in_several_parts"].item() == 3


def test_large_parts_are_compared_on_a_sample_of_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aggregates, "KEY_SAMPLE", 4_000)
    ids = [f"i{number}" for number in range(20_000)]
    frames = [t.ITEMS.conform(pl.DataFrame({t.ITEM_ID: part})) for part in (ids[:10_000], ids[8_000:16_000])]
    parts = [aggregate_part(t.ITEMS, frame, 2) for frame in frames]
    assert [len(part.key_hashes) for part in parts] == [2_000, 2_000]
    found = merge_aggregates(t.ITEMS, parts)["keys_in_several_parts"].item()
    sampled = len(np.union1d(*(part.key_hashes for part in parts)))
    assert 0.05 < found / sampled < 0.2  # 2,000 of 16,000 keys are shared
    apart = [aggregate_part(t.ITEMS, frame, 2) for frame in (frames[0].head(8_000), frames[1])]
    assert merge_aggregates(t.ITEMS, apart)["keys_in_several_parts"].item() == 0
