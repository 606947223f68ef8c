"""Fit one candidate: choose and calibrate on validation, then learn again from everything known at the test as-of.

1. Fit on `train`; choose penalty, rounds or epochs by the log-loss on `validation` (several as-ofs), which is later.
2. Fit the calibrator to these out-of-time scores of `validation`.
3. Fit again, with the chosen setting, on `train`, `between` and `validation`: all labels known at the test as-of.

The calibrator of step 2 serves the model of step 3: there is no later row left that it could be fitted to, and the
two models differ by a few weeks of rows. Nothing here reads a test row.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from everstay.churn.baselines import BoostingScorer, LogisticScorer, RecencyScorer
from everstay.churn.blend import BlendScorer
from everstay.churn.calibration import Calibrator
from everstay.churn.config import BoostingConfig, LogisticConfig, NetworkConfig
from everstay.churn.ensemble import NetworkEncoder, NetworkScorer
from everstay.churn.model import CalibratedModel, Scorer
from everstay.churn.module import ChurnModule
from everstay.churn.reasons import usual_values
from everstay.churn.rows import ChurnRows, outcomes
from everstay.metrics.classification import log_loss
from everstay.settings import Training
from everstay.training import LearningCurves, count_parameters, fit_network, make_trainer

Curves = Mapping[str, list[float]]


@dataclass(frozen=True)
class Fitted:
    """A fitted candidate.

    Attributes:
        model: learned from all rows known at the test as-of; the one that serves.
        early: learned from `train` only; the one whose validation figures are honest.
        params: what was set and what was chosen.
        curves: per epoch, round or penalty of step 1.
    """

    model: CalibratedModel
    early: CalibratedModel
    params: Mapping[str, Any]
    curves: Curves = field(default_factory=dict)


@dataclass(frozen=True)
class _Choice:
    """Outcome of step 1: the early scorer, what was chosen, and step 3 to come."""

    early: Scorer
    refit: Callable[[pl.DataFrame], Scorer]
    params: Mapping[str, Any]
    curves: Curves = field(default_factory=dict)


def fit_candidate(name: str, rows: ChurnRows, training: Training, work: Path) -> Fitted:
    """Fit the candidate `name`: "recency", "logistic", "boosting" or "network".

    Args:
        name: of the candidate.
        rows: the parts; `test` is not read.
        training: where networks are trained; the seed of all candidates.
        work: for checkpoints, from which a killed run continues; emptied at the end.
    """
    choice = _CHOOSE[name](rows, training, work)
    calibrator = Calibrator.fit(choice.early.scores(rows.validation), outcomes(rows.validation))
    learned = rows.refit
    usual = usual_values(learned)
    early = CalibratedModel(name, choice.early, calibrator, usual)
    model = CalibratedModel(name, choice.refit(learned), calibrator, usual)
    return Fitted(model, early, {**choice.params, "seed": training.seed}, choice.curves)


def fit_blend(members: Mapping[str, Fitted], rows: ChurnRows) -> Fitted:
    """Average fitted candidates; the blend's own calibrator comes from their out-of-time scores."""
    blend = BlendScorer(tuple(member.early for member in members.values()))
    calibrator = Calibrator.fit(blend.scores(rows.validation), outcomes(rows.validation))
    usual = next(iter(members.values())).model.usual
    served = BlendScorer(tuple(member.model for member in members.values()))
    return Fitted(
        CalibratedModel("blend", served, calibrator, usual),
        CalibratedModel("blend", blend, calibrator, usual),
        {"members": ", ".join(members)},
    )


def _choose_recency(rows: ChurnRows, training: Training, work: Path) -> _Choice:  # noqa: ARG001
    return _Choice(RecencyScorer(), lambda _: RecencyScorer(), {})


def _choose_logistic(rows: ChurnRows, training: Training, work: Path) -> _Choice:  # noqa: ARG001
    config = LogisticConfig()
    scorers = [LogisticScorer.fit(rows.train, penalty) for penalty in config.penalties]
    losses = _losses(np.stack([scorer.scores(rows.validation) for scorer in scorers]), rows.validation)
    best = int(np.argmin(losses))
    penalty = config.penalties[best]
    params = {"penalty": penalty, "features": len(scorers[best].encoder.columns)}
    return _Choice(
        scorers[best], lambda learned: LogisticScorer.fit(learned, penalty), params, {"validation_loss": losses}
    )


