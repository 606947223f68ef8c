"""Fit a network candidate: epochs are chosen on validation, then it is refitted on all known rows.

The next call resumes a killed one: every stage has its own checkpoints.
"""

from pathlib import Path

import polars as pl

from everstay.churn.choice import Choice
from everstay.churn.config import NetworkConfig
from everstay.churn.ensemble import NetworkEncoder, NetworkScorer
from everstay.churn.module import ChurnModule
from everstay.churn.pretraining import last_histories, pretrain
from everstay.churn.rows import ChurnRows
from everstay.settings import Training
from everstay.training import LearningCurves, count_parameters, fit_network, make_trainer

_LEAST_STEPS = 16  # of an epoch


def choose_network(rows: ChurnRows, training: Training, work: Path, config: NetworkConfig) -> Choice:
    """Train members on `train` until `validation` stops improving; a refit trains for the best number of epochs."""
    encoder = NetworkEncoder.fit(rows.train, config)
    fits = [_fit_member(config, encoder, rows, training, work, member) for member in range(config.members)]
    epochs = [curves.best_epochs for _, curves in fits]
    early = NetworkScorer(config, encoder, [module.network for module, _ in fits])
    parameters = count_parameters(early.members[0])
    params = {**config.model_dump(exclude={"max_epochs"}), "epochs": max(epochs), "parameters": parameters}

    def refit(learned: pl.DataFrame) -> NetworkScorer:
        return _refit_network(config, learned, last_histories(learned, rows.unlabelled), training, work, epochs)

    return Choice(early, refit, params, fits[0][1].curves)


def _fit_member(
    config: NetworkConfig, encoder: NetworkEncoder, rows: ChurnRows, training: Training, work: Path, member: int
) -> tuple[ChurnModule, LearningCurves]:
    """Train one network on `train` until `validation` stops improving."""
    seed = training.seed + member
    seeded = training.model_copy(update={"seed": seed})
    reader = pretrain(config, encoder, last_histories(rows.train, rows.unlabelled), seeded, work / f"read_{member}")
    trainer = make_trainer(
        seeded,
        folder=work / f"choose_{member}",
        monitor="validation_loss",
        patience=config.patience,
        max_epochs=min(config.max_epochs, training.max_epochs),
    )
    network = encoder.new_network(config)
    network.load_state_dict({**network.state_dict(), **reader})
    module = ChurnModule(network, config)
    train = encoder.batches(rows.train, _batch_rows(config, rows.train), seed)
    return module, fit_network(trainer, module, train, encoder.batches(rows.validation, config.batch_rows))


def _batch_rows(config: NetworkConfig, rows: pl.DataFrame) -> int:
    """Use smaller batches for a small shop: an epoch of few steps teaches little, and more rows then teach far more.

    The latter matters too: a refit on more rows would be more confident than the scores the calibrator was fitted to.
    """
    return min(config.batch_rows, max(1, rows.height // _LEAST_STEPS))


def _refit_network(
    config: NetworkConfig,
    learned: pl.DataFrame,
    histories: pl.DataFrame,
    training: Training,
    work: Path,
    epochs: list[int],
) -> NetworkScorer:
    """Train the members on all known rows for their best numbers of epochs."""
    encoder = NetworkEncoder.fit(learned, config)
    networks = []
    for member, count in enumerate(epochs):
        seeded = training.model_copy(update={"seed": training.seed + member})
        reader = pretrain(config, encoder, histories, seeded, work / f"reread_{member}")
        trainer = make_trainer(seeded, folder=work / f"refit_{member}", monitor=None, max_epochs=count)
        network = encoder.new_network(config)
        network.load_state_dict({**network.state_dict(), **reader})
        module = ChurnModule(network, config)
        fit_network(trainer, module, encoder.batches(learned, _batch_rows(config, learned), seeded.seed))
        networks.append(module.network)
    scorer = NetworkScorer(config, encoder, networks)
    scorer.remember_histories(learned)
    return scorer
