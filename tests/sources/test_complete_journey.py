"""The Complete Journey as canonical tables: nothing lost but the lines that are no purchase."""

import pickle
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import polars as pl
import pytest

from everstay import tables as t
from everstay.settings import Source
from everstay.sources import open_source
from everstay.sources.complete_journey import CompleteJourney, PurchaseChunk, RedemptionChunk
from everstay.sources.contract import STAGED


@pytest.fixture(scope="module")
def purchases() -> pl.DataFrame:
    chunks = [chunk for chunk in CompleteJourney().event_chunks() if isinstance(chunk, PurchaseChunk)]
    return pl.concat(frame for chunk in chunks for frame in chunk.read())


@pytest.fixture(scope="module")
def redemptions() -> pl.DataFrame:
    return pl.concat(RedemptionChunk().read())


def test_it_is_the_default_source() -> None:
    assert isinstance(open_source(Source()), CompleteJourney)


def test_chunks_cover_every_line_once_and_travel_to_workers() -> None:
    chunks = CompleteJourney().event_chunks()
    ranges = [(chunk.first, chunk.rows) for chunk in chunks if isinstance(chunk, PurchaseChunk)]
    assert len(ranges) > 2
    assert all(first + rows == following for (first, rows), (following, _) in pairwise(ranges))
    assert sum(ranges[-1]) >= 1_469_307 > ranges[-1][0]
    assert pickle.loads(pickle.dumps(chunks)) == chunks  # noqa: S301  what a Dask worker does


def test_purchases_are_all_lines_with_a_piece(purchases: pl.DataFrame) -> None:
    assert purchases.schema == pl.Schema(STAGED)
    assert purchases.height == 1_469_307 - 8_869
    assert purchases[t.EVENT_ID].is_unique().all()
    assert purchases[t.SOURCE_ROW].is_unique().all()
    assert purchases[t.USER_ID].n_unique() == 2_469
    assert purchases[t.EVENT_TYPE].unique().to_list() == [t.PURCHASE]
    assert purchases[t.PROBLEM].null_count() == purchases.height
    assert purchases.select(pl.col(*t.EVENTS.required).null_count()).sum_horizontal().item() == 0


def test_the_first_line_is_as_in_the_data(purchases: pl.DataFrame) -> None:
    first = purchases.row(0, named=True)
    assert first[t.EVENT_ID] == "purchase-31198570044-1095275"
    assert (first[t.USER_ID], first[t.ITEM_ID], first[t.ORDER_ID]) == ("900", "1095275", "31198570044")
    assert first[t.OCCURRED_AT] == first[t.RECORDED_AT] == datetime(2017, 1, 1, 11, 53, 26, tzinfo=UTC)
    assert (first[t.QUANTITY], first[t.AMOUNT], first[t.DISCOUNT]) == (1, 0.5, 0.0)


def test_money_and_pieces_are_plausible(purchases: pl.DataFrame) -> None:
    assert purchases[t.AMOUNT].sum() == pytest.approx(4_596_039.58 - 12.52)
    assert purchases[t.AMOUNT].min() >= 0
    assert purchases[t.DISCOUNT].min() >= 0
    assert purchases[t.QUANTITY].is_between(1, 150).all()  # fuel would be 10,000 "pieces"


def test_the_reference_population_of_churn_is_unchanged(purchases: pl.DataFrame) -> None:
    as_of = datetime(2017, 12, 2, tzinfo=UTC)
    time = pl.col(t.OCCURRED_AT)
    active = purchases.filter((time >= as_of - timedelta(days=84)) & (time < as_of))[t.USER_ID].unique()
    stayed = purchases.filter((time >= as_of) & (time < as_of + timedelta(days=28)))[t.USER_ID].unique()
    assert len(active) == 2_308
    assert 1 - active.is_in(stayed.implode()).mean() == pytest.approx(0.145, abs=5e-4)


def test_a_redemption_happens_at_a_purchase_of_its_household(
    redemptions: pl.DataFrame, purchases: pl.DataFrame
) -> None:
    assert redemptions.height == 2_102
    assert redemptions[t.EVENT_ID].is_unique().all()
    assert redemptions.select(t.QUANTITY, t.AMOUNT, t.DISCOUNT).sum().row(0) == (0, 0.0, 0.0)
    assert redemptions.select(pl.col(*t.EVENTS.required, t.CAMPAIGN_ID).null_count()).sum_horizontal().item() == 0
    baskets = purchases.select(t.USER_ID, t.OCCURRED_AT).unique()
    matched = redemptions.join(baskets, on=[t.USER_ID, t.OCCURRED_AT], how="semi")
    assert matched.height > 0.99 * 2_102  # a last basket may hold nothing but lines without a piece


def test_tables_conform_and_their_keys_are_unique() -> None:
    source = CompleteJourney()
    for table, frame, rows in (
        (t.ITEMS, source.items(), 92_331),
        (t.USERS, source.users(), 2_469),
        (t.TREATMENTS, source.treatments(), 6_589),
    ):
        assert frame.schema == pl.Schema(table.columns)
        assert frame.height == rows
        assert frame.select(table.key).is_unique().all()
        assert frame.select(pl.col(*table.required).null_count()).sum_horizontal().item() == 0


def test_items_have_a_category_and_a_title() -> None:
    items = CompleteJourney().items()
    ice = items.row(by_predicate=pl.col(t.ITEM_ID) == "25671", named=True)
    assert ice[t.TITLE] == "ICE - CRUSHED/CUBED, 22 LB"
    assert (ice[t.CATEGORY], ice[t.SUBCATEGORY], ice[t.BRAND]) == ("FRZN ICE", "ICE - CRUSHED/CUBED", "National")
    assert items.select(pl.col(t.CATEGORY, t.TITLE).null_count()).row(0) == (0, 0)


def test_declared_attributes_belong_to_their_household() -> None:
    users = CompleteJourney().users()
    first = users.row(by_predicate=pl.col(t.USER_ID) == "1", named=True)
    assert (first[t.AGE_BAND], first[t.INCOME_BAND], first[t.HOUSEHOLD_SIZE]) == ("65+", "35-49K", "2")
    assert users[t.AGE_BAND].count() == 801


def test_campaigns_start_at_midnight_in_the_shop() -> None:
    first = CompleteJourney().treatments().row(0, named=True)
    assert (first[t.CAMPAIGN_ID], first[t.USER_ID], first[t.ARM]) == ("1", "105", "Type B")
    assert first[t.ASSIGNED_AT] == datetime(2017, 3, 3, 5, tzinfo=UTC)
