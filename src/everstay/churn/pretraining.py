"""Self-supervised pre-training: a network's reader learns to predict each user's next token before it learns churn.

It needs no labels, so it can use everybody's history, as known at the rows' as-of.
"""

from pathlib import Path
from typing import Any

import polars as pl
import pytorch_lightning as lightning
import torch
from torch import Tensor, nn

from everstay import tables as t
from everstay.churn.batches import Batch
from everstay.churn.config import NetworkConfig
from everstay.churn.encoding import TYPES
from everstay.churn.ensemble import NetworkEncoder
from everstay.churn.network import ChurnNetwork
from everstay.churn.rows import LABEL_COLUMNS
from everstay.settings import Training
from everstay.training import fit_network, make_trainer

_READER = ("kinds.", "numbers.", "state.")


def next_token_loss(kinds: Tensor, numbers: Tensor, batch: Batch) -> Tensor:
    """Mean over all tokens but each row's first: cross-entropy of the type, plus squared errors of the numbers.

    Args:
        kinds: (B, L, TYPES) logits of the next token's type, predicted at every position.
        numbers: (B, L, K) the next token's numbers, predicted at every position.
        batch: position l + 1 is the target of position l.

    Returns:
        A scalar; 0 when no row has two tokens.
    """
    is_known = torch.arange(1, batch.kinds.shape[1], device=kinds.device) < batch.lengths[:, None]
    if not bool(is_known.any()):
        return 0.0 * numbers.sum()
    chance = nn.functional.cross_entropy(kinds[:, :-1][is_known], batch.kinds[:, 1:][is_known])
    return chance + nn.functional.mse_loss(numbers[:, :-1][is_known], batch.numbers[:, 1:][is_known])


class NextTokenModule(lightning.LightningModule):
    """Trains the reader of a `ChurnNetwork`, with two heads that are discarded; logs `train_loss`."""

    def __init__(self, network: ChurnNetwork, config: NetworkConfig, token_numbers: int) -> None:
        super().__init__()
        self.network = network
        self.config = config
        self.kinds = nn.Linear(config.state_width, TYPES)
        self.numbers = nn.Linear(config.state_width, token_numbers)

    def training_step(self, batch: Batch, index: int) -> Tensor:  # noqa: ARG002
        """Loss of a batch, a scalar."""
        states = self.network.states(batch.kinds, batch.numbers)
        loss = next_token_loss(self.kinds(states), self.numbers(states), batch)
        self.log("train_loss", loss, on_step=False, on_epoch=True, sync_dist=True, batch_size=len(batch.rows))
        return loss

    def configure_optimizers(self) -> Any:
        """AdamW with a constant rate, as for churn."""
        return torch.optim.AdamW(self.parameters(), lr=self.config.learning_rate, weight_decay=self.config.weight_decay)


def last_histories(learned: pl.DataFrame, unlabelled: pl.DataFrame) -> pl.DataFrame:
    """Everybody as of the last training as-of, with the longest history: labelled users, then the others.

    Args:
        learned: rows with labels.
        unlabelled: of `ChurnRows`; those of another as-of are left out.

    Returns:
        Rows without `LABEL_COLUMNS`.
    """
    last = learned[t.AS_OF].max()
    both = pl.concat([learned.drop(LABEL_COLUMNS), unlabelled], how="vertical" if unlabelled.width else "diagonal")
    return both.filter(pl.col(t.AS_OF) == last)


def pretrain(
    config: NetworkConfig, encoder: NetworkEncoder, rows: pl.DataFrame, training: Training, folder: Path
) -> dict[str, Tensor]:
    """Weights of a reader trained on histories.

    Args:
        config: with no epochs of pre-training there are no weights.
        encoder: of the rows with labels.
        rows: from `last_histories`.
        training: device and seed.
        folder: for checkpoints; kept until the caller is done, so that a killed call can resume.
    """
    if config.pretrain_epochs == 0:
        return {}
    epochs = min(config.pretrain_epochs, training.max_epochs)
    trainer = make_trainer(training, folder=folder, monitor=None, max_epochs=epochs)
    network = encoder.new_network(config)
    batches = encoder.batches(rows, max(1, config.batch_rows // 4), training.seed)
    fit_network(trainer, NextTokenModule(network, config, encoder.tokens.width), batches)
    return {name: weight for name, weight in network.state_dict().items() if name.startswith(_READER)}
