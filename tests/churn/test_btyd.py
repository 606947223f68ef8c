"""Buy-till-you-die models against the published CDNOW estimates, an identity of their likelihoods, and simulation.

`cdnow_sample.csv`: one customer in ten of CDNOW's first quarter of 1997 over 39 weeks, as counts of equal histories;
the data of Fader, Hardie, Lee (2005), published by Bruce Hardie.
"""

from dataclasses import astuple
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from everstay.churn.btyd import BgNbd, History, MbgNbd, ParetoNbd
from everstay.errors import NotReady

MODELS = (BgNbd(0.8, 3.0, 0.9, 2.5), MbgNbd(0.8, 3.0, 0.9, 2.5), ParetoNbd(0.8, 3.0, 0.7, 9.0))
HISTORIES = History.of([0, 0, 1, 3, 40, 300], [0, 0, 4, 7.5, 25, 39.9], [1, 39, 39, 8, 39, 40])


@pytest.fixture(scope="module")
def cdnow() -> History:
    counts = pl.read_csv(Path(__file__).parent / "cdnow_sample.csv")
    each = counts.select(pl.all().exclude("customers").repeat_by("customers")).explode(pl.all())
    return History.of(each["frequency"], each["recency_days"] / 7, each["age_days"] / 7)


@pytest.mark.parametrize(
    ("model", "published", "log_likelihood"),
    [
        (BgNbd, (0.243, 4.414, 0.793, 2.426), -9582.4),
        (MbgNbd, (0.525, 6.183, 0.891, 1.614), -9582.1),
        (ParetoNbd, (0.553, 10.578, 0.606, 11.669), -9595.0),
    ],
)
def test_published_cdnow_estimates(
    cdnow: History, model: type[BgNbd], published: tuple[float, ...], log_likelihood: float
) -> None:
    fitted = model.fit(cdnow)
    assert len(cdnow.age) == 2_357
    np.testing.assert_allclose(astuple(fitted), published, rtol=2e-3)
    assert fitted.log_likelihood(cdnow).sum() == pytest.approx(log_likelihood, abs=0.1)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("horizon", [0.01, 4.0, 100.0])
def test_silence_is_the_ratio_of_two_likelihoods(model: BgNbd, horizon: float) -> None:
    later = History(HISTORIES.frequency, HISTORIES.recency, HISTORIES.age + horizon)
    ratio = np.exp(model.log_likelihood(later) - model.log_likelihood(HISTORIES))
    np.testing.assert_allclose(model.probability_no_purchase(HISTORIES, horizon), ratio, rtol=1e-8)


@pytest.mark.parametrize("model", MODELS)
def test_simulated_customers_are_silent_as_often_as_told(model: BgNbd) -> None:
    age, horizon, customers = 12.0, 6.0, 40_000
    history, later = simulate(model, age, horizon, customers)
    often = history.frequency >= 2
    for group in (often, ~often):
        told = History(history.frequency[group], history.recency[group], history.age[group])
        silent = model.probability_no_purchase(told, horizon)
        assert silent.mean() == pytest.approx((later[group] == 0).mean(), abs=4 * 0.5 / np.sqrt(group.sum()))


@pytest.mark.parametrize("seed", [0, 2, 3])
def test_customers_who_all_stop_at_one_rate_can_be_fitted(seed: int) -> None:
    generator, customers, rate_of_stopping = np.random.default_rng(seed), 200, 1 / 300
    rate, age = generator.gamma(2.3, 1 / 29, customers), generator.uniform(30, 330, customers)
    life = np.minimum(age, generator.exponential(1 / rate_of_stopping, customers))
    count = generator.poisson(rate * life)
    last = [until * generator.random(times).max() if times else 0.0 for until, times in zip(life, count, strict=True)]
    found = ParetoNbd.fit(History.of(count, last, age))  # the shape of the rates' spread has no upper end
    assert found.s / found.beta == pytest.approx(rate_of_stopping, rel=0.5)
    assert found.r / found.alpha == pytest.approx(2.3 / 29, rel=0.2)


def simulate(model: BgNbd, age: float, horizon: float, customers: int) -> tuple[History, np.ndarray]:
    """Histories at `age`, and purchases in the horizon after it, one purchase after the other."""
    generator = np.random.default_rng(5)
    rate = generator.gamma(model.r, 1 / model.alpha, customers)
    if isinstance(model, ParetoNbd):
        death = generator.exponential(1 / generator.gamma(model.s, 1 / model.beta, customers))
        stops = np.zeros(customers)
    else:
        death, stops = np.full(customers, np.inf), generator.beta(model.a, model.b, customers)
    now, recency, frequency, later = np.zeros((4, customers))
    lives = generator.random(customers) >= stops * model.first_counts if isinstance(model, BgNbd) else now == 0
    while lives.any():
        now = now + generator.exponential(1 / rate)
        lives &= (now < death) & (now < age + horizon)
        frequency += lives & (now < age)
        recency = np.where(lives & (now < age), now, recency)
        later += lives & (now >= age)
        lives &= generator.random(customers) >= stops
    return History.of(frequency, recency, np.full(customers, age)), later


def test_frequent_buyers_that_went_silent_are_gone_and_recent_ones_are_not() -> None:
    histories = History.of([200, 200], [20, 39.9], [40, 40])
    for model in MODELS:
        gone, here = model.probability_alive(histories)
        assert gone < 1e-6
        assert here > 0.9


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="0 <= recency <= age"):
        History.of([1], [5], [4])
    with pytest.raises(ValueError, match="one value per customer"):
        History.of([1, 2], [1], [4])
    with pytest.raises(NotReady, match="bought twice"):
        BgNbd.fit(History.of([0, 0], [0, 0], [3, 4]))
