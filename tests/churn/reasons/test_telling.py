"""Reasons: the strongest groups in plain words, with the user's number and what is usual."""

import numpy as np
import polars as pl
import pytest

from everstay import tables as t
from everstay.churn.reasons import SOURCES, Attribution, group_parts, tell_reasons, usual_values
from everstay.churn.reasons.groups import GROUP_NAMES, group_of
from everstay.churn.reasons.words import WORDS
from everstay.churn.rows import ChurnRows
from everstay.features import sequences as s


def parts_of(**effects: float) -> Attribution:
    parts = np.zeros((1, len(SOURCES)))
    for source, effect in effects.items():
        parts[0, SOURCES.index(source)] = effect
    return Attribution(0.0, parts)


@pytest.fixture
def user(churn_rows: ChurnRows) -> pl.DataFrame:
    values = {
        "recency_days": 41.2, "gap_median_days": 9.0, "gap_max_days": 20.0, "orders_28d": 3.0, "orders_364d": 91.0,
        "tenure_days": 500.0, "orders_trend_28d": -0.5, "spend_28d": 40.0, "spend_364d": 1300.0, "basket_84d": 12.5,
        "basket_364d": None, "discount_share_84d": 0.125, "discount_share_364d": 0.2, "distinct_items_84d": 7.0,
        "distinct_categories_84d": 3.0, "coupons_84d": 0.0, "coupons_364d": 52.0, "weekend_share_364d": 0.5,
        "views_84d": None, "views_364d": None, "coupons_recency_days": 120.4,
    }  # fmt: skip
    tokens = {s.TOKEN_TYPE: [t.PURCHASE, t.VIEW, t.PURCHASE, t.PURCHASE], s.TOKEN_DAYS_AGO: [70.0, 60.0, 50.0, 41.0]}
    lists = [
        pl.lit(pl.Series([value])).cast(churn_rows.test.schema[name]).alias(name) for name, value in tokens.items()
    ]
    return churn_rows.test.head(1).with_columns(*lists, **{k: pl.lit(v, pl.Float64) for k, v in values.items()})


TOLD = {
    "silence": "no order for 41 days, usually every 9",
    "rhythm": "orders every 9 days (typical: 8), longest gap 20",
    "orders": "3 orders in 28 days, usually 7 (typical: 4)",
    "trend": "3 orders in 28 days after 9 in the 28 before",
    "spend": "spent 40 in 28 days, usually 100",
    "basket": "12 per order in 84 days (typical: 30)",
    "discount": "12% discount in 84 days, usually 20%",
    "variety": "different items in 84 days: 7",
    "categories": "categories bought from in 84 days: 3",
    "coupons": "coupons redeemed in 84 days: 0, usually 12, the last 120 days ago",
    "browsing": "views in 84 days: none",
    "tenure": "known for 500 days (typical: 300)",
    "habit": "50% of the orders at weekends (typical: 25%)",
    "history": "sequence of recent days: 20, 9 days between orders",
}
USUAL = {
    "orders_28d": 4.0,
    "gap_median_days": 8.0,
    "basket_84d": 30.0,
    "tenure_days": 300.0,
    "weekend_share_364d": 0.25,
}


@pytest.mark.parametrize("group", TOLD)
def test_words_of_a_group(user: pl.DataFrame, group: str) -> None:
    assert user.select(WORDS[group](USUAL)).item() == TOLD[group]


def test_words_for_whom_nothing_is_known(churn_rows: ChurnRows) -> None:
    columns = [name for name in churn_rows.test.columns if name not in (t.USER_ID, t.AS_OF)]
    nothing = churn_rows.test.head(1).with_columns(
        pl.lit(None).cast(churn_rows.test.schema[name]).alias(name) for name in columns
    )
    words = nothing.select(WORDS[name]({}).alias(name) for name in WORDS).row(0, named=True)
    assert words["silence"] == "no order yet"
    assert words["rhythm"] == "at most one order day"
    assert words["basket"] == "no order in 84 days, so no basket value"
    assert words["history"] == "sequence of recent days"


