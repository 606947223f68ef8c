"""Steps and optimizer of the churn network; metrics are computed elsewhere, on all rows at once."""

from typing import Any

import pytorch_lightning as lightning
import torch
from torch import Tensor

from everstay.churn.batches import Batch
from everstay.churn.config import NetworkConfig
from everstay.churn.loss import churn_loss, outlook_loss
from everstay.churn.network import ChurnNetwork


class ChurnModule(lightning.LightningModule):
    """Trains a `ChurnNetwork`; logs per epoch `train_loss` (whole outlook), `validation_loss` (churning)."""

    def __init__(self, network: ChurnNetwork, config: NetworkConfig) -> None:
        super().__init__()
        self.network = network
        self.config = config

    def training_step(self, batch: Batch, index: int) -> Tensor:  # noqa: ARG002
        """Loss of a batch, a scalar."""
        loss = outlook_loss(self.network.outlook(batch), batch.returns)
        self.log("train_loss", loss, on_step=False, on_epoch=True, sync_dist=True, batch_size=len(batch.rows))
        return loss

    def validation_step(self, batch: Batch, index: int) -> None:  # noqa: ARG002
        """Log the loss of a batch."""
        loss = churn_loss(self.network(batch), batch.returns[:, 0])
        self.log("validation_loss", loss, on_step=False, on_epoch=True, sync_dist=True, batch_size=len(batch.rows))

    def configure_optimizers(self) -> Any:
        """AdamW with a constant rate: the number of epochs is tuned, and must mean the same in a refit."""
        return torch.optim.AdamW(self.parameters(), lr=self.config.learning_rate, weight_decay=self.config.weight_decay)
