"""The network: padding changes nothing, its loss is the textbook's, it can learn one batch by heart."""

import math

import pytest
import torch
from torch import Tensor

from everstay.churn.batches import Batch
from everstay.churn.config import NetworkConfig
from everstay.churn.loss import churn_loss, outlook_loss
from everstay.churn.network import ChurnNetwork
from everstay.churn.returns import OUTLOOKS

CONFIG = NetworkConfig(dropout=0.0)


@pytest.fixture
def network() -> ChurnNetwork:
    torch.manual_seed(0)
    return ChurnNetwork(CONFIG, features=5, types=4, token_numbers=3).eval()


def random_batch(rows: int = 16, longest: int = 7) -> Batch:
    generator = torch.Generator().manual_seed(1)
    lengths = torch.arange(rows) % (longest + 1)
    is_token = torch.arange(longest) < lengths[:, None]
    kinds = torch.randint(0, 4, (rows, longest), generator=generator) * is_token
    numbers = torch.randn(rows, longest, 3, generator=generator) * is_token[:, :, None]
    features = torch.randn(rows, 5, generator=generator)
    returns = torch.randint(0, 2, (rows, OUTLOOKS), generator=generator).float()
    return Batch(features, kinds, numbers, lengths, returns, torch.arange(rows))


def pad(values: Tensor, places: int, content: float) -> Tensor:
    return torch.cat([values, torch.full((len(values), places, *values.shape[2:]), content).to(values)], dim=1)


@torch.inference_mode()
def test_padding_changes_nothing(network: ChurnNetwork) -> None:
    batch = random_batch()
    longer = batch._replace(kinds=pad(batch.kinds, 5, 2), numbers=pad(batch.numbers, 5, 9.0))
    torch.testing.assert_close(network(longer), network(batch), rtol=0, atol=1e-6)


@torch.inference_mode()
def test_a_row_is_scored_the_same_alone(network: ChurnNetwork) -> None:
    batch = random_batch()
    whole = network(batch)
    for row in range(len(whole)):
        length = max(1, int(batch.lengths[row]))
        part = slice(row, row + 1)
        alone = Batch(*(value[part] for value in batch))
        alone = alone._replace(kinds=alone.kinds[:, :length], numbers=alone.numbers[:, :length])
        torch.testing.assert_close(network(alone)[0], whole[row], rtol=0, atol=1e-5)


@torch.inference_mode()
def test_every_token_and_feature_counts(network: ChurnNetwork) -> None:
    batch = random_batch()
    row = 7  # has seven tokens
    for place in range(7):
        numbers = batch.numbers.clone()
        numbers[row, place] += 1.0
        changed = network(batch._replace(numbers=numbers)) != network(batch)
        assert changed.nonzero().flatten().tolist() == [row]
    features = batch.features.clone()
    features[0] += 1.0
    assert network(batch._replace(features=features))[0] != network(batch)[0]


def test_loss_equals_a_loop() -> None:
    odds, churned = torch.tensor([0.3, -2.0, 5.0]), torch.tensor([1.0, 0.0, 0.0])
    total = 0.0
    for odd, left in zip(odds.tolist(), churned.tolist(), strict=True):
        chance = 1 / (1 + math.exp(-odd))
        total -= math.log(chance if left else 1 - chance)
    assert churn_loss(odds, churned).item() == pytest.approx(total / 3)


def test_outlook_loss_equals_a_loop() -> None:
    generator = torch.Generator().manual_seed(3)
    outlook = torch.randn(3, OUTLOOKS, generator=generator)
    returns = torch.cat([torch.ones(3, OUTLOOKS - 1), torch.tensor([[0.0], [2.0], [5.0]])], dim=1)
    total = 0.0
    for said, came in zip(outlook.tolist(), returns.tolist(), strict=True):
        losses = [math.log1p(math.exp(-odds)) for odds in said[:-1]]  # every silence happened
        total += losses[0] + 0.3 * sum(losses[1:]) + 0.1 * (math.exp(said[-1]) - came[-1] * said[-1])
    assert outlook_loss(outlook, returns).item() == pytest.approx(total / 3, rel=1e-5)


def test_one_batch_can_be_learned_by_heart(network: ChurnNetwork) -> None:
    batch = random_batch()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    for _ in range(200):
        optimizer.zero_grad()
        outlook_loss(network.outlook(batch), batch.returns).backward()
        optimizer.step()
    assert churn_loss(network(batch), batch.returns[:, 0]).item() < 0.01