def _choose_boosting(rows: ChurnRows, training: Training, work: Path) -> _Choice:  # noqa: ARG001
    config = BoostingConfig()
    longest = BoostingScorer.fit(rows.train, config, max(config.rounds), training.seed)
    churned = outcomes(rows.validation)
    stages = longest.staged_scores(rows.validation)[np.array(config.rounds) - 1]
    # the members' mean is of log-odds of several silences, and no log-odds of churning
    odds = np.stack([Calibrator.fit(stage, churned).log_odds(stage) for stage in stages])
    losses = _losses(odds, rows.validation)
    rounds = config.rounds[int(np.argmin(losses))]
    params = {**config.model_dump(exclude={"rounds"}), "rounds": rounds, "features": len(longest.columns)}
    return _Choice(
        replace(longest, rounds=rounds),
        lambda learned: BoostingScorer.fit(learned, config, rounds, training.seed),
        params,
        {"validation_loss": losses},
    )


def _choose_network(rows: ChurnRows, training: Training, work: Path) -> _Choice:
    config = NetworkConfig()
    encoder = NetworkEncoder.fit(rows.train, config)
    fits = [_fit_member(config, encoder, rows, training, work, member) for member in range(config.members)]
    epochs = [curves.best_epochs for _, curves in fits]
    early = NetworkScorer(config, encoder, [module.network for module, _ in fits])
    parameters = count_parameters(early.members[0])
    params = {**config.model_dump(exclude={"max_epochs"}), "epochs": max(epochs), "parameters": parameters}
    return _Choice(
        early, lambda learned: _refit_network(config, learned, training, work, epochs), params, fits[0][1].curves
    )


def _fit_member(
    config: NetworkConfig, encoder: NetworkEncoder, rows: ChurnRows, training: Training, work: Path, member: int
) -> tuple[ChurnModule, LearningCurves]:
    """Train one network on `train` until `validation` gets no better."""
    seed = training.seed + member
    seeded = training.model_copy(update={"seed": seed})
    trainer = make_trainer(
        seeded,
        folder=work / f"choose_{member}",
        monitor="validation_loss",
        patience=config.patience,
        max_epochs=min(config.max_epochs, training.max_epochs),
    )
    module = ChurnModule(encoder.new_network(config), config)
    train = encoder.batches(rows.train, config.batch_rows, seed)
    return module, fit_network(trainer, module, train, encoder.batches(rows.validation, config.batch_rows))


def _refit_network(
    config: NetworkConfig, learned: pl.DataFrame, training: Training, work: Path, epochs: list[int]
) -> NetworkScorer:
    """Train the members on all known rows for as many epochs as were best."""
    encoder = NetworkEncoder.fit(learned, config)
    networks = []
    for member, count in enumerate(epochs):
        seeded = training.model_copy(update={"seed": training.seed + member})
        trainer = make_trainer(seeded, folder=work / f"refit_{member}", monitor=None, max_epochs=count)
        module = ChurnModule(encoder.new_network(config), config)
        fit_network(trainer, module, encoder.batches(learned, config.batch_rows, seeded.seed))
        networks.append(module.network)
    scorer = NetworkScorer(config, encoder, networks)
    scorer.remember_histories(learned)
    return scorer


def _losses(scores: NDArray[np.float64], rows: pl.DataFrame) -> list[float]:
    """Log-loss of log-odds (choices, n): one per choice."""
    churned = outcomes(rows)
    return [float(log_loss(churned, 1 / (1 + np.exp(-choice)))) for choice in scores]


_CHOOSE: dict[str, Callable[[ChurnRows, Training, Path], _Choice]] = {
    "recency": _choose_recency,
    "logistic": _choose_logistic,
    "boosting": _choose_boosting,
    "network": _choose_network,
}
