"""The model against the paper: the donations of its section 4, and its own arithmetic."""

import numpy as np
import pytest

from everstay.retention.bgbb import Histories, fit_bgbb

# Fader, Hardie and Shang (2010), table 1: 11,104 donors of 1995, the six years after: x, tx, donors.
DONATIONS = (
    (6, 6, 1203), (5, 6, 728), (4, 6, 512), (3, 6, 357), (2, 6, 234), (1, 6, 129), (5, 5, 335), (4, 5, 284),
    (3, 5, 225), (2, 5, 173), (1, 5, 119), (4, 4, 240), (3, 4, 181), (2, 4, 155), (1, 4, 78), (3, 3, 322),
    (2, 3, 255), (1, 3, 129), (2, 2, 613), (1, 2, 277), (1, 1, 1091), (0, 0, 3464),
)  # fmt: skip


def donations() -> Histories:
    x, tx, users = (np.array(column) for column in zip(*DONATIONS, strict=True))
    return Histories(np.full(len(x), 6), x, tx, users.astype(float))


def test_the_published_estimates_come_out():
    histories = donations()
    model = fit_bgbb(histories)
    assert histories.users.sum() == 11_104
    assert model.alpha == pytest.approx(1.204, abs=0.005)
    assert model.beta == pytest.approx(0.750, abs=0.005)
    assert model.gamma == pytest.approx(0.657, abs=0.005)
    assert model.delta == pytest.approx(2.783, abs=0.02)
    assert histories.users @ model.log_likelihood(histories) == pytest.approx(-33_225.6, abs=0.1)
