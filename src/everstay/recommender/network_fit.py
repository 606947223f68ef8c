"""Fit the network on past questions: stopped early by the validation loss, or for a given number of epochs."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import torch
from torch.utils.data import DataLoader

from everstay.errors import NotReady
from everstay.features.sequences import TARGET_ITEM
from everstay.recommender.batches import Asked, BasketBatches, Batch, Questioner, oldest_week, with_targets
from everstay.recommender.histories import Histories, IntArray, read_histories, spread
from everstay.recommender.module import RecommenderModule
from everstay.recommender.network import RepeatNetwork
from everstay.recommender.network_config import NetworkConfig
from everstay.recommender.ranker import NetworkRanker
from everstay.recommender.repeats import Repeats, own_items, track_repeats
from everstay.recommender.trends import current_trends, weekly_trends
from everstay.recommender.vocabulary import ITEM_INDEX, Vocabulary
from everstay.settings import Training
from everstay.training import fit_network, make_trainer

_PATIENCE = 3
_MEASURED_QUESTIONS = 2_048


@dataclass(frozen=True)
class FittedNetwork:
    """A trained network, its curves, and how many epochs it was trained for."""

    ranker: NetworkRanker
    curves: dict[str, list[float]]
    epochs: int


def fit_network_ranker(
    rows: pl.DataFrame,
    vocabulary: Vocabulary,
    config: NetworkConfig,
    horizon_days: int,
    training: Training,
    folder: Path,
    epochs: int | None = None,
) -> FittedNetwork:
    """Train on what lies before the as-of of `rows`.

    Args:
        rows: purchase histories at one as-of and, to find the number of epochs, `target_item`.
        vocabulary: learned at the same as-of.
        config: of the network.
        horizon_days: within which a next basket counts.
        training: device, seed and maximum epochs.
        folder: of the checkpoints, from which a killed call resumes.
        epochs: number to train, ignoring targets; None: stop where the loss of `target_item` is smallest, or train all
            epochs if the vocabulary holds no target.

    Raises:
        NotReady: nobody has a second order within the horizon.
    """
    histories = read_histories(rows, vocabulary)
    repeats = track_repeats(histories)
    weeks = oldest_week(histories, horizon_days)
    questioner = Questioner(histories, repeats, weekly_trends(histories, vocabulary.size, weeks), config.max_orders)
    batches = BasketBatches(questioner, config, horizon_days, training.seed)
    validation = [] if epochs else target_batches(rows, vocabulary, questioner, config)
    trainer = make_trainer(
        training,
        folder=folder,
        monitor="validation_loss" if validation else None,
        patience=_PATIENCE,
        max_epochs=epochs or min(config.epochs, training.max_epochs),
    )
    network = RepeatNetwork(config, vocabulary.size)
    measure_features(network, batches, histories, repeats)
    module = RecommenderModule(network, config, len(batches))
    loader: DataLoader[Batch] | None = None
    if validation:
        loader = DataLoader(validation, batch_size=None)  # type: ignore[arg-type]  # a list is a data set
    curves = fit_network(trainer, module, batches, loader)
    ranker = NetworkRanker(config, network.cpu().eval(), current_trends(vocabulary)[None])
    return FittedNetwork(ranker, curves.curves, epochs or curves.best_epochs)


def target_batches(
    rows: pl.DataFrame, vocabulary: Vocabulary, questioner: Questioner, config: NetworkConfig
) -> list[Batch]:
    """The next baskets after the as-of as batches; users without a target in the vocabulary are left out."""
    targets = rows.select(TARGET_ITEM).with_row_index("user").drop_nulls().explode(TARGET_ITEM)
    known = vocabulary.with_index(targets, TARGET_ITEM).drop_nulls(ITEM_INDEX).sort("user", ITEM_INDEX)
    user, item = (known[name].to_numpy().astype(np.int64) for name in ("user", ITEM_INDEX))
    users, start, count = np.unique(user, return_index=True, return_counts=True)
    if not len(users):
        return []
    size = config.batch_users * config.questions_per_user
    return [
        _target_batch(questioner, users[part], (start[part], count[part]), item)
        for part in np.array_split(np.arange(len(users)), -(-len(users) // size))
    ]


def _target_batch(questioner: Questioner, users: IntArray, ranges: tuple[IntArray, IntArray], item: IntArray) -> Batch:
    asked = Asked(users, questioner.histories.user_start[users + 1], np.zeros(len(users), np.int64))
    question, line = spread(*ranges)
    return with_targets(questioner.ask(asked), question, item[line], None)


def measure_features(network: RepeatNetwork, batches: BasketBatches, histories: Histories, repeats: Repeats) -> None:
    """Set the mean and scale of the repeat features from a sample of questions.

    Raises:
        NotReady: no question has an answer.
    """
    generator = np.random.default_rng(batches.seed)
    count = min(len(batches.users), -(-_MEASURED_QUESTIONS // batches.config.questions_per_user))
    users = np.sort(generator.choice(batches.users, count, replace=False))
    asked = batches.draw(users, generator)
    if not len(asked.user):  # few of many users came back
        asked = batches.latest()
    if not len(asked.user):
        raise NotReady("nobody has a second order within the horizon: the network has nothing to learn from")
    own = own_items(histories, repeats, asked.user, asked.seen_until, asked.days_ago)
    trends = batches.questioner.trends.numpy()[asked.week[own.question], :, own.item]
    features = np.concatenate([own.features, trends], axis=1)
    if len(features):
        network.feature_mean.copy_(torch.from_numpy(features.mean(axis=0)))
        network.feature_scale.copy_(torch.from_numpy(features.std(axis=0) + 1e-2))
