"""Gamma-Gamma against the published CDNOW estimates and simulation.

`cdnow_spend.csv`: repeat orders and their mean payment (dollars) of the 946 customers of the CDNOW sample who came back
within 39 weeks; the data of Fader, Hardie, Lee (2005), published by Bruce Hardie.
"""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from everstay.errors import NotReady
from everstay.value.gamma_gamma import GammaGamma


def test_published_cdnow_estimates() -> None:
    table = pl.read_csv(Path(__file__).parent / "cdnow_spend.csv")
    assert table.height == 946
    fitted = GammaGamma.fit(table["frequency"], table["mean_spend"])
    assert (fitted.p, fitted.q, fitted.v) == pytest.approx((6.25, 3.74, 15.44), rel=2e-3)
    expected = fitted.expected_payment(np.array([2.0]), np.array([22.35]))
    assert expected[0] == pytest.approx(24.66, abs=0.01)  # the first customer of the note


def test_simulated_payments_are_recovered() -> None:
    generator, truth = np.random.default_rng(0), GammaGamma(4.0, 5.0, 60.0)
    counts = generator.integers(1, 12, 20_000)
    rates = generator.gamma(truth.q, 1 / truth.v, 20_000)
    means = generator.gamma(truth.p * counts, 1 / rates) / counts
    fitted = GammaGamma.fit(counts, means)
    assert (fitted.p, fitted.q, fitted.v) == pytest.approx((4.0, 5.0, 60.0), rel=0.1)
    following = generator.gamma(truth.p, 1 / rates)
    assert truth.expected_payment(counts, means).mean() == pytest.approx(following.mean(), rel=0.02)
    square = (1 / rates**2).mean()
    assert truth.inverse_rate_square(counts, means).mean() == pytest.approx(square, rel=0.05)


def test_nobody_known_is_worth_the_mean_of_all() -> None:
    model = GammaGamma(4.0, 5.0, 60.0)
    assert model.expected_payment(np.array([0.0]), np.array([0.0]))[0] == pytest.approx(4.0 * 60 / 4)
    assert np.isinf(GammaGamma(0.5, 1.2, 10.0).inverse_rate_square(np.array([1.0]), np.array([5.0]))[0])


def test_nothing_paid_is_nothing_to_learn_from() -> None:
    with pytest.raises(NotReady, match="fewer than two users paid"):
        GammaGamma.fit([3, 2, 1], [0.0, 0.0, 9.0])
