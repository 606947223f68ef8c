"""Curves of silence: arithmetic of the hazards, and what the fitted candidates tell."""

import numpy as np
import pytest
import torch

from everstay.churn.network import hazard_outlook
from everstay.churn.returns import SHARES
from everstay.churn.survival import silence_curve, usual_silence_days


def test_the_curve_begins_at_one_falls_and_passes_through_the_calibrated_probability() -> None:
    generator = np.random.default_rng(0)
    quarters = np.cumprod(generator.uniform(0.3, 0.99, (50, 4)), axis=1)
    churning = generator.uniform(0.01, 0.9, 50)
    curve = silence_curve(quarters, churning, 28, np.arange(0, 200))
    assert (curve[:, 0] == 1).all()
    assert (np.diff(curve, axis=1) < 0).all()
    np.testing.assert_allclose(curve[:, 28], churning, rtol=1e-9)
    factor = np.log(churning) / np.log(quarters[:, -1])
    np.testing.assert_allclose(curve[:, 14], quarters[:, 1] ** factor, rtol=1e-9)
    np.testing.assert_allclose(curve[:, 35] / curve[:, 28], curve[:, 28] / curve[:, 21], rtol=1e-9)


@pytest.mark.parametrize("chance", [0.1, 0.5, 0.9])
def test_the_usual_silence_is_where_the_curve_crosses(chance: float) -> None:
    generator = np.random.default_rng(1)
    quarters = np.cumprod(generator.uniform(0.3, 0.99, (50, 4)), axis=1)
    days = usual_silence_days(quarters, quarters[:, -1], 28, chance)
    for row, day in enumerate(days):
        told = silence_curve(quarters[row : row + 1], quarters[row : row + 1, -1], 28, [day])
        assert told[0, 0] == pytest.approx(1 - chance, abs=1e-9)
    assert (days > 28).any() == bool((quarters[:, -1] > 1 - chance).any())


def test_an_outlook_of_hazards_is_the_product_of_chances() -> None:
    raw = torch.tensor([[0.3, -1.0, 0.0, 2.0, 0.7]])
    stays = 1 - torch.sigmoid(raw[0, :4])
    silent = torch.sigmoid(hazard_outlook(raw)[0, :4])
    for share, found in zip(SHARES, silent, strict=True):
        assert float(found) == pytest.approx(float(stays[: round(4 * share)].prod()), rel=1e-5)
    assert hazard_outlook(raw)[0, 4] == raw[0, 4]
    extreme = hazard_outlook(torch.tensor([[-40.0] * 4 + [0.0], [40.0] * 4 + [0.0]]))
    assert torch.isfinite(extreme).all()
