"""Fit the sequential network: stopped early on a validation set, or for a given number of epochs."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from torch.utils.data import DataLoader

from everstay.errors import NotReady
from everstay.features.sequences import TARGET_ITEM
from everstay.recommender.histories import read_histories
from everstay.recommender.network_config import SequentialConfig
from everstay.recommender.sequences import SequenceBatches, Sequences
from everstay.recommender.sequential_module import NextItems, Question, SequentialModule, question_batches
from everstay.recommender.sequential_network import SequentialNetwork
from everstay.recommender.vocabulary import ITEM_INDEX, Vocabulary
from everstay.settings import AlreadyBought, Training
from everstay.training import fit_network, make_trainer

_PATIENCE = 6


@dataclass(frozen=True)
class FittedSequential:
    """A trained network, its curves, and how many epochs it was trained for."""

    network: SequentialNetwork
    curves: dict[str, list[float]]
    epochs: int


def fit_sequential(
    sequences: Sequences,
    items: int,
    config: SequentialConfig,
    training: Training,
    folder: Path,
    *,
    validation: NextItems | None = None,
    epochs: int | None = None,
) -> FittedSequential:
    """Train on every transition of the sequences.

    Args:
        sequences: item indices.
        items: size of the vocabulary.
        config: of the network.
        training: device, seed and maximum epochs.
        folder: of the checkpoints, from which a killed call resumes.
        validation: stop where the NDCG of these is largest, and keep that epoch's weights.
        epochs: number to train without a validation set; ignored with one.

    Raises:
        NotReady: no sequence has two items.
    """
    batches = SequenceBatches(sequences, items, config, training.seed)
    if not len(batches.windows.lengths):
        raise NotReady("no user has a second purchase: the sequential network has nothing to learn from")
    questions = question_batches(validation, items, config.max_items) if validation else []
    trainer = make_trainer(
        training,
        folder=folder,
        monitor="validation_ndcg" if questions else None,
        mode="max",
        patience=_PATIENCE,
        max_epochs=(None if questions else epochs) or min(config.epochs, training.max_epochs),
    )
    network = SequentialNetwork(config, items)
    loader: DataLoader[Question] | None = None
    if questions:
        loader = DataLoader(questions, batch_size=None)  # type: ignore[arg-type]  # a list is a data set
    curves = fit_network(trainer, SequentialModule(network, config), batches, loader)
    return FittedSequential(network.cpu().eval(), curves.curves, curves.best_epochs)


def next_items(rows: pl.DataFrame, vocabulary: Vocabulary, already_bought: AlreadyBought) -> NextItems:
    """The next baskets of `rows` as questions; items outside the vocabulary are left out."""
    targets = rows.select(TARGET_ITEM).with_row_index("user").drop_nulls().explode(TARGET_ITEM)
    known = vocabulary.with_index(targets, TARGET_ITEM).drop_nulls(ITEM_INDEX).sort("user", ITEM_INDEX)
    return NextItems(
        Sequences.of(read_histories(rows, vocabulary)),
        known["user"].to_numpy().astype(np.int64),
        known[ITEM_INDEX].to_numpy().astype(np.int64),
        seen_is_hidden=already_bought == "remove",
    )