def test_a_new_user_is_compared_with_the_typical_one(user: pl.DataFrame) -> None:
    new = user.with_columns(pl.lit(20.0).alias("tenure_days"), pl.lit(None, pl.Float64).alias("gap_median_days"))
    assert new.select(WORDS["silence"]({"recency_days": 4.0})).item() == "no order for 41 days (typical: 4)"
    assert new.select(WORDS["orders"]({"orders_28d": 6.0})).item() == "3 orders in 28 days (typical: 6)"
    daily = user.with_columns(pl.lit(1.0).alias("gap_median_days"), pl.lit(1.0).alias("recency_days"))
    assert daily.select(WORDS["silence"]({})).item() == "last order 1 day ago, usually every day"
    assert daily.select(WORDS["rhythm"]({})).item() == "orders every day, longest gap 20"
    today = user.with_columns(pl.lit(0.4).alias("recency_days"))
    assert today.select(WORDS["silence"]({})).item() == "last order within a day, usually every 9"


def test_free_orders_are_orders_though_they_have_no_discount_share(user: pl.DataFrame) -> None:
    free = user.with_columns(pl.lit(None, pl.Float64).alias("discount_share_84d"), pl.lit(2.0).alias("orders_84d"))
    assert free.select(WORDS["discount"]({})).item() == "nothing to pay in 84 days, so no discount share"
    none = free.with_columns(pl.lit(0.0).alias("orders_84d"))
    assert none.select(WORDS["discount"]({})).item() == "no order in 84 days, so no discount share"


def test_the_last_coupon_is_told_where_the_window_has_none(user: pl.DataFrame) -> None:
    some = user.with_columns(pl.lit(2.0).alias("coupons_84d"), pl.lit(3.0).alias("coupons_recency_days"))
    assert some.select(WORDS["coupons"]({})).item() == "coupons redeemed in 84 days: 2, usually 12"
    never = user.with_columns(pl.lit(None, pl.Float64).alias("coupons_recency_days"))
    assert never.select(WORDS["coupons"]({})).item() == "coupons redeemed in 84 days: 0, usually 12"


def test_the_three_strongest_groups_are_told_with_their_direction(user: pl.DataFrame) -> None:
    parts = parts_of(recency_days=0.6, recency_to_mean_gap=0.3, orders_28d=-0.5, spend_84d=-0.4, tenure_days=0.1)
    assert tell_reasons(parts, user, USUAL) == [
        [
            "raises the risk: no order for 41 days, usually every 9",
            "lowers the risk: 3 orders in 28 days, usually 7 (typical: 4)",
            "lowers the risk: spent 40 in 28 days, usually 100",
        ]
    ]


def test_what_is_next_to_nothing_is_no_reason(user: pl.DataFrame) -> None:
    assert tell_reasons(parts_of(recency_days=0.019, tenure_days=-0.019), user, {}) == [[]]
    assert tell_reasons(Attribution(0.0, np.zeros((0, len(SOURCES)))), user.head(0), {}) == []


def test_every_source_belongs_to_one_told_group_and_nothing_is_lost() -> None:
    assert {group_of(source) for source in SOURCES} == set(WORDS)
    assert set(GROUP_NAMES) == {*WORDS, "rest"}
    parts = np.random.default_rng(0).normal(size=(5, len(SOURCES)))
    np.testing.assert_allclose(group_parts(Attribution(0.0, parts)).sum(axis=1), parts.sum(axis=1))


def test_usual_values_are_medians_and_null_where_nothing_is_known(churn_rows: ChurnRows) -> None:
    usual = usual_values(churn_rows.train)
    assert usual["recency_days"] == churn_rows.train["recency_days"].median()
    assert usual["carts_recency_days"] is None
