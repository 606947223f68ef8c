"""The store twin as a source: seeded, independent of size and chunks, and true to the tables."""

import pickle
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from everstay import tables as t
from everstay.errors import SourceError
from everstay.settings import StoreTwinSource
from everstay.sources.contract import STAGED
from everstay.sources.store_twin import StoreTwin, write_parquet
from everstay.sources.store_twin.truth import LEFT_AT
from everstay.sources.store_twin.users import CLOCK_START, COUPON_ARM

SETTINGS = StoreTwinSource(users=510, items=60, days=150, seed=3)


def read(settings: StoreTwinSource) -> pl.DataFrame:
    return pl.concat([frame for chunk in StoreTwin(settings).event_chunks() for frame in chunk.read()])


@pytest.fixture(scope="module")
def events() -> pl.DataFrame:
    return read(SETTINGS)


@pytest.fixture(scope="module")
def purchases(events: pl.DataFrame) -> pl.DataFrame:
    return events.filter(pl.col(t.EVENT_TYPE) == t.PURCHASE)


def test_same_seed_gives_the_same_shop_and_another_seed_another(events: pl.DataFrame) -> None:
    assert_frame_equal(read(SETTINGS), events)
    other = read(SETTINGS.model_copy(update={"seed": 4}))
    assert other.drop(t.SOURCE_ROW).join(events, on=[t.USER_ID, t.OCCURRED_AT, t.EVENT_TYPE]).is_empty()


@pytest.mark.parametrize("users", [1, 250, 251])
def test_a_smaller_shop_is_the_beginning_of_a_larger_one(events: pl.DataFrame, users: int) -> None:
    smaller = SETTINGS.model_copy(update={"users": users})
    ids = StoreTwin(smaller).users()[t.USER_ID]
    assert len(ids) == users
    expected = events.filter(pl.col(t.USER_ID).is_in(ids.implode()))
    assert_frame_equal(read(smaller), expected)
    for whole, part in (
        (StoreTwin(SETTINGS).users(), StoreTwin(smaller).users()),
        (StoreTwin(SETTINGS).treatments(), StoreTwin(smaller).treatments()),
        (StoreTwin(SETTINGS).truth().users(), StoreTwin(smaller).truth().users()),
    ):
        assert_frame_equal(whole.filter(pl.col(t.USER_ID).is_in(ids.implode())), part)


def test_chunks_are_read_alone_in_any_order_after_pickling(events: pl.DataFrame) -> None:
    chunks = StoreTwin(SETTINGS).event_chunks()
    assert len(chunks) == 3
    frames = [pl.concat(pickle.loads(pickle.dumps(chunk)).read()) for chunk in reversed(chunks)]  # noqa: S301 our own bytes
    assert_frame_equal(pl.concat(reversed(frames)), events)
    assert [frame[t.SOURCE_FILE][0] for frame in frames] == [chunk.origin for chunk in reversed(chunks)]


def test_events_conform(events: pl.DataFrame) -> None:
    assert events.schema == pl.Schema(STAGED)
    assert events[t.PROBLEM].null_count() == events.height
    assert events[t.EVENT_ID].is_unique().all()
    assert events.select(sorted(t.EVENTS.required)).null_count().sum_horizontal().item() == 0
    assert set(events[t.EVENT_TYPE]) == set(t.EVENT_TYPES)
    assert events.select(pl.col(t.QUANTITY, t.AMOUNT, t.DISCOUNT).min()).row(0) == (0, 0.0, 0.0)
    assert events[t.SOURCE_ROW].min() == 1


def test_entities_conform_and_cover_the_events(events: pl.DataFrame) -> None:
    twin = StoreTwin(SETTINGS)
    items, users, treatments = twin.items(), twin.users(), twin.treatments()
    for table, frame in ((t.ITEMS, items), (t.USERS, users), (t.TREATMENTS, treatments)):
        assert frame.schema == table.empty().schema
        assert not frame.select(table.key).is_duplicated().any()
    assert (items.height, users.height) == (SETTINGS.items, SETTINGS.users)
    assert set(events[t.ITEM_ID].drop_nulls()) <= set(items[t.ITEM_ID])
    assert set(events[t.USER_ID]) < set(users[t.USER_ID])  # some never did anything
    assert set(events[t.CAMPAIGN_ID].drop_nulls()) <= set(treatments[t.CAMPAIGN_ID])


def test_times_lie_in_the_clock_and_some_are_known_hours_later(events: pl.DataFrame) -> None:
    end = CLOCK_START + timedelta(days=SETTINGS.days)
    assert events[t.OCCURRED_AT].is_between(CLOCK_START, end, closed="left").all()
    late = events[t.RECORDED_AT] - events[t.OCCURRED_AT]
    assert late.min() >= timedelta(0)
    assert late.max() <= timedelta(hours=36)
    assert (late > timedelta(hours=1)).mean() == pytest.approx(0.01, abs=0.004)


def test_amount_is_price_times_quantity_less_discount(purchases: pl.DataFrame) -> None:
    priced = purchases.join(StoreTwin(SETTINGS).items().select(t.ITEM_ID, t.PRICE), on=t.ITEM_ID)
    wrong = priced[t.PRICE] * priced[t.QUANTITY] - priced[t.DISCOUNT] - priced[t.AMOUNT]
    assert wrong.abs().max() < 0.006
    assert priced[t.QUANTITY].min() == 1
    assert 0.05 < (priced[t.DISCOUNT] > 0).mean() < 0.3


