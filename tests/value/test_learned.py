"""The learned value: rows of the past by hand, nothing later is read, planted spend is found, few rows are refused."""

from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from everstay import tables as t
from everstay.churn.encoding import FEATURE_COLUMNS
from everstay.errors import NotReady
from everstay.value import VALUE_COLUMNS
from everstay.value.learned import LearnedValue
from everstay.value.past import SPEND_AHEAD, past_rows
from tests.value.shop import AS_OF, events

ITEMS = t.ITEMS.empty()


def test_rows_tell_features_then_and_spend_afterwards() -> None:
    shop = events(
        ("a", 40, 10.0, t.PURCHASE), ("a", 25, 4.0, t.PURCHASE), ("a", 12, 5.0, t.PURCHASE), ("a", 5, 99.0, t.PURCHASE),
        ("a", 5, 99.0, t.RETURN), ("b", 35, 7.0, t.PURCHASE), ("c", 300, 7.0, t.PURCHASE), ("c", 3, 7.0, t.PURCHASE),
    )  # fmt: skip
    then = AS_OF - timedelta(days=28)
    rows = past_rows(shop, ITEMS, [then], 28, 84, AS_OF)
    assert rows.select(t.USER_ID, SPEND_AHEAD).rows() == [("a", 9.0), ("b", 0.0)]  # c bought, but not in the look-back
    assert rows["spend_84d"].to_list() == [10.0, 7.0]
    later = pl.concat([shop, events(("a", -2, 50.0, t.PURCHASE))])
    assert_frame_equal(past_rows(later, ITEMS, [then], 28, 84, AS_OF), rows)
    with pytest.raises(NotReady, match="not known yet"):
        past_rows(shop, ITEMS, [then + timedelta(days=1)], 28, 84, AS_OF)


def planted(count: int, seed: int) -> pl.DataFrame:
    """Spend ahead is gamma distributed around the spend before."""
    generator = np.random.default_rng(seed)
    before = generator.uniform(10, 100, count)
    features = {name: generator.normal(size=count) for name in FEATURE_COLUMNS} | {"spend_84d": before}
    features |= {"carts_recency_days": np.full(count, np.nan), "views_7d": np.zeros(count)}  # what a shop may lack
    return pl.DataFrame({**features, SPEND_AHEAD: generator.gamma(4.0, before / 4)}).fill_nan(None)


def test_planted_spend_is_found_with_its_interval() -> None:
    model, test = LearnedValue.fit(planted(3_000, 1), 7), planted(2_000, 2)
    values = model.values(test)
    assert values.columns == list(VALUE_COLUMNS)
    error = np.abs(values[t.CUSTOMER_VALUE].to_numpy() - test["spend_84d"].to_numpy()).mean()
    assert error < 5
    low, high = values[t.CUSTOMER_VALUE_LOW].to_numpy(), values[t.CUSTOMER_VALUE_HIGH].to_numpy()
    spend = test[SPEND_AHEAD].to_numpy()
    assert ((spend >= low) & (spend <= high)).mean() == pytest.approx(0.8, abs=0.04)
    assert (low <= values[t.CUSTOMER_VALUE].to_numpy()).all()
    assert_frame_equal(model.values(test.tail(5)), values.tail(5))


def test_too_few_users_are_refused() -> None:
    with pytest.raises(NotReady, match="900 users with an order in the horizon are too few"):
        LearnedValue.fit(planted(900, 1), 7)
