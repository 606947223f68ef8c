"""The network: place t never sees t+1, company changes nothing, probabilities add up, one batch can be overfitted."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from everstay.recommender.attention import CausalBlock, pad_sequences
from everstay.recommender.batches import Asked, Questioner, answer
from everstay.recommender.histories import Histories, read_histories
from everstay.recommender.loss import basket_loss
from everstay.recommender.module import target_log_probability
from everstay.recommender.network import RepeatNetwork
from everstay.recommender.network_config import NetworkConfig
from everstay.recommender.network_fit import fit_network_ranker
from everstay.recommender.repeats import track_repeats
from everstay.recommender.trends import weekly_trends
from everstay.recommender.vocabulary import Vocabulary
from everstay.settings import Training

from .conftest import shop

CONFIG = NetworkConfig(dimensions=16, blocks=2, heads=2, max_orders=100)


@pytest.fixture
def histories(rows: pl.DataFrame, vocabulary: Vocabulary) -> Histories:
    return read_histories(rows, vocabulary)


@pytest.fixture
def questioner(histories: Histories, vocabulary: Vocabulary) -> Questioner:
    return Questioner(histories, track_repeats(histories), weekly_trends(histories, vocabulary.size, 8), 100)


@pytest.fixture
def network(vocabulary: Vocabulary) -> RepeatNetwork:
    """Random weights everywhere, so that every part of it shows in the result."""
    torch.manual_seed(5)
    network = RepeatNetwork(CONFIG, vocabulary.size)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.3 * torch.randn_like(parameter))
    return network.eval()


def test_a_place_never_sees_a_later_one() -> None:
    torch.manual_seed(0)
    block = CausalBlock(8, 2, 0.0).eval()
    x = torch.randn(1, 6, 8)
    changed = x.clone()
    changed[:, 4:] += 1.0
    with torch.no_grad():
        before, after = block(x), block(changed)
    torch.testing.assert_close(before[:, :4], after[:, :4], rtol=0, atol=0)
    assert (before[:, 4:] - after[:, 4:]).abs().min(dim=2).values.gt(0).all()


def test_pad_sequences_lays_out() -> None:
    padded = pad_sequences(torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([1, 0, 2]))
    assert padded[:, :, 0].tolist() == [[1, 0], [0, 0], [2, 3]]


def test_later_orders_change_no_question(
    rows: pl.DataFrame, vocabulary: Vocabulary, questioner: Questioner, network: RepeatNetwork
) -> None:
    lists = ["history_item", "history_days_ago", "history_order", "history_price", "history_discount"]
    early = rows.explode(lists).filter(pl.col("history_days_ago") > 14.0)
    early = early.with_columns(pl.col("history_order") - pl.col("history_order").min().over("user_id"))
    cut = rows.select("user_id").join(
        early.group_by("user_id").agg(lists), on="user_id", how="left", maintain_order="left"
    )
    alone = read_histories(cut, vocabulary)
    other = Questioner(alone, track_repeats(alone), questioner.trends.numpy(), 100)
    users = np.arange(rows.height)
    two_weeks = np.full(len(users), 2)
    seen = questioner.histories.user_start[:-1] + alone.order_counts
    with torch.no_grad():
        full = network(questioner.ask(Asked(users, seen, two_weeks)))
        part = network(other.ask(Asked(users, alone.user_start[1:], two_weeks)))
    torch.testing.assert_close(full, part, rtol=1e-5, atol=1e-5)


def test_company_and_padding_change_nothing(questioner: Questioner, network: RepeatNetwork) -> None:
    histories = questioner.histories
    users = np.arange(histories.user_count)
    now = np.zeros(len(users), np.int64)
    with torch.no_grad():
        together = network(questioner.ask(Asked(users, histories.user_start[1:], now)))
        for user in (0, 7, 31):
            one = Asked(users[[user]], histories.user_start[[user + 1]], now[:1])
            torch.testing.assert_close(network(questioner.ask(one))[0], together[user], rtol=1e-4, atol=1e-4)


def test_probabilities_sum_to_one(few: pl.DataFrame, vocabulary: Vocabulary, network: RepeatNetwork) -> None:
    histories = read_histories(few, vocabulary)
    questioner = Questioner(histories, track_repeats(histories), weekly_trends(histories, vocabulary.size, 1), 100)
    users = np.arange(few.height)
    with torch.no_grad():
        found = network(questioner.ask(Asked(users, histories.user_start[1:], np.zeros(len(users), np.int64))))
    assert torch.isfinite(found).all()
    torch.testing.assert_close(found.exp().sum(dim=1), torch.ones(few.height))


def test_untrained_it_ranks_like_personal_frequency(
    rows: pl.DataFrame, vocabulary: Vocabulary, questioner: Questioner
) -> None:
    from everstay.recommender.baselines import PersonalFrequencyRanker
    from everstay.recommender.config import PersonalFrequencyConfig

    network = RepeatNetwork(CONFIG, vocabulary.size).eval()
    torch.nn.init.zeros_(network.embedding.weight)
    config = PersonalFrequencyConfig(window_days=28, half_life_days=84.0, prior_orders=100.0)
    scores = PersonalFrequencyRanker.fit(vocabulary, config).scores(questioner.histories)
    users = np.arange(rows.height)
    with torch.no_grad():
        asked = Asked(users, questioner.histories.user_start[1:], np.zeros(len(users), np.int64))
        found = network(questioner.ask(asked)).exp().numpy()
    correlations = [np.corrcoef(found[user], scores[user])[0, 1] for user in users]
    assert min(correlations) > 0.99


def test_loss_equals_a_loop(questioner: Questioner, network: RepeatNetwork) -> None:
    histories = questioner.histories
    users = np.arange(0, histories.user_count, 4)
    asked = Asked(users, histories.user_start[users + 1] - 1, np.ones(len(users), np.int64))
    batch = answer(questioner, asked, None)
    with torch.no_grad():
        loss = basket_loss(target_log_probability(network, batch), batch.target_question, len(users), 2)
        probability = network(batch.questions).exp()
    total = 0.0
    for row, order in enumerate(asked.seen_until):
        basket = histories.line_item[histories.order_start[order] : histories.order_start[order + 1]]
        total += sum(-float(torch.log(probability[row, item])) for item in basket) / min(len(basket), 2)
    assert float(loss) == pytest.approx(total / len(users), rel=1e-5)
    assert (batch.target_own >= 0).any()
    assert (batch.target_own < 0).any()


def test_shared_negatives_agree_with_the_full_softmax_on_average(
    questioner: Questioner, network: RepeatNetwork
) -> None:
    histories = questioner.histories
    users = np.arange(histories.user_count)
    asked = Asked(users, histories.user_start[users + 1] - 1, np.ones(len(users), np.int64))
    full = answer(questioner, asked, None)
    generator = np.random.default_rng(0)
    with torch.no_grad():
        exact = target_log_probability(network, full)
        everything = answer(questioner, asked, torch.arange(network.items))
        torch.testing.assert_close(target_log_probability(network, everything), exact)
        sampled = []
        for _ in range(200):
            negatives = np.sort(generator.choice(network.items, network.items // 2, replace=False))
            batch = full._replace(candidates=torch.from_numpy(negatives))
            sampled.append(target_log_probability(network, batch))
    assert (torch.stack(sampled).mean(dim=0) - exact).abs().max() < 0.05


def test_one_batch_can_be_overfitted(questioner: Questioner, vocabulary: Vocabulary) -> None:
    torch.manual_seed(0)
    network = RepeatNetwork(CONFIG.model_copy(update={"dropout": 0.0}), vocabulary.size)
    users = np.arange(0, questioner.histories.user_count, 4)  # all have seen something: the same cold question twice
    asked = Asked(users, questioner.histories.user_start[users + 1] - 1, np.ones(len(users), np.int64))
    batch = answer(questioner, asked, None)  # would have two answers
    count = len(users)
    sizes = torch.bincount(batch.target_question, minlength=count)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
    losses = []
    for _ in range(150):
        loss = basket_loss(target_log_probability(network, batch), batch.target_question, count, 10)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    best = float(sizes[sizes > 0].log().mean())  # of a network that knows the baskets by heart
    assert losses[0] > best + 1.0
    assert min(losses) < best + 0.15


def test_without_a_known_target_all_epochs_are_trained(tmp_path: Path) -> None:
    rows = shop(12, 3).with_columns(pl.lit(["never-sold"]).alias("target_item"))
    training = Training(accelerator="cpu", max_epochs=2)
    fitted = fit_network_ranker(rows, Vocabulary.learn(rows, 2), NetworkConfig(), 28, training, tmp_path)
    assert fitted.epochs == 2
    assert set(fitted.curves) == {"train_loss"}