def test_an_order_is_paid_once_by_one_user_in_one_session(purchases: pl.DataFrame) -> None:
    orders = purchases.group_by(t.ORDER_ID).agg(
        pl.col(t.USER_ID, t.OCCURRED_AT, t.SESSION_ID).n_unique(), (pl.col(t.ITEM_ID).is_duplicated().any())
    )
    assert set(orders.select(t.USER_ID, t.OCCURRED_AT, t.SESSION_ID).unique().row(0)) == {1}
    assert not orders[t.ITEM_ID].any()
    assert 1.8 < purchases.height / orders.height < 3


def test_returns_and_ratings_refer_to_an_earlier_purchase(events: pl.DataFrame, purchases: pl.DataFrame) -> None:
    bought = purchases.select(t.USER_ID, t.ORDER_ID, t.ITEM_ID, t.OCCURRED_AT, t.QUANTITY, t.AMOUNT)
    for event_type in (t.RETURN, t.RATE, t.REVIEW):
        followed = events.filter(pl.col(t.EVENT_TYPE) == event_type)
        pairs = followed.join(bought, on=[t.USER_ID, t.ORDER_ID, t.ITEM_ID], suffix="_bought")
        assert pairs.height == followed.height > 0
        assert (pairs[t.OCCURRED_AT] > pairs[f"{t.OCCURRED_AT}_bought"]).all()
        if event_type == t.RETURN:
            assert pairs[t.AMOUNT].equals(pairs[f"{t.AMOUNT}_bought"], check_names=False)


def test_text_fits_the_rating(events: pl.DataFrame) -> None:
    rated = events.filter(pl.col(t.RATING).is_not_null())
    assert set(rated[t.EVENT_TYPE]) == {t.RATE, t.REVIEW}
    assert set(rated[t.RATING]) == {1, 2, 3, 4, 5}
    assert set(rated.filter(pl.col(t.TEXT).str.contains("(?i)waste of money|terrible"))[t.RATING]) == {1}
    assert set(rated.filter(pl.col(t.TEXT).str.contains("(?i)excellent|perfect"))[t.RATING]) == {5}
    reviews = rated.filter(pl.col(t.EVENT_TYPE) == t.REVIEW).join(StoreTwin(SETTINGS).items(), on=t.ITEM_ID)
    assert reviews.select(pl.col(t.TEXT).str.contains(pl.col(t.SUBCATEGORY)).all()).item()


def test_nobody_acts_before_joining_or_visits_after_leaving(events: pl.DataFrame) -> None:
    known = events.join(StoreTwin(SETTINGS).truth().users(), on=t.USER_ID)
    assert (known[t.OCCURRED_AT] > known[t.JOINED_AT]).all()
    visits = known.filter(pl.col(t.SESSION_ID).is_not_null(), pl.col(LEFT_AT).is_not_null())
    assert visits.height > 0
    assert (visits[t.OCCURRED_AT] < visits[LEFT_AT]).all()


def test_only_the_coupon_arm_gets_messages_and_redeems(events: pl.DataFrame) -> None:
    treatments = StoreTwin(SETTINGS).treatments()
    touched = events.filter(pl.col(t.CAMPAIGN_ID).is_not_null()).join(treatments, on=[t.USER_ID, t.CAMPAIGN_ID])
    assert touched.height == events[t.CAMPAIGN_ID].count()
    assert set(touched[t.ARM]) == {COUPON_ARM}
    assert (touched[t.OCCURRED_AT] > touched[t.ASSIGNED_AT]).all()
    sent = events.filter(pl.col(t.EVENT_TYPE) == t.MESSAGE_SENT)
    assert sent.height == (treatments[t.ARM] == COUPON_ARM).sum()
    redeemed = touched.filter(pl.col(t.EVENT_TYPE) == t.COUPON_REDEEMED)
    assert not redeemed.select(t.USER_ID, t.CAMPAIGN_ID).is_duplicated().any()
    discounts = touched.filter(pl.col(t.EVENT_TYPE) == t.PURCHASE)
    assert set(discounts[t.ORDER_ID]) == set(redeemed[t.ORDER_ID])


def test_parquet_files_hold_the_chunks(tmp_path: Path, events: pl.DataFrame) -> None:
    write_parquet(tmp_path / "shop", SETTINGS)
    files = sorted((tmp_path / "shop").glob("events-*.parquet"))
    assert [file.name for file in files] == ["events-0001.parquet", "events-0002.parquet", "events-0003.parquet"]
    assert_frame_equal(pl.concat([pl.read_parquet(file) for file in files]), events.select(*t.EVENTS.columns))
    assert_frame_equal(pl.read_parquet(tmp_path / "shop" / "items.parquet"), StoreTwin(SETTINGS).items())
    assert_frame_equal(pl.read_parquet(tmp_path / "shop" / "users.parquet"), StoreTwin(SETTINGS).users())


def test_a_second_shop_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    write_parquet(tmp_path, StoreTwinSource(users=1, days=3))
    with pytest.raises(SourceError, match="holds event files already"):
        write_parquet(tmp_path, StoreTwinSource(users=1, days=3))


@pytest.mark.parametrize(
    "settings", [StoreTwinSource(users=2, items=1, days=1), StoreTwinSource(users=3, items=5, days=40)]
)
def test_tiny_shops_work(settings: StoreTwinSource) -> None:
    assert read(settings).schema == pl.Schema(STAGED)
    assert StoreTwin(settings).truth().users().height == settings.users
