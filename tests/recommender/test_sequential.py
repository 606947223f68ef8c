"""The sequential network sees the past only, wastes no place, and learns; its loss equals a slow loop."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from everstay.errors import NotReady
from everstay.recommender.network_config import SequentialConfig
from everstay.recommender.sequences import SequenceBatch, SequenceBatches, Sequences, lay_out, transitions
from everstay.recommender.sequential_fit import fit_sequential
from everstay.recommender.sequential_loss import product_type, softmax_loss
from everstay.recommender.sequential_module import NextItems, next_item_loss, question_batches, target_ndcg
from everstay.recommender.sequential_network import SequentialNetwork
from everstay.settings import Training

ITEMS = 30
CONFIG = SequentialConfig(dimensions=8, blocks=2, heads=2, dropout=0.0, input_dropout=0.0, max_items=12)


def sequences_of(*items: list[int]) -> Sequences:
    lengths = [len(part) for part in items]
    return Sequences(np.array([x for part in items for x in part], np.int64), np.cumsum([0, *lengths]))


def parts(sequences: Sequences) -> list[list[int]]:
    return [sequences.item[a:b].tolist() for a, b in zip(sequences.start[:-1], sequences.start[1:], strict=True)]


@pytest.fixture(params=["attention", "gru"])
def network(request: pytest.FixtureRequest) -> SequentialNetwork:
    torch.manual_seed(1)
    return SequentialNetwork(CONFIG.model_copy(update={"encoder": request.param}), ITEMS).eval()


def walks(count: int, seed: int) -> Sequences:
    """Users who go from item i to item i + 1 or i + 2."""
    generator = np.random.default_rng(seed)
    steps = [generator.integers(1, 3, generator.integers(2, 9)) for _ in range(count)]
    return sequences_of(*((generator.integers(ITEMS) + np.cumsum(step)) % ITEMS for step in steps))


def test_a_place_never_sees_a_later_one(network: SequentialNetwork) -> None:
    before = SequenceBatch(torch.tensor([[1, 2, 3, 4, 5]]), torch.tensor([5]))
    after = SequenceBatch(torch.tensor([[1, 2, 3, 9, 8]]), torch.tensor([5]))
    old, new = network(before), network(after)
    assert torch.equal(old[:3], new[:3])
    assert not torch.allclose(old[3], new[3])


def test_less_dropout_where_items_are_followed_often() -> None:
    config = SequentialConfig()
    sequences = sequences_of([1, 2, 1, 2, 1], [0], [2, 1])
    assert sequences.density(5) == 1.0
    assert config.for_density(99.0) == config
    dense = config.for_density(100.0)
    assert (dense.dropout, dense.input_dropout) == (0.2, 0.2)
    assert dense.model_copy(update={"dropout": config.dropout, "input_dropout": config.input_dropout}) == config


def test_company_and_what_lies_behind_the_end_change_nothing(network: SequentialNetwork) -> None:
    together = network(lay_out(sequences_of([4, 5], [7, 1, 2, 3, 9, 6])))
    rubbish = SequenceBatch(torch.tensor([[4, 5, 11, 12], [7, 8, 9, 10]]), torch.tensor([2, 4]))
    alone = network(lay_out(sequences_of([4, 5])))
    torch.testing.assert_close(together[:2], alone)
    torch.testing.assert_close(network(rubbish)[:2], alone)
    torch.testing.assert_close(network.last(rubbish)[0], alone[-1])


def test_attention_is_told_the_distance_from_the_end(network: SequentialNetwork) -> None:
    """So what a place expects in the middle of a sequence differs from what it expects at an end; recurrence counts."""
    short, long = network(lay_out(sequences_of([4, 5]))), network(lay_out(sequences_of([4, 5, 6])))
    assert torch.allclose(short, long[:2], atol=1e-6) == (network.distance is None)
    turned = network(lay_out(sequences_of([5, 4])))
    assert not torch.allclose(turned[1], network(lay_out(sequences_of([4]))), atol=1e-3)


@given(st.lists(st.lists(st.integers(0, ITEMS - 1), max_size=20), min_size=1, max_size=8), st.integers(1, 6))
def test_windows_hold_every_transition_once(items: list[list[int]], most: int) -> None:
    cut = parts(sequences_of(*items).windows(most))
    expected = [pair for part in items for pair in pairwise(part)]
    assert [pair for part in cut for pair in pairwise(part)] == expected
    assert all(2 <= len(part) <= most + 1 for part in cut)


def test_an_epoch_asks_every_transition_once() -> None:
    sequences = walks(300, 2)
    config = CONFIG.model_copy(update={"batch_items": 16, "candidates": 20, "max_items": 4})
    batches = SequenceBatches(sequences, ITEMS, config, 7)
    targets = [batch.target for batch in batches]
    expected = [item for part in parts(sequences) for item in part[1:]]
    assert sorted(torch.cat(targets).tolist()) == sorted(expected)
    assert max(map(len, targets)) <= 16
    for batch in batches:
        assert batch.candidates is not None
        assert torch.isin(batch.target, batch.candidates).all()
        assert len(batch.candidates) == 20
        assert (batch.candidates.diff() > 0).all()
    assert [batch.target.tolist() for batch in batches] == [target.tolist() for target in targets]
    batches.set_epoch(1)
    assert [batch.target.tolist() for batch in batches] != [target.tolist() for target in targets]


def test_transitions_pair_each_item_with_the_next() -> None:
    batch = transitions(sequences_of([3, 1, 2], [5, 6]), None)
    assert batch.batch.items.tolist() == [[3, 1], [5, 0]]
    assert batch.batch.lengths.tolist() == [2, 1]
    assert batch.target.tolist() == [1, 2, 6]


def test_the_loss_equals_a_slow_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("everstay.recommender.sequential_loss._PLACES_AT_ONCE", 3)
    monkeypatch.setattr("everstay.recommender.sequential_loss.product_type", lambda device: torch.float32)
    generator = torch.Generator().manual_seed(0)
    queries, items = (torch.randn(n, 4, generator=generator).requires_grad_() for n in (7, 5))
    target = torch.tensor([0, 1, 2, 3, 4, 0, 2])
    loss = softmax_loss(queries, items, target, 2.0)
    loss.backward()
    found = queries.grad, items.grad
    queries.grad = items.grad = None
    slow = sum(
        torch.log(sum(torch.exp(2.0 * query @ item) for item in items)) - 2.0 * query @ items[goal]  # type: ignore[arg-type]
        for query, goal in zip(queries, target, strict=True)
    ) / len(target)
    slow.backward()
    torch.testing.assert_close(loss, slow)
    torch.testing.assert_close(found, (queries.grad, items.grad))


def test_every_candidate_is_a_negative_that_is_drawn_once() -> None:
    batch = transitions(sequences_of([3, 1, 2]), np.array([9, 2, 5, 7]))
    assert batch.candidates is not None
    assert batch.candidates.tolist() == [1, 2, 5, 9]


def test_low_precision_keeps_the_gradient() -> None:
    generator = torch.Generator().manual_seed(0)
    queries, items = (torch.nn.functional.normalize(torch.randn(n, 16, generator=generator)) for n in (50, 80))
    target = torch.randint(80, (50,), generator=generator)
    exact = queries.clone().requires_grad_()
    torch.nn.functional.cross_entropy(exact @ items.T / 0.1, target).backward()
    fast = queries.clone().requires_grad_()
    softmax_loss(fast, items, target, 10.0).backward()
    assert exact.grad is not None
    tolerance = 0.02 if product_type(queries.device) == torch.bfloat16 else 1e-5
    assert (fast.grad - exact.grad).norm() < tolerance * exact.grad.norm()  # type: ignore[operator]


def test_one_batch_can_be_overfitted() -> None:
    torch.manual_seed(0)
    network = SequentialNetwork(CONFIG, ITEMS)
    batch = transitions(sequences_of([1, 2, 3, 4], [5, 9, 2, 7], [8, 6, 0]), None)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
    for _ in range(120):
        loss = next_item_loss(network, batch, 0.1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.05


def test_ndcg_of_targets_is_arithmetic(network: SequentialNetwork) -> None:
    sequences = sequences_of([1, 2, 3], [], [4, 4, 7])
    order = (network.last(lay_out(sequences_of([1, 2, 3]))) @ network.unit_items().T)[0].argsort(descending=True)
    unseen = [item for item in order.tolist() if item not in (1, 2, 3)]
    asked = NextItems(sequences, np.array([0, 0, 1, 0, 2]), np.array([unseen[2], 1, 5, unseen[10], 4]), True)
    (question,) = question_batches(asked, ITEMS, 12)
    assert target_ndcg(network, question).tolist() == pytest.approx([0.5, 0.0, 0.0, 0.0])


def test_of_a_large_catalogue_few_questions_are_answered_at_once() -> None:
    sequences = sequences_of([1], [2, 3], [4], [5, 6, 7])
    asked = NextItems(sequences, np.arange(4), np.array([3, 1, 2, 0]), False)
    batches = question_batches(asked, 32_000_000, 12)
    assert [len(question.target) for question in batches] == [2, 2]
    assert sorted(torch.cat([question.target for question in batches]).tolist()) == [0, 1, 2, 3]


def test_it_learns_and_stops_at_the_best_epoch(tmp_path: Path) -> None:
    sequences, training = walks(400, 5), Training(seed=3, accelerator="cpu")
    config = SequentialConfig(dimensions=16, batch_items=128, learning_rate=0.01, epochs=6)
    last = sequences.start[1:] - 1
    seen = sequences_of(*(part[:-1] for part in parts(sequences)))
    asked = NextItems(seen, np.arange(400), sequences.item[last], False)
    fitted = fit_sequential(seen, ITEMS, config, training, tmp_path / "a", validation=asked)
    assert max(fitted.curves["validation_ndcg"]) > 0.6  # by chance: 0.15; at best .82, for there are two ways to go on
    assert fitted.epochs == int(np.argmax(fitted.curves["validation_ndcg"])) + 1
    again = fit_sequential(seen, ITEMS, config, training, tmp_path / "b", epochs=2)
    assert again.epochs == 2
    assert again.curves["train_loss"] == pytest.approx(fitted.curves["train_loss"][:2])


def test_nothing_to_learn_from(tmp_path: Path) -> None:
    with pytest.raises(NotReady, match="second purchase"):
        fit_sequential(sequences_of([1], [], [2]), ITEMS, CONFIG, Training(accelerator="cpu"), tmp_path, epochs=1)
