"""The transformer: a place never sees a later one, pre-training's loss is a Python loop's, weekdays are right."""

from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest
import torch

from everstay.churn.batches import Batch
from everstay.churn.config import TransformerConfig
from everstay.churn.encoding import TYPES, TokenEncoder
from everstay.churn.network import ChurnNetwork
from everstay.churn.pretraining import next_token_loss
from everstay.churn.returns import OUTLOOKS


@pytest.fixture
def network() -> ChurnNetwork:
    torch.manual_seed(0)
    return ChurnNetwork(TransformerConfig(), features=5, types=TYPES, token_numbers=3).eval()


@torch.inference_mode()
def test_a_place_never_sees_a_later_one(network: ChurnNetwork) -> None:
    kinds, numbers = torch.randint(0, TYPES, (2, 6)), torch.randn(2, 6, 3)
    whole = network.states(kinds, numbers)
    for place in range(6):
        changed = numbers.clone()
        changed[:, place] += 1.0
        moved = (network.states(kinds, changed) - whole).abs().amax(dim=(0, 2))
        assert (moved[:place] == 0).all()
        assert (moved[place:] > 0).all()


def test_the_loss_of_the_next_token_is_that_of_a_loop() -> None:
    generator = torch.Generator().manual_seed(2)
    lengths = torch.tensor([4, 1, 0, 3])
    batch = Batch(
        torch.zeros(4, 5), torch.randint(0, TYPES, (4, 4), generator=generator),
        torch.randn(4, 4, 3, generator=generator), lengths, torch.zeros(4, OUTLOOKS), torch.arange(4),
    )  # fmt: skip
    kinds, numbers = torch.randn(4, 4, TYPES, generator=generator), torch.randn(4, 4, 3, generator=generator)
    chances, errors = [], []
    for row in range(4):
        for place in range(int(lengths[row]) - 1):
            chances.append(-torch.log_softmax(kinds[row, place], 0)[batch.kinds[row, place + 1]])
            errors.append(((numbers[row, place] - batch.numbers[row, place + 1]) ** 2).mean())
    slow = torch.stack(chances).mean() + torch.stack(errors).mean()
    torch.testing.assert_close(next_token_loss(kinds, numbers, batch), slow)
    alone = batch._replace(lengths=torch.ones(4, dtype=torch.int64))
    assert next_token_loss(kinds, numbers, alone) == 0


def test_weekdays_are_those_of_the_tokens_days() -> None:
    rows = pl.DataFrame(
        {
            "as_of": [datetime(2026, 11, 24, tzinfo=UTC)],  # a Tuesday
            "token_type": [["purchase"] * 4],
            "token_days_ago": [[8.0, 7.0, 2.0, 1.0]],
            **{f"token_{name}": [[1.0] * 4] for name in ("count", "amount", "items", "discount", "hour")},
        },
        schema_overrides={"as_of": pl.Datetime("us", "UTC")},
    )
    raw = TokenEncoder(64, np.zeros(1), np.ones(1), reads_weekdays=True).encode(rows).numbers
    circle = raw[:, -2:]  # as signed logarithms
    np.testing.assert_allclose(circle[0], circle[3])  # Mondays
    assert not np.allclose(circle[0], circle[1])
    assert not np.allclose(circle[1], circle[2])  # Tuesday, Sunday
    assert TokenEncoder(64, np.zeros(1), np.ones(1)).encode(rows).numbers.shape == (4, 7)
