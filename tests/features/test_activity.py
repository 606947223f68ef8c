"""Every feature against a slow reference in plain Python, and the declarations against what is computed."""

import math
import statistics
from collections import defaultdict
from datetime import UTC, timedelta
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everstay import tables as t
from everstay.features.activity import FEATURES, activity_features
from tests.strategies import AS_OF, ITEMS, PROPERTY, event, event_rows, frame_of, is_known

CATEGORY = {item: category for item, category in ITEMS.select(t.ITEM_ID, t.CATEGORY).rows() if category}
WORDS = {
    "views": t.VIEW,
    "clicks": t.CLICK,
    "searches": t.SEARCH,
    "carts": t.CART,
    "coupons": t.COUPON_REDEEMED,
    "returns": t.RETURN,
    "messages_opened": t.MESSAGE_OPENED,
    "purchases": t.PURCHASE,
}


def reference(rows: list[dict]) -> dict[str, float | None]:
    """All features of one user from the known events, one after the other."""
    lines = [row for row in rows if row[t.EVENT_TYPE] == t.PURCHASE]
    own = [row for row in rows if row[t.EVENT_TYPE] != t.MESSAGE_SENT]
    orders = defaultdict(list)
    for row in lines:
        orders[row[t.ORDER_ID] or row[t.OCCURRED_AT].date()].append(row)
    placed = [(min(row[t.OCCURRED_AT] for row in order), order) for order in orders.values()]
    days = sorted({moment.date() for moment, _ in placed})
    gaps = [(later - earlier).days for earlier, later in pairwise(days)]
    last_order = [max((moment for moment, _ in placed), default=None)]
    values: dict[str, float | None] = {
        "recency_days": since(last_order),
        "tenure_days": since([min(row[t.OCCURRED_AT] for row in rows)]),
        "inactive_days": since([max((row[t.OCCURRED_AT] for row in own), default=None)]),
        "gap_mean_days": statistics.mean(gaps) if gaps else None,
        "gap_median_days": statistics.median(gaps) if gaps else None,
        "gap_std_days": statistics.stdev(gaps) if len(gaps) > 1 else None,
        "gap_last_days": gaps[-1] if gaps else None,
        "gap_max_days": max(gaps, default=None),
    }
    for name in ("mean", "median"):
        gap = values[f"gap_{name}_days"]
        values[f"recency_to_{name}_gap"] = values["recency_days"] / gap if gap else None
    for window in (7, 28, 84, 364):
        values |= window_reference(rows, placed, window)
    for window in (28, 84):
        now, both = (window_reference(rows, placed, size) for size in (window, 2 * window))
        for name in ("orders", "spend"):
            recent, all_ = now[f"{name}_{window}d"], both[f"{name}_{2 * window}d"]
            values[f"{name}_trend_{window}d"] = (2 * recent - all_) / all_ if all_ else None
    habit = [moment for moment, _ in placed if is_inside(moment, 364)]
    values["weekend_share_364d"] = sum(moment.weekday() >= 5 for moment in habit) / len(habit) if habit else None
    values["hour_mean_364d"] = statistics.mean(map(hour, habit)) if habit else None
    for word, kind in WORDS.items():
        moments = [row[t.OCCURRED_AT] for row in rows if row[t.EVENT_TYPE] == kind]
        values[f"{word}_recency_days"] = since([max(moments, default=None)])
    return values


def window_reference(rows: list[dict], placed: list, window: int) -> dict[str, float | None]:
    """The features of one window; money is in orders, which lie where their first line is."""
    inside = [row for row in rows if is_inside(row[t.OCCURRED_AT], window)]
    bought = {row[t.ITEM_ID] for row in inside if row[t.EVENT_TYPE] == t.PURCHASE} - {None}
    orders = [order for moment, order in placed if is_inside(moment, window)]
    spend, discount, pieces = (
        sum(row[column] for order in orders for row in order) for column in (t.AMOUNT, t.DISCOUNT, t.QUANTITY)
    )
    values = {
        "orders": len(orders),
        "spend": spend,
        "items": pieces,
        "distinct_items": len(bought),
        "distinct_items_seen": len({row[t.ITEM_ID] for row in inside} - {None}),
        "distinct_categories": len({CATEGORY[item] for item in bought if item in CATEGORY}),
        "active_days": len({row[t.OCCURRED_AT].date() for row in inside if row[t.EVENT_TYPE] != t.MESSAGE_SENT}),
        "discount": discount,
        "discount_share": discount / (spend + discount) if spend + discount else None,
        "basket": spend / len(orders) if orders else None,
    }
    values |= {word: sum(row[t.EVENT_TYPE] == kind for row in inside) for word, kind in WORDS.items()}
    return {f"{name}_{window}d": value for name, value in values.items()}


def is_inside(moment, days: int) -> bool:
    return AS_OF - timedelta(days=days) <= moment < AS_OF


def since(moments: list) -> float | None:
    return None if moments[0] is None else (AS_OF - moments[0]) / timedelta(days=1)


def hour(moment) -> float:
    return (moment - moment.replace(hour=0, minute=0, second=0, microsecond=0)) / timedelta(hours=1)


@PROPERTY
@given(rows=st.lists(event_rows(), max_size=40))
def test_equal_to_a_slow_reference(rows):
    known = [row for row in rows if is_known(row, AS_OF)]
    table = activity_features(frame_of(rows), ITEMS, AS_OF)
    assert table[t.USER_ID].to_list() == sorted({row[t.USER_ID] for row in known})
    for computed in table.iter_rows(named=True):
        expected = reference([row for row in known if row[t.USER_ID] == computed[t.USER_ID]])
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
        if feature.name.endswith("d") and feature.window_days is not None:
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


def test_lines_of_an_order_are_one_order_and_without_id_a_day_is():
    rows = [event("u0", t.PURCHASE, -2, order="a", item="i0"), event("u0", t.PURCHASE, -2, order="a", item="i2")]
    rows += [event("u0", t.PURCHASE, -2.5), event("u0", t.PURCHASE, -2.2), event("u0", t.PURCHASE, -1)]
    table = activity_features(frame_of(rows), ITEMS, AS_OF.astimezone(UTC))
    assert table.select("orders_7d", "items_7d", "distinct_items_7d", "distinct_categories_7d").row(0) == (3, 5, 2, 2)
