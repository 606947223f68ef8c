"""Steps and optimizer of the sequential network; training monitors the NDCG of the next items."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytorch_lightning as lightning
import torch
from torch import Tensor

from everstay.recommender.histories import IntArray
from everstay.recommender.network_config import SequentialConfig
from everstay.recommender.sequences import SequenceBatch, Sequences, Transitions, lay_out
from everstay.recommender.sequential_loss import softmax_loss
from everstay.recommender.sequential_network import SequentialNetwork

_LIST_LENGTH = 10
_QUESTIONS_AT_ONCE = 1_024
_CELLS = 64_000_000  # scores of a batch of questions: 256 MB
_MOST_JUDGED = 25_000


@dataclass(frozen=True)
class NextItems:
    """What came next: `item` (G,) after sequence number `sequence` (G,), ascending; are items already bought hidden?"""

    sequences: Sequences
    sequence: IntArray
    item: IntArray
    seen_is_hidden: bool


class Question(NamedTuple):
    """A batch of `NextItems`: target (G,) of row (G,), and the hidden items (H,) of rows (H,)."""

    batch: SequenceBatch
    row: Tensor
    target: Tensor
    hidden_row: Tensor
    hidden_item: Tensor


class SequentialModule(lightning.LightningModule):
    """Trains a `SequentialNetwork`; logs `train_loss` and `validation_ndcg` per epoch.

    Args:
        network: to train.
        config: of its training.
    """

    def __init__(self, network: SequentialNetwork, config: SequentialConfig) -> None:
        super().__init__()
        self.network = network
        self.config = config

    def training_step(self, batch: Transitions, index: int) -> Tensor:  # noqa: ARG002
        """Loss of a batch, a scalar."""
        loss = next_item_loss(self.network, batch, self.config.temperature)
        self.log(
            "train_loss", loss.detach(), on_step=False, on_epoch=True, sync_dist=True, batch_size=len(batch.target)
        )
        return loss

    def validation_step(self, batch: Question, index: int) -> None:  # noqa: ARG002
        """Log the mean NDCG of a batch's targets."""
        values = target_ndcg(self.network, batch)
        self.log("validation_ndcg", values.mean(), on_step=False, on_epoch=True, sync_dist=True, batch_size=len(values))

    def configure_optimizers(self) -> Any:
        """AdamW at a constant rate."""
        rate, decay = self.config.learning_rate, self.config.weight_decay
        return torch.optim.AdamW(self.parameters(), lr=rate, weight_decay=decay, fused=True)


def next_item_loss(network: SequentialNetwork, batch: Transitions, temperature: float) -> Tensor:
    """Mean over transitions of -log softmax of the item that followed, among the candidates."""
    queries, target = network(batch.batch), batch.target
    if batch.candidates is not None:
        target = torch.searchsorted(batch.candidates, target)
    return softmax_loss(queries, network.unit_items(batch.candidates), target, 1.0 / temperature)


@torch.inference_mode()
def target_ndcg(network: SequentialNetwork, question: Question) -> Tensor:
    """1 / log2(1 + rank) of each target (G,), full ranking; 0 beyond the list and for an item that is hidden."""
    scores = network.last(question.batch) @ network.unit_items().T
    scores[question.hidden_row, question.hidden_item] = -torch.inf
    own = scores[question.row, question.target, None]
    best = scores.topk(min(_LIST_LENGTH, scores.shape[1])).values  # so that no target needs a row of all items
    rank = 1 + (best[question.row] > own).sum(dim=1)
    is_hit = (rank <= _LIST_LENGTH) & own[:, 0].isfinite()
    return torch.where(is_hit, 1.0 / torch.log2(1.0 + rank), 0.0)


def question_batches(asked: NextItems, items: int, most_items: int) -> list[Question]:
    """Batches of questions, of sequences of similar length; at most `_MOST_JUDGED`, evenly spaced.

    Args:
        asked: questions; a sequence without an item, or without a target, is left out.
        items: size of the vocabulary; of a large one fewer questions are in a batch.
        most_items: latest items of a sequence that the network reads.
    """
    at_once = max(1, min(_QUESTIONS_AT_ONCE, _CELLS // items))
    lengths = asked.sequences.lengths
    known = np.unique(asked.sequence[lengths[asked.sequence] > 0])
    chosen = known[:: -(-len(known) // _MOST_JUDGED) or 1]
    ordered = chosen[np.argsort(lengths[chosen], kind="stable")]
    parts = range(0, len(ordered), at_once)
    return [_question(asked, ordered[start : start + at_once], most_items) for start in parts]


def _question(asked: NextItems, chosen: IntArray, most_items: int) -> Question:
    part = asked.sequences.select(chosen)
    row_of = np.full(len(asked.sequences.lengths), -1)
    row_of[chosen] = np.arange(len(chosen))
    row = row_of[asked.sequence]
    hidden = part.item if asked.seen_is_hidden else part.item[:0]
    hidden_row = np.repeat(np.arange(len(chosen)), part.lengths)[: len(hidden)]
    arrays = (row[row >= 0], asked.item[row >= 0], hidden_row, hidden)
    return Question(lay_out(part.latest(most_items)), *map(torch.from_numpy, arrays))
