"""Who is in the population, who left, and when that can be known."""

from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everstay import tables as t
from everstay.errors import NotReady
from everstay.features.churn_labels import churn_labels
from everstay.settings import Churn
from tests.strategies import AS_OF, PROPERTY, event, event_rows, frame_of, is_known

CHURN = Churn(look_back_days=84, gap_days=7, horizon_days=28, allowed_lateness_days=2)
MATURED_AT = AS_OF + timedelta(days=37)
TICK = 1 / 86_400_000_000


def labels(*rows, known_at=MATURED_AT, churn=CHURN) -> dict[str, bool]:
    table = churn_labels(frame_of(list(rows)), AS_OF, churn, known_at)
    return dict(table.select(t.USER_ID, t.CHURNED).rows())


def reference(rows, known_at) -> dict[str, bool]:
    def buyers(moment, start, end):
        known = [row for row in rows if is_known(row, moment)]
        orders = {}
        for row in known:
            if row[t.ORDER_ID] and row[t.EVENT_TYPE] in (t.PURCHASE, t.RETURN):
                order = orders.setdefault((row[t.USER_ID], row[t.ORDER_ID]), {t.PURCHASE: [], t.RETURN: []})
                order[row[t.EVENT_TYPE]].append(row)
        gone = {key for key, order in orders.items() if is_gone(order[t.PURCHASE], order[t.RETURN])}
        return {
            row[t.USER_ID]
            for row in known
            if row[t.EVENT_TYPE] == t.PURCHASE
            and (row[t.USER_ID], row[t.ORDER_ID]) not in gone
            and start <= (row[t.OCCURRED_AT] - AS_OF) / timedelta(days=1) < end
        }

    stayed = buyers(known_at, 7, 35)
    return {user: user not in stayed for user in sorted(buyers(AS_OF, -84, 0))}


def is_gone(bought, returned) -> bool:
    bought_pieces, returned_pieces = (sum(row[t.QUANTITY] for row in rows) for rows in (bought, returned))
    paid, refunded = (sum(Decimal(str(row[t.AMOUNT])) for row in rows) for rows in (bought, returned))
    all_pieces, all_money = returned_pieces >= bought_pieces, refunded > 0 and refunded >= paid - Decimal("0.005")
    return bool(returned) and (all_pieces or all_money)


@PROPERTY
@given(rows=st.lists(event_rows(), max_size=40), days=st.integers(37, 60))
def test_equal_to_a_slow_reference(rows, days):
    known_at = AS_OF + timedelta(days=days)
    assert labels(*rows, known_at=known_at) == reference(rows, known_at)


def test_table_conforms_and_says_when_it_was_known():
    table = churn_labels(frame_of([event("u0", t.PURCHASE, -1)]), AS_OF, CHURN, MATURED_AT)
    assert table.schema == t.CHURN_LABELS.empty().schema
    assert table.row(0) == ("u0", AS_OF, True, None, 0, 28, MATURED_AT)


def test_who_came_back_did_so_on_a_day_and_on_so_many_days():
    orders = [event("u0", t.PURCHASE, days) for days in (-1, 3, 9.5, 9.75, 20, 40)]
    table = churn_labels(frame_of(orders), AS_OF, CHURN, MATURED_AT)
    assert table.select(t.CHURNED, t.RETURN_DAYS, t.ORDER_DAYS).row(0) == (False, 2, 2)


@pytest.mark.parametrize(
    ("days", "churned"),
    [(0, True), (7 - TICK, True), (7, False), (20, False), (35 - TICK, False), (35, True)],
)
def test_window_opens_after_the_gap_and_closes_before_its_end(days, churned):
    bought_before = event("u0", t.PURCHASE, -1)
    assert labels(bought_before, event("u0", t.PURCHASE, days)) == {"u0": churned}


