"""Value: the moments and the interval against simulation, null where it is not knowable, the same in any company."""

from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from everstay import tables as t
from everstay.churn.btyd import MbgNbd
from everstay.settings import Value
from everstay.value import SUMMARY_COLUMNS, ValueModel, fit_value, purchase_summary, with_value
from everstay.value.gamma_gamma import GammaGamma
from tests.value.shop import AS_OF, events

MODEL = ValueModel(MbgNbd(1.4, 9.6, 0.05, 60.0), GammaGamma(2.0, 3.8, 100.0), 84)


def summary(*rows: tuple[float | None, ...]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=dict.fromkeys(SUMMARY_COLUMNS, pl.Float64), orient="row")


@pytest.mark.parametrize("user", [(30, 200, 3, 42.0), (4, 150, 20, 15.0), (1, 10, 10, 80.0)])
def test_moments_and_interval_equal_simulation(user: tuple[float, ...]) -> None:
    count, first, _, mean = user
    generator, draws = np.random.default_rng(1), 200_000
    rate = generator.gamma(MODEL.purchases.r + count - 1, 1 / (MODEL.purchases.alpha + first), draws)
    orders = generator.poisson(rate * MODEL.horizon_days)
    pace = generator.gamma(MODEL.money.q + MODEL.money.p * count, 1 / (MODEL.money.v + count * mean), draws)
    spend = np.where(orders > 0, generator.gamma(np.maximum(MODEL.money.p * orders, 1e-9), 1 / pace), 0.0)
    found = MODEL.values(summary(user)).row(0, named=True)
    assert found[t.CUSTOMER_VALUE] == pytest.approx(spend.mean(), rel=0.03)
    inside = (spend >= found[t.CUSTOMER_VALUE_LOW]) & (spend <= found[t.CUSTOMER_VALUE_HIGH])
    share = 0.8 if found[t.CUSTOMER_VALUE_LOW] > 0 else 0.9  # no order at all is likelier than one in ten
    assert inside.mean() == pytest.approx(share, abs=0.04)


def test_a_user_without_an_order_has_no_value_and_changes_no_other() -> None:
    users = [(30, 200, 3, 42.0), (None, None, None, None), (4, 150, 20, 15.0)]
    values = MODEL.values(summary(*users))
    assert values.row(1) == (None, None, None)
    for place in (0, 2):
        assert_frame_equal(values.slice(place, 1), MODEL.values(summary(users[place])))


def test_value_at_risk_is_probability_times_value() -> None:
    scores = summary((30, 200, 3, 42.0), (4, 150, 20, 15.0)).with_columns(
        pl.Series(t.CHURN_PROBABILITY, [0.1, 0.5]), pl.Series(t.USER_ID, ["a", "b"])
    )
    valued = with_value(scores, MODEL)
    assert valued[t.VALUE_AT_RISK].to_list() == (valued[t.CHURN_PROBABILITY] * valued[t.CUSTOMER_VALUE]).to_list()
    assert set(SUMMARY_COLUMNS).isdisjoint(valued.columns)
    assert with_value(scores, None).select(t.CUSTOMER_VALUE, t.VALUE_AT_RISK).null_count().row(0) == (2, 2)


def test_summary_counts_days_and_money_of_net_purchases() -> None:
    shop = events(
        ("a", 50, 10.0, t.PURCHASE), ("a", 50, 5.0, t.PURCHASE), ("a", 20, 9.0, t.PURCHASE), ("a", 8, 3.0, t.VIEW),
        ("a", 5, 99.0, t.PURCHASE), ("a", 5, 99.0, t.RETURN), ("b", 1, 7.5, t.PURCHASE), ("c", 2, 0.0, t.VIEW),
        ("b", -3, 70.0, t.PURCHASE),
    )  # fmt: skip
    found = purchase_summary(shop, AS_OF)
    assert found.rows() == [("a", 2.0, 50.0, 20.0, 12.0), ("b", 1.0, 1.0, 1.0, 7.5)]
    assert_frame_equal(purchase_summary(shop.reverse(), AS_OF), found)
    earlier = purchase_summary(shop, AS_OF - timedelta(days=10))
    assert earlier.rows() == [("a", 2.0, 40.0, 10.0, 12.0)]


def test_nothing_to_learn_from_is_no_model() -> None:
    assert fit_value(summary((1, 10, 10, 5.0), (1, 20, 20, 6.0)), Value()) is None  # nobody ordered twice
    assert fit_value(summary((3, 10, 1, 0.0), (2, 20, 3, 0.0)), Value()) is None  # nobody paid


def test_fitted_on_a_simulated_shop_it_foretells_the_spend() -> None:
    generator, users, horizon = np.random.default_rng(3), 3_000, 84
    rate = generator.gamma(1.5, 1 / 10, users)
    counts = 1 + generator.poisson(rate * 200)
    pace = generator.gamma(4.0, 1 / 90, users)
    means = generator.gamma(2.0 * counts, 1 / pace) / counts
    last = np.where(counts > 1, generator.uniform(0, 5, users).round(), 200.0)
    table = summary(*zip(counts.astype(float), np.full(users, 200.0), last, means, strict=True))
    model = fit_value(table, Value(horizon_days=horizon))
    assert model is not None
    orders = generator.poisson(rate * horizon)
    spend = np.where(orders > 0, generator.gamma(np.maximum(2.0 * orders, 1e-9), 1 / pace), 0.0)
    values = model.values(table)
    assert values[t.CUSTOMER_VALUE].mean() == pytest.approx(spend.mean(), rel=0.05)
    low, high = values[t.CUSTOMER_VALUE_LOW].to_numpy(), values[t.CUSTOMER_VALUE_HIGH].to_numpy()
    assert ((spend >= low) & (spend <= high)).mean() == pytest.approx(0.8, abs=0.05)
