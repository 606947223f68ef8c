"""Steps and optimizer of the recommender network; lists are judged elsewhere."""

import math
from typing import Any

import pytorch_lightning as lightning
import torch
from torch import Tensor

from everstay.recommender.batches import Batch
from everstay.recommender.loss import basket_loss, log_partition
from everstay.recommender.network import RepeatNetwork
from everstay.recommender.network_config import NetworkConfig


class RecommenderModule(lightning.LightningModule):
    """Trains a `RepeatNetwork`; logs `train_loss` and `validation_loss` per epoch.

    Args:
        network: to train.
        config: of its training.
        steps: batches in an epoch.
    """

    def __init__(self, network: RepeatNetwork, config: NetworkConfig, steps: int) -> None:
        super().__init__()
        self.network = network
        self.config = config
        self.steps = steps

    def training_step(self, batch: Batch, index: int) -> Tensor:  # noqa: ARG002
        """Loss of a batch, a scalar."""
        return self._logged(batch, "train_loss")

    def validation_step(self, batch: Batch, index: int) -> None:  # noqa: ARG002
        """Log the loss of a batch."""
        self._logged(batch, "validation_loss")

    def configure_optimizers(self) -> Any:
        """AdamW, warmed up over a quarter of an epoch, with cosine decay to 1% of the rate until `config.epochs`."""
        optimizer = torch.optim.AdamW(
            self.parameters(), lr=self.config.learning_rate, weight_decay=self.config.weight_decay
        )
        total, warm_up = self.steps * self.config.epochs, max(1, self.steps // 4)

        def rate(step: int) -> float:
            fall = 0.5 * (1 + math.cos(math.pi * min(1.0, step / total)))
            return min(1.0, (step + 1) / warm_up) * max(fall, 0.01)

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _logged(self, batch: Batch, name: str) -> Tensor:
        questions = len(batch.questions.user)
        log_probability = target_log_probability(self.network, batch)
        loss = basket_loss(log_probability, batch.target_question, questions, self.config.list_length)
        self.log(name, loss, on_step=False, on_epoch=True, sync_dist=True, batch_size=questions)
        return loss


def target_log_probability(network: RepeatNetwork, batch: Batch) -> Tensor:
    """Log probability of the targets (G,) under the mixture, whose explore part is a softmax over the candidates."""
    questions, question, item = batch.questions, batch.target_question, batch.target_item
    hidden = network.encode(questions)
    logits = network.explore_logits(hidden, questions, batch.candidates)
    candidates = batch.candidates if batch.candidates is not None else torch.arange(network.items, device=item.device)
    target_logits = network.explore_logits_at(hidden, questions, question, item)
    partition = log_partition(logits, candidates, target_logits, question, item, network.items)
    repeat = network.repeat(hidden, questions)
    explore = target_logits - partition[question] + repeat.log_explore[question]
    is_own = batch.target_own >= 0
    log_own = repeat.log_own[batch.target_own[is_own]] + repeat.log_repeat[question[is_own]]
    return explore.index_put((is_own.nonzero()[:, 0],), torch.logaddexp(explore[is_own], log_own))
