"""The vocabulary: as of its rows, ids and indices apart, counts per window."""

from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from everstay import tables as t
from everstay.errors import NotReady
from everstay.features import purchase_history
from everstay.recommender.fit import vocabularies
from everstay.recommender.histories import read_histories
from everstay.recommender.rows import CATALOGUE, BasketRows
from everstay.recommender.vocabulary import Vocabulary
from everstay.settings import Recommender, Settings

from .conftest import AS_OF, basket_rows


def test_an_item_enters_with_enough_users() -> None:
    rows = basket_rows({"a": [(9.0, ["x", "y"]), (2.0, ["x"])], "b": [(5.0, ["y"])], "c": []})
    assert Vocabulary.learn(rows, 2).items[t.ITEM_ID].to_list() == ["y"]
    assert Vocabulary.learn(rows, 1).items[t.ITEM_ID].to_list() == ["x", "y"]
    with pytest.raises(NotReady, match="bought by 3 users"):
        Vocabulary.learn(rows, 3)


def test_what_came_after_the_as_of_is_not_known_unless_it_was_sold_before() -> None:
    day = timedelta(days=1)
    came = {"dateless": None, "old": AS_OF - day, "today": AS_OF, "later": AS_OF + day, "back": AS_OF + day}
    catalogue = pl.DataFrame(
        {t.ITEM_ID: [*came], t.CATEGORY: ["c"] * len(came), t.AVAILABLE_FROM: pl.Series([*came.values()], dtype=t.TIME)}
    )
    rows = basket_rows({"a": [(9.0, ["x", "back"])], "b": [(5.0, ["x"])]})
    known = Vocabulary.learn(rows, 2, catalogue, with_unsold=True)
    assert known.items[t.ITEM_ID].to_list() == ["back", "dateless", "old", "today", "x"]
    assert known.items[t.CATEGORY].to_list() == ["c", "c", "c", "c", None]
    assert t.AVAILABLE_FROM not in known.items.columns


def test_each_as_of_has_the_items_of_its_time() -> None:
    came = [AS_OF - timedelta(days=10), AS_OF - timedelta(days=50)]
    items = pl.DataFrame({t.ITEM_ID: ["new", "old"], t.AVAILABLE_FROM: pl.Series(came, dtype=t.TIME)})
    test = basket_rows({"a": [(9.0, ["x"])], "b": [(5.0, ["x"])]})
    validation = test.with_columns(pl.col(t.AS_OF) - timedelta(days=28))
    rows = BasketRows(validation, test, t.ITEMS.conform(items).select(CATALOGUE))
    settings = Settings(recommender=Recommender(min_item_users=2))
    known = [one.items[t.ITEM_ID].to_list() for one in vocabularies(rows, settings, with_unsold=True)]
    assert known == [["old", "x"], ["new", "old", "x"]]


def test_windows_count_orders() -> None:
    rows = basket_rows({"a": [(300.0, ["x"]), (28.0, ["x"]), (7.0, ["x"])], "b": [(400.0, ["x"]), (7.5, ["y"])]})
    vocabulary = Vocabulary.learn(rows, 1)
    assert [vocabulary.purchases(days).tolist() for days in (7, 14, 28, 364)] == [[1, 0], [1, 1], [2, 1], [3, 1]]


def test_later_events_change_nothing() -> None:
    count = 40
    events = pl.DataFrame(
        {
            t.EVENT_ID: [str(n) for n in range(count)],
            t.USER_ID: [f"u{n % 7}" for n in range(count)],
            t.ITEM_ID: [f"i{n % 5}" for n in range(count)],
            t.EVENT_TYPE: t.PURCHASE,
            t.OCCURRED_AT: [AS_OF + timedelta(days=n - 20.5) for n in range(count)],
            t.ORDER_ID: [f"o{n}" for n in range(count)],
            t.QUANTITY: 1,
        },
        schema_overrides={t.OCCURRED_AT: t.TIME},
    ).with_columns(pl.col(t.OCCURRED_AT).alias(t.RECORDED_AT))
    events = t.EVENTS.conform(events.with_columns(pl.lit(1.0).alias(t.AMOUNT), pl.lit(0.0).alias(t.DISCOUNT)))
    known = events.filter(pl.col(t.OCCURRED_AT) < AS_OF)
    vocabularies = [Vocabulary.learn(purchase_history(part, AS_OF), 3) for part in (events, known)]
    assert vocabularies[0].items.equals(vocabularies[1].items)


def test_ids_and_indices_are_inverse(rows: pl.DataFrame, vocabulary: Vocabulary) -> None:
    ids = pl.DataFrame({"shop": ["staple-0-1", "never-sold", "new-1-2"]})
    index = vocabulary.with_index(ids, "shop")["item_index"]
    assert index.is_null().to_list() == [False, True, False]
    assert vocabulary.ids(index.drop_nulls().to_numpy()).to_list() == ["staple-0-1", "new-1-2"]


def test_histories_keep_orders_and_drop_unknown_items(few: pl.DataFrame, vocabulary: Vocabulary) -> None:
    histories = read_histories(few, vocabulary)
    assert histories.order_counts.tolist() == [3, 90, 1, 0, 0, 0]
    first = histories.line_item[: histories.order_start[3]]
    assert vocabulary.ids(first).to_list() == ["new-0-3", "staple-0-1", "staple-0-1", "staple-0-1"]
    assert histories.line_user.tolist() == np.sort(histories.line_user).tolist()
    assert (np.diff(histories.order_days_ago)[np.diff(histories.order_user) == 0] < 0).all()
