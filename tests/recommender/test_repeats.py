"""Repeat features: equal to a slow reference, from earlier orders only."""

import math

import numpy as np
import polars as pl
import pytest

from everstay.recommender.batches import orders_before
from everstay.recommender.histories import Histories, read_histories
from everstay.recommender.repeats import FEATURES, HALF_LIVES, own_items, track_repeats
from everstay.recommender.vocabulary import Vocabulary


@pytest.fixture
def histories(rows: pl.DataFrame, vocabulary: Vocabulary) -> Histories:
    return read_histories(rows, vocabulary)


def slow_features(orders: list[tuple[float, set[int]]], item: int, now: float) -> dict[str, float]:
    """The features of one item from all orders seen, oldest first, as plain arithmetic."""
    places = [n for n, (_, items) in enumerate(orders) if item in items]
    days = [orders[n][0] - now for n in places]
    gap = (days[0] - days[-1]) / max(len(days) - 1, 1)
    overdue = math.log((days[-1] + 1) / (gap + 1)) if len(days) > 1 else 0.0
    overdue = max(-3.0, min(3.0, overdue))
    decayed = [math.log(sum(2 ** (-age / half_life) for age in days) + 0.01) for half_life in HALF_LIVES]
    values = [
        math.log(len(days)), math.log1p(days[-1]), *decayed, math.log(len(orders) - places[-1]),
        math.log(len(days) / len(orders)), math.log(len(days) / (len(orders) - places[0])), float(len(days) > 1),
        math.log1p(gap), overdue, overdue**2, math.log(len(orders)), math.log1p(orders[0][0] - now),
    ]  # fmt: skip
    return dict(zip(FEATURES, values, strict=True))


@pytest.mark.parametrize("days_ago", [0.0, 14.0, 35.0])
def test_features_equal_a_slow_reference(histories: Histories, days_ago: float) -> None:
    users = np.arange(histories.user_count)
    asked_at = np.full(len(users), days_ago)
    seen = orders_before(histories, users, asked_at)
    own = own_items(histories, track_repeats(histories), users, seen, asked_at)
    found = {(q, i): f for q, i, f in zip(own.question.tolist(), own.item.tolist(), own.features, strict=True)}
    expected_pairs = set()
    for user in users:
        orders = [
            (histories.order_days_ago[o], set(histories.line_item[histories.line_order == o].tolist()))
            for o in range(histories.user_start[user], histories.user_start[user + 1])
            if histories.order_days_ago[o] > days_ago
        ]
        for item in set().union(*(items for _, items in orders)):
            expected_pairs.add((int(user), item))
            expected = slow_features(orders, item, days_ago)
            np.testing.assert_allclose(found[int(user), item], list(expected.values()), rtol=1e-4, atol=1e-5)
    assert set(found) == expected_pairs


def test_later_orders_change_nothing(rows: pl.DataFrame, vocabulary: Vocabulary, histories: Histories) -> None:
    lists = ["history_item", "history_days_ago", "history_order", "history_price", "history_discount"]
    early = rows.explode(lists).filter(pl.col("history_days_ago") > 21.0)
    kept = early.with_columns(pl.col("history_order") - pl.col("history_order").min().over("user_id"))
    cut = rows.select("user_id").join(
        kept.group_by("user_id", maintain_order=True).agg(lists), on="user_id", how="left", maintain_order="left"
    )
    alone = read_histories(cut, vocabulary)
    users = np.arange(rows.height)
    now = np.full(len(users), 21.0)
    own = own_items(histories, track_repeats(histories), users, orders_before(histories, users, now), now)
    other = own_items(alone, track_repeats(alone), users, alone.user_start[1:], now)
    assert len(own.item) > 100
    np.testing.assert_array_equal(own.question, other.question)
    np.testing.assert_array_equal(own.item, other.item)
    np.testing.assert_array_equal(own.features, other.features)


def test_no_history_has_no_own_items(few: pl.DataFrame, vocabulary: Vocabulary) -> None:
    histories = read_histories(few, vocabulary)
    users = np.arange(few.height)
    own = own_items(histories, track_repeats(histories), users, histories.user_start[1:], np.zeros(few.height))
    assert set(few["user_id"].gather(own.question.astype(np.uint32))) == {"regular", "long", "once"}
    assert np.isfinite(own.features).all()
