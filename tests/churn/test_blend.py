"""The blend: weights in quarters with the lowest calibrated log-loss, equal ones where nothing is surely better."""

from dataclasses import replace
from itertools import product

import numpy as np
import polars as pl
import pytest

from everstay import tables as t
from everstay.churn.baselines import LogisticScorer, RecencyScorer
from everstay.churn.blend import BlendScorer, choose_blend
from everstay.churn.calibration import Calibrator
from everstay.churn.model import CalibratedModel
from everstay.churn.purchase_process import PurchaseProcessScorer
from everstay.churn.rows import ChurnRows, outcomes
from everstay.metrics.comparison import clustered_error


@pytest.fixture(scope="module")
def members(churn_rows: ChurnRows) -> list[CalibratedModel]:
    scorers = {
        "recency": RecencyScorer(),
        "logistic": LogisticScorer.fit(churn_rows.train, 100.0),
        "purchase_process": PurchaseProcessScorer.fit(churn_rows.train, "mbg_nbd"),
    }
    rows = churn_rows.validation
    return [
        CalibratedModel(name, scorer, Calibrator.fit(scorer.scores(rows), outcomes(rows)), {})
        for name, scorer in scorers.items()
    ]


def calibrated_losses(scores: np.ndarray, rows: pl.DataFrame) -> np.ndarray:
    churned = outcomes(rows)
    odds = Calibrator.fit(scores, churned).log_odds(scores)
    return np.log1p(np.exp(np.where(churned == 1, -odds, odds)))


def test_weights_in_quarters_foretell_the_validation_best(
    members: list[CalibratedModel], churn_rows: ChurnRows
) -> None:
    rows = churn_rows.validation
    told = [member.log_odds(rows) for member in members]
    found = {
        weights: calibrated_losses(sum(weight * one for weight, one in zip(weights, told, strict=True)), rows)
        for weights in product((0, 0.25, 0.5, 0.75, 1), repeat=3)
        if sum(weights) == 1
    }
    best = min(found, key=lambda weights: found[weights].mean())
    gain = calibrated_losses(sum(told) / 3, rows) - found[best]
    assert gain.mean() > clustered_error(gain, rows[t.USER_ID])  # so that equal weights are no match
    blend = choose_blend(members, rows)
    chosen = dict(zip([member.name for member in blend.members], blend.weights, strict=True))
    assert chosen == {member.name: weight for member, weight in zip(members, best, strict=True) if weight > 0}


def test_equal_weights_of_boosting_and_network_stay_unless_others_are_surely_better(
    members: list[CalibratedModel], churn_rows: ChurnRows
) -> None:
    logistic, noise = members[1], CalibratedModel("network", _Coins(), Calibrator(0.0, 1.0), {})
    twice = [replace(logistic, name="boosting"), replace(logistic, name="network"), members[2]]
    blend = choose_blend(twice, churn_rows.validation)
    assert ([member.name for member in blend.members], blend.weights) == (["boosting", "network"], (0.5, 0.5))
    alone = choose_blend([noise, replace(logistic, name="boosting")], churn_rows.validation)
    assert ([member.name for member in alone.members], alone.weights) == (["boosting"], (1.0,))


def test_a_gain_within_its_standard_error_does_not_move_the_weights(
    members: list[CalibratedModel], churn_rows: ChurnRows
) -> None:
    rows = churn_rows.validation
    boosting = replace(members[1], name="boosting")
    network = CalibratedModel("network", _Shaken(members[1]), Calibrator(0.0, 1.0), {})
    both = [member.log_odds(rows) for member in (boosting, network)]
    gain = calibrated_losses(sum(both) / 2, rows) - calibrated_losses(both[0], rows)
    assert 0 < gain.mean() < clustered_error(gain, rows[t.USER_ID])
    assert choose_blend([boosting, network], rows).weights == (0.5, 0.5)


def test_scores_are_the_weighted_mean(members: list[CalibratedModel], churn_rows: ChurnRows) -> None:
    blend = BlendScorer(tuple(members[:2]), (0.25, 0.75))
    told = [member.log_odds(churn_rows.test) for member in members]
    np.testing.assert_allclose(blend.scores(churn_rows.test), 0.25 * told[0] + 0.75 * told[1])


class _Shaken(RecencyScorer):
    """Says what another model says, a little off."""

    def __init__(self, model: CalibratedModel) -> None:
        self.model = model

    def scores(self, rows: pl.DataFrame) -> np.ndarray:
        return self.model.log_odds(rows) + np.random.default_rng(5).normal(size=rows.height) * 0.2


class _Coins(RecencyScorer):
    """Says nothing of who leaves."""

    def scores(self, rows: pl.DataFrame) -> np.ndarray:
        return np.random.default_rng(0).normal(size=rows.height) * 5
