"""What a row means: returns, amounts from a unit price, and rows of nobody known."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from everstay import tables as t
from everstay.settings import FilesSource
from tests.sources.reading import read_files, refusal_of

INVOICES = (
    "InvoiceNo,StockCode,Quantity,InvoiceDate,UnitPrice,CustomerID\n"
    "536365,85123A,6,2010-12-01 08:26,2.55,17850\n"
    "536366,22632,2,2010-12-01 09:00,0.35,\n"
    "C536379,D,-1,2010-12-01 09:41,27.50,14527\n"
    "536380,21777,-10,2010-12-01 10:00,0,\n"
)
COLUMNS = {
    t.ORDER_ID: "InvoiceNo", t.ITEM_ID: "StockCode", t.QUANTITY: "Quantity", t.OCCURRED_AT: "InvoiceDate",
    t.USER_ID: "CustomerID",
}  # fmt: skip
INVOICE_SETTINGS = {
    "columns": COLUMNS, "default_event_type": t.PURCHASE, "unit_price": "UnitPrice", "negative_quantity": "return",
    "cancelled_order_prefix": "C", "without_user": "keep",
}  # fmt: skip


def settings_of(folder: Path, content: str = INVOICES, **others: Any) -> FilesSource:
    path = folder / "invoices.csv"
    path.write_text(content)
    return FilesSource(**{"events": str(path), **INVOICE_SETTINGS, **others})


def test_an_invoice_table_becomes_purchases_returns_and_events_of_nobody(tmp_path: Path) -> None:
    events = read_files(settings_of(tmp_path))
    assert events[t.EVENT_TYPE].to_list() == [t.PURCHASE, t.PURCHASE, t.RETURN, t.RETURN]
    assert events[t.QUANTITY].to_list() == [6, 2, 1, 10]
    assert events[t.AMOUNT].to_list() == [15.3, 0.7, 27.5, 0.0]
    assert events[t.USER_ID].to_list() == ["17850", "anonymous:536366", "14527", "anonymous:536380"]
    assert events.filter(t.is_anonymous()).height == 2
    assert events[t.PROBLEM].null_count() == 4


def test_without_these_settings_the_rows_are_kept_for_the_lake_to_refuse(tmp_path: Path) -> None:
    plain = {"negative_quantity": "refuse", "cancelled_order_prefix": "", "without_user": "refuse"}
    events = read_files(settings_of(tmp_path, **plain))
    assert events[t.EVENT_TYPE].unique().to_list() == [t.PURCHASE]
    assert events[t.QUANTITY].to_list() == [6, 2, -1, -10]
    assert events[t.USER_ID].to_list() == ["17850", None, "14527", None]


def test_a_cancelled_order_of_positive_pieces_is_a_return_too(tmp_path: Path) -> None:
    content = INVOICES.replace("D,-1,", "D,1,")
    assert read_files(settings_of(tmp_path, content, negative_quantity="refuse"))[t.EVENT_TYPE].to_list() == [
        t.PURCHASE, t.PURCHASE, t.RETURN, t.PURCHASE,
    ]  # fmt: skip


def test_negative_amounts_and_discounts_of_returns_become_positive(tmp_path: Path) -> None:
    content = "user_id,occurred_at,event_type,quantity,amount,discount\na,2024-05-01,return,-2,-5.5,-1\n"
    settings = settings_of(
        tmp_path, content, columns={}, default_event_type="", unit_price="", cancelled_order_prefix=""
    )
    event = read_files(settings).row(0, named=True)
    assert (event[t.EVENT_TYPE], event[t.QUANTITY], event[t.AMOUNT], event[t.DISCOUNT]) == (t.RETURN, 2, 5.5, 1.0)


def test_a_price_below_zero_is_not_made_right(tmp_path: Path) -> None:
    content = INVOICES.replace("2.55", "-11062.06")
    assert read_files(settings_of(tmp_path, content))[t.AMOUNT][0] == -66_372.36


def test_a_price_that_is_none_is_told(tmp_path: Path) -> None:
    bad = read_files(settings_of(tmp_path, INVOICES.replace("2.55", "cheap"))).row(0, named=True)
    assert bad[t.PROBLEM] == "price: 'cheap' is not a number"
    assert bad[t.AMOUNT] is None


WEIGHED = (
    "InvoiceNo,StockCode,Quantity,InvoiceDate,UnitPrice,CustomerID\n"
    "1,HAM,0.75,2010-12-01 08:26,20,ann\n1,MILK,2,2010-12-01 08:26,1.5,ann\n1,EGG,2.0,2010-12-01 08:26,1.5,ann\n"
    "C2,HAM,-1.25,2010-12-02 08:26,20,ann\n3,HAM,-0.5,2010-12-02 08:26,20,ann\n4,HAM,3e9,2010-12-02 08:26,20,ann\n"
    "5,HAM,some,2010-12-02 08:26,20,ann\n6,HAM,,2010-12-02 08:26,20,ann\n"
)


def test_goods_by_weight_may_be_one_piece_paid_by_the_weight(tmp_path: Path) -> None:
    events = read_files(settings_of(tmp_path, WEIGHED, fractional_quantity="one_piece"))
    assert events.schema[t.QUANTITY] == t.EVENTS.columns[t.QUANTITY]
    assert events[t.EVENT_TYPE].to_list()[:5] == [t.PURCHASE, t.PURCHASE, t.PURCHASE, t.RETURN, t.RETURN]
    assert events[t.QUANTITY].to_list() == [1, 2, 2, 1, 1, None, None, None]
    assert events[t.AMOUNT].to_list() == [15.0, 3.0, 3.0, 25.0, 10.0, None, None, None]
    told = ["quantity: '3e9' is not a number of pieces", "quantity: 'some' is not a number of pieces", None]
    assert events[t.PROBLEM].to_list() == [None] * 5 + told


def test_a_negative_weight_is_minus_one_piece_where_that_is_no_return(tmp_path: Path) -> None:
    others = {"negative_quantity": "refuse", "cancelled_order_prefix": ""}
    events = read_files(settings_of(tmp_path, WEIGHED, fractional_quantity="one_piece", **others))
    assert events[t.QUANTITY].to_list()[:5] == [1, 2, 2, -1, -1]


def test_goods_by_weight_are_otherwise_refused_with_the_setting_s_name(tmp_path: Path) -> None:
    events = read_files(settings_of(tmp_path, WEIGHED))
    hint = "is not a whole number up to a million; for goods by weight, set fractional_quantity to one_piece"
    assert events[t.PROBLEM][0] == f"quantity: '0.75' {hint}"
    assert events[t.QUANTITY].to_list()[:3] == [None, 2, 2]


def test_an_amount_of_the_shop_s_own_is_kept_whatever_the_weight(tmp_path: Path) -> None:
    content = "user_id,occurred_at,event_type,quantity,amount\na,2024-05-01,purchase,0.3,5.5\na,2024-05-01,view,,\n"
    path = tmp_path / "events.csv"
    path.write_text(content)
    events = read_files(FilesSource(events=str(path), fractional_quantity="one_piece"))
    assert events.select(t.QUANTITY, t.AMOUNT).rows() == [(1, 5.5), (0, 0.0)]


@pytest.mark.parametrize("fractional_quantity", ["refuse", "one_piece"])
def test_whole_quantities_are_the_same_events_either_way(tmp_path: Path, fractional_quantity: str) -> None:
    plain = read_files(settings_of(tmp_path))
    assert read_files(settings_of(tmp_path, fractional_quantity=fractional_quantity)).equals(plain)


def test_a_view_with_a_price_costs_nothing(tmp_path: Path) -> None:
    rows = "".join(f"a,2024-05-01,{kind},9.5\n" for kind in (t.VIEW, t.CART, t.PURCHASE))
    settings = FilesSource(events=str(tmp_path / "events.csv"), unit_price="price")
    Path(settings.events).write_text("user_id,occurred_at,event_type,price\n" + rows)
    assert read_files(settings)[t.AMOUNT].to_list() == [0.0, 0.0, 9.5]


def test_rows_of_nobody_are_told_apart_by_order_then_visit_then_content(tmp_path: Path) -> None:
    content = (
        "user_id,occurred_at,event_type,order_id,session_id,item_id\n"
        ",2024-05-01,purchase,7,s1,A\n,2024-05-01,purchase,7,s2,B\n,2024-05-01,view,,s1,A\n,2024-05-01,view,,,A\n,2024-05-01,view,,,B\n"
    )
    settings = FilesSource(events=str(tmp_path / "events.csv"), without_user="keep")
    Path(settings.events).write_text(content)
    users = read_files(settings)[t.USER_ID].to_list()
    assert users[:3] == ["anonymous:7", "anonymous:7", "anonymous:s1"]
    assert len({*users}) == 4
    assert users == read_files(settings)[t.USER_ID].to_list()


def test_the_null_of_databases_is_no_user_and_no_order(tmp_path: Path) -> None:
    content = (
        "user_id,occurred_at,event_type,order_id,session_id,quantity\n"
        "\\N,2024-05-01,purchase,7,s1,1\n\\N,2024-05-01,view,\\N,s1,\\N\nann,2024-05-01,purchase,\\N,\\N,1\n"
    )
    settings = FilesSource(events=str(tmp_path / "events.csv"), without_user="keep")
    Path(settings.events).write_text(content)
    assert read_files(settings).select(t.USER_ID, t.ORDER_ID, t.SESSION_ID, t.QUANTITY, t.PROBLEM).rows() == [
        ("anonymous:7", "7", "s1", 1, None), ("anonymous:s1", None, "s1", 0, None), ("ann", None, None, 1, None),
    ]  # fmt: skip


def test_a_user_called_anonymous_is_refused(tmp_path: Path) -> None:
    events = read_files(settings_of(tmp_path, INVOICES.replace("17850", "anonymous:1")))
    assert (
        events[t.PROBLEM][0] == "user_id: begins with 'anonymous:', which is reserved for anonymous events: rename it"
    )
    assert events[t.PROBLEM].null_count() == 3


@pytest.mark.parametrize(
    ("others", "words"),
    [
        ({"unit_price": "Price"}, "no column 'Price' for unit_price; it has InvoiceNo"),
        ({"columns": {**COLUMNS, t.AMOUNT: "UnitPrice"}}, "both columns.amount and unit_price"),
        ({"columns": {t.USER_ID: "CustomerID", t.OCCURRED_AT: "InvoiceDate"}}, "no column 'order_id' for order_id"),
    ],
)
def test_settings_that_do_not_fit_the_table(tmp_path: Path, others: dict[str, Any], words: str) -> None:
    assert words in refusal_of(settings_of(tmp_path, **others))


def test_ids_that_a_database_gives_as_decimals_are_whole(tmp_path: Path) -> None:
    path = tmp_path / "events.parquet"
    rows = pl.DataFrame({t.USER_ID: pl.Series(["17", "18.5"]).cast(pl.Decimal(20, 10)), t.OCCURRED_AT: "2024-05-01"})
    rows.write_parquet(path)
    assert read_files(FilesSource(events=str(path), default_event_type=t.VIEW))[t.USER_ID].to_list() == [
        "17", "18.5000000000",
    ]  # fmt: skip
