"""Day tokens, purchase histories and next baskets against slow references in plain Python."""

from collections import defaultdict
from datetime import timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everstay import tables as t
from everstay.errors import NotReady
from everstay.features import sequences as s
from everstay.features.orders import net_purchases
from tests.strategies import AS_OF, PROPERTY, event, event_rows, frame_of, is_known

KNOWN_AT = AS_OF + timedelta(days=28)
LISTS = (
    s.TOKEN_TYPE, s.TOKEN_DAYS_AGO, s.TOKEN_COUNT, s.TOKEN_AMOUNT, s.TOKEN_ITEMS, s.TOKEN_DISCOUNT, s.TOKEN_HOUR,
)  # fmt: skip
HISTORY = (s.HISTORY_ITEM, s.HISTORY_ORDER, s.HISTORY_DAYS_AGO, s.HISTORY_PRICE, s.HISTORY_DISCOUNT)


def days_ago(moment) -> float:
    return (AS_OF - moment) / timedelta(days=1)


def net_orders(rows, moment) -> dict[str, list]:
    """Per user the orders that remain, as (first time, order id, items to pieces, paid and off), in order."""
    known = frame_of([row for row in rows if is_known(row, moment)])
    orders = defaultdict(list)
    for row in net_purchases(known).iter_rows(named=True):
        if row[t.ITEM_ID] is not None:
            orders[row[t.USER_ID], row[t.ORDER_ID] or row[t.OCCURRED_AT].date()].append(row)
    users = defaultdict(list)
    for (user, _), lines in orders.items():
        items = defaultdict(lambda: (0, 0.0, 0.0))
        for row in sorted(lines, key=lambda row: row[t.ITEM_ID]):
            line = (row[t.QUANTITY], row[t.AMOUNT], row[t.DISCOUNT])
            items[row[t.ITEM_ID]] = tuple(map(sum, zip(items[row[t.ITEM_ID]], line, strict=True)))
        users[user].append((min(row[t.OCCURRED_AT] for row in lines), lines[0][t.ORDER_ID] or "", dict(items)))
    return {user: sorted(found, key=lambda order: order[:2]) for user, found in sorted(users.items())}


@PROPERTY
@given(rows=st.lists(event_rows(), max_size=30), max_tokens=st.integers(1, 6))
def test_day_tokens_equal_a_slow_reference(rows, max_tokens):
    groups = defaultdict(list)
    for row in rows:
        if is_known(row, AS_OF):
            midnight = row[t.OCCURRED_AT].replace(hour=0, minute=0, second=0, microsecond=0)
            groups[row[t.USER_ID], midnight, row[t.EVENT_TYPE]].append(row)
    expected = defaultdict(list)
    for (user, midnight, kind), found in sorted(groups.items(), key=lambda group: group[0]):
        hours = [(row[t.OCCURRED_AT] - midnight) / timedelta(hours=1) for row in found]
        items = {row[t.ITEM_ID] for row in found} - {None}
        amount, discount = (sum(row[name] for row in found) for name in (t.AMOUNT, t.DISCOUNT))
        hour = sum(hours) / len(hours)
        expected[user].append((kind, days_ago(midnight), len(found), amount, len(items), discount, hour))
    table = s.day_tokens(frame_of(rows), AS_OF, max_tokens)
    assert table[t.USER_ID].to_list() == sorted(expected)
    for row in table.iter_rows(named=True):
        tokens = list(zip(*(row[name] for name in LISTS), strict=True))
        wanted = expected[row[t.USER_ID]][-max_tokens:]
        assert [token[0] for token in tokens] == [token[0] for token in wanted]
        assert [x for token in tokens for x in token[1:]] == pytest.approx([x for w in wanted for x in w[1:]], rel=1e-6)


@PROPERTY
@given(rows=st.lists(event_rows(), max_size=30))
def test_purchase_history_equals_a_slow_reference(rows):
    expected = net_orders(rows, AS_OF)
    table = s.purchase_history(frame_of(rows), AS_OF)
    assert table[t.USER_ID].to_list() == list(expected)
    for row in table.iter_rows(named=True):
        orders = expected[row[t.USER_ID]]
        wanted = [
            (
                item,
                len(orders) - 1 - place,
                days_ago(moment),
                (paid + off) / pieces if pieces else 0.0,
                off / ((paid + off) or 1),
            )
            for place, (moment, _, items) in enumerate(orders)
            for item, (pieces, paid, off) in items.items()
        ]
        entries = list(zip(*(row[name] for name in HISTORY), strict=True))
        assert [entry[:2] for entry in entries] == [w[:2] for w in wanted]
        assert [x for entry in entries for x in entry[2:]] == pytest.approx(
            [x for w in wanted for x in w[2:]], rel=1e-6
        )


@PROPERTY
@given(rows=st.lists(event_rows(), max_size=40))
def test_next_basket_equals_a_slow_reference(rows):
    expected = {}
    for user, orders in net_orders(rows, KNOWN_AT).items():
        later = [order for order in orders if AS_OF <= order[0] < KNOWN_AT]
        if later:
            expected[user] = list(later[0][2])
    table = s.next_basket(frame_of(rows), AS_OF, 28, KNOWN_AT)
    assert dict(table.select(t.USER_ID, s.TARGET_ITEM).rows()) == expected


def test_next_basket_is_the_first_order_alone_and_from_the_as_of_on():
    rows = [event("u0", t.PURCHASE, -1, order="a", item="i1"), event("u0", t.PURCHASE, 0, order="b", item="i3")]
    rows += [event("u0", t.PURCHASE, 0, order="b", item="i2"), event("u0", t.PURCHASE, 1, order="c", item="i4")]
    rows += [event("u1", t.PURCHASE, 28, order="d")]
    table = s.next_basket(frame_of(rows), AS_OF, 28, AS_OF + timedelta(days=60))
    assert table.rows() == [("u0", AS_OF, ["i2", "i3"])]


def test_next_basket_skips_an_order_that_came_back():
    rows = [event("u0", t.PURCHASE, 1, order="a", item="i1"), event("u0", t.RETURN, 2, order="a", item="i1")]
    rows += [event("u0", t.PURCHASE, 5, order="b", item="i2")]
    assert s.next_basket(frame_of(rows), AS_OF, 28, KNOWN_AT)[s.TARGET_ITEM].to_list() == [["i2"]]


def test_next_basket_before_its_horizon_passed_is_not_ready():
    with pytest.raises(NotReady, match="next baskets of 2024-03-01"):
        s.next_basket(frame_of([]), AS_OF, 28, KNOWN_AT - timedelta(seconds=1))


def test_types_are_those_promised():
    rows = [event("u0", t.PURCHASE, -1)]
    floats, words = pl.List(pl.Float32), pl.List(pl.String)
    assert s.day_tokens(frame_of(rows), AS_OF, 5).dtypes[2:] == [words, *[floats] * 6]
    assert s.purchase_history(frame_of(rows), AS_OF).dtypes[2:] == [words, floats, pl.List(pl.UInt32), floats, floats]


def test_yesterday_is_one_day_ago():
    assert s.day_tokens(frame_of([event("u0", t.VIEW, -0.1)]), AS_OF, 5)[s.TOKEN_DAYS_AGO].to_list() == [[1.0]]
