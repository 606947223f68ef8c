"""Every feature against a slow reference in plain Python, and the declarations against what is computed."""

import math
import re
from datetime import UTC, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everstay import tables as t
from everstay.features.activity import FEATURES, activity_features, activity_slices
from everstay.features.catalogue import value_range
from tests.features.reference import reference
from tests.strategies import AS_OF, ITEMS, PROPERTY, event, event_rows, frame_of, is_known, purchase_lines


@PROPERTY
@given(rows=st.lists(event_rows(), max_size=40) | purchase_lines())
def test_equal_to_a_slow_reference(rows):
    known = [row for row in rows if is_known(row, AS_OF)]
    table = activity_features(frame_of(rows), ITEMS, AS_OF)
    assert table[t.USER_ID].to_list() == sorted({row[t.USER_ID] for row in known})
    for computed in table.iter_rows(named=True):
        expected = reference(computed[t.USER_ID], known)
        assert computed[t.AS_OF] == AS_OF
        assert set(expected) == {feature.name for feature in FEATURES}
        assert {name for name in expected if computed[name] is None} == {
            name for name, value in expected.items() if value is None
        }
        numbers = {name: value for name, value in expected.items() if value is not None}
        assert {name: computed[name] for name in numbers} == pytest.approx(numbers, rel=1e-9, abs=1e-9)


def test_every_declared_feature_is_a_column_in_order_and_none_is_nan():
    table = activity_features(frame_of([event("u0", t.PURCHASE, -1), event("u1", t.VIEW, -1)]), ITEMS, AS_OF)
    names = [feature.name for feature in FEATURES]
    assert table.columns == [t.USER_ID, t.AS_OF, *names]
    assert set(table.dtypes[2:]) == {pl.Float64}
    assert all(math.isfinite(value) for value in table.select(names).to_numpy().ravel() if not math.isnan(value))
    assert table.select(pl.col(names).is_nan().any()).row(0).count(True) == 0
    assert len(set(names)) == len(names)


def test_window_in_the_name_is_the_window_declared():
    for feature in FEATURES:
        if re.search(r"_\d+d$", feature.name) and feature.window_days is not None:
            factor = 2 if "trend" in feature.name else 1
            assert feature.window_days == factor * int(feature.name.rsplit("_", 1)[1][:-1])


@pytest.mark.parametrize("days", [7, 28, 84, 364])
def test_a_window_begins_with_its_first_microsecond_and_ends_before_the_as_of(days):
    tick = 1 / 86_400_000_000
    rows = [event("first", t.PURCHASE, -days), event("late", t.PURCHASE, -days - tick), event("now", t.PURCHASE, 0)]
    table = activity_features(frame_of([*rows, event("now", t.VIEW, -tick)]), ITEMS, AS_OF)
    assert table.select(t.USER_ID, f"orders_{days}d").rows() == [("first", 1.0), ("late", 0.0), ("now", 0.0)]


def test_money_is_summed_without_rounding_errors():
    rows = [event("u0", t.PURCHASE, -day, order=str(day)) | {t.AMOUNT: 0.1} for day in range(1, 4)]
    assert activity_features(frame_of(rows), ITEMS, AS_OF)["spend_7d"].to_list() == [0.3]


def test_large_money_is_exact_and_within_the_declared_ranges():
    """A thousand orders of fifty million (rupiah, dong), and one of the most that ingestion lets pass."""
    rows = [event("u0", t.PURCHASE, -1 - day / 1_000, order=str(day)) | {t.AMOUNT: 5e7} for day in range(1_000)]
    (computed,) = activity_features(
        frame_of([*rows, event("u0", t.PURCHASE, -3, order="house") | {t.AMOUNT: 1e11}]), ITEMS, AS_OF
    ).iter_rows(named=True)
    assert computed["spend_7d"] == computed["spend_364d"] == 1.5e11
    for feature in FEATURES:
        low, high, words = value_range(feature)
        value = computed[feature.name]
        assert value is None or low <= value <= high, f"{feature.name} is {value}, not {words}"


def test_an_order_grows_and_may_become_older_as_its_lines_are_recorded():
    lines = [event("u0", t.PURCHASE, -20, order="a"), event("u0", t.PURCHASE, -21, order="a", late_days=5)]
    events = frame_of([*lines, event("u0", t.PURCHASE, -20.5, order="b"), event("u0", t.PURCHASE, -5, order="a")])
    as_ofs = [AS_OF - timedelta(days=days) for days in (18, 10, 0)]
    names = ("orders_28d", "spend_28d", "items_28d", "discount_28d", "recency_days", "gap_mean_days")
    table = activity_slices(events, ITEMS, as_ofs, [feature for feature in FEATURES if feature.name in names])
    expected = [(2, 20, 2, 2, 2, 1), (2, 30, 3, 3, 10.5, None), (2, 40, 4, 4, 20.5, None)]
    assert table.select(names).rows() == expected


def test_lines_of_an_order_are_one_order_and_without_id_a_day_is():
    rows = [event("u0", t.PURCHASE, -2, order="a", item="i0"), event("u0", t.PURCHASE, -2, order="a", item="i2")]
    rows += [event("u0", t.PURCHASE, -2.5), event("u0", t.PURCHASE, -2.2), event("u0", t.PURCHASE, -1)]
    table = activity_features(frame_of(rows), ITEMS, AS_OF.astimezone(UTC))
    assert table.select("orders_7d", "items_7d", "distinct_items_7d", "distinct_categories_7d").row(0) == (3, 5, 2, 2)


def test_the_trend_of_the_basket_compares_the_mean_order_whatever_their_numbers():
    paid = {-3: 30.0, -10: 10.0, -20: 20.0, -40: 8.0, -50: 4.0}  # means of 20 and 6, of three orders and two
    rows = [event("u0", t.PURCHASE, day, order=str(day)) | {t.AMOUNT: amount} for day, amount in paid.items()]
    assert activity_features(frame_of(rows), ITEMS, AS_OF)["basket_trend_28d"].to_list() == [14 / 26]