@pytest.mark.parametrize(("days", "users"), [(-84 - TICK, {}), (-84, {"u0": True}), (-TICK, {"u0": True}), (0, {})])
def test_population_bought_within_the_look_back(days, users):
    assert labels(event("u0", t.PURCHASE, days)) == users


def test_looking_is_not_buying():
    assert labels(event("u0", t.VIEW, -1), event("u0", t.CART, -1)) == {}
    assert labels(event("u0", t.PURCHASE, -1), event("u0", t.VIEW, 10)) == {"u0": True}


def test_a_label_before_it_matured_is_not_ready():
    with pytest.raises(NotReady, match="churn labels of 2024-03-01"):
        labels(event("u0", t.PURCHASE, -1), known_at=MATURED_AT - timedelta(microseconds=1))


def test_an_order_wholly_returned_before_the_as_of_puts_nobody_in_the_population():
    bought = event("u0", t.PURCHASE, -9, order="a", quantity=2)
    assert labels(bought, event("u0", t.RETURN, -2, order="a", quantity=2)) == {}
    assert labels(bought, paid(event("u0", t.RETURN, -2, order="a", quantity=1), 5.0)) == {"u0": True}


def paid(row, amount):
    return {**row, t.AMOUNT: amount}


@pytest.mark.parametrize(
    ("amounts", "refund", "is_net"),
    [
        ((10.0, 10.0, 10.0), 30.0, False),
        ((10.0, 10.0, 10.0), 29.99, True),
        ((10.0, 10.0, 10.0), 10.0, True),
        ((0.1, 0.1, 0.1), 0.3, False),  # binary fractions add up to a little more
        ((3.3333, 3.3333, 3.3334), 9.995, False),
        ((3.3333, 3.3333, 3.3334), 9.9949, True),
        ((0.0, 0.0, 0.0), 0.0, True),
    ],
)
def test_a_refund_of_all_the_money_takes_an_order_back_whatever_its_pieces(amounts, refund, is_net):
    """In the population before the as-of, and in the label after it."""
    for days, users in ((-9, {"u0": True} if is_net else {}), (10, {"u0": not is_net})):
        lines = [paid(event("u0", t.PURCHASE, days, order="a"), amount) for amount in amounts]
        returned = paid(event("u0", t.RETURN, days + 2, order="a"), refund)
        before = [event("u0", t.PURCHASE, -20)] if days > 0 else []
        assert labels(*before, *lines, returned) == users


def test_a_refund_of_another_order_or_of_the_same_id_of_another_user_takes_nothing_back():
    lines = [event("u0", t.PURCHASE, -9, order="a") for _ in range(3)]
    for refund in (event("u0", t.RETURN, -2, order="b"), event("u1", t.RETURN, -2, order="a")):
        assert labels(*lines, paid(refund, 30.0)) == {"u0": True}


def test_a_return_recorded_after_the_as_of_leaves_the_population_as_it_was():
    bought = event("u0", t.PURCHASE, -9, order="a")
    assert labels(bought, event("u0", t.RETURN, -2, order="a", late_days=3)) == {"u0": True}
    assert labels(bought, event("u0", t.RETURN, 3, order="a")) == {"u0": True}


def test_a_return_cancels_the_purchase_that_would_have_meant_staying_once_it_is_known():
    rows = [event("u0", t.PURCHASE, -1), event("u0", t.PURCHASE, 10, order="b")]
    returned = event("u0", t.RETURN, 36, order="b", late_days=5)
    assert labels(*rows, returned) == {"u0": False}
    assert labels(*rows, returned, known_at=AS_OF + timedelta(days=60)) == {"u0": True}


def test_a_return_without_order_or_of_another_user_cancels_nothing():
    rows = [event("u0", t.PURCHASE, -1), event("u0", t.PURCHASE, 10, order="b")]
    assert labels(*rows, event("u0", t.RETURN, 11), event("u1", t.RETURN, 11, order="b")) == {"u0": False}
