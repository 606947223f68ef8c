from dataclasses import dataclass, field

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from pydantic import BaseModel

from everstay.recommender import screening
from everstay.recommender import top_k as module
from everstay.recommender.excluded import Excluded, Scores
from everstay.recommender.histories import Histories, IntArray
from everstay.recommender.model import ListModel
from everstay.recommender.top_k import ExactIndex, top_k
from everstay.recommender.vocabulary import Vocabulary


def slow_top_k(scores: Scores, k: int, excluded: set[tuple[int, int]]) -> list[list[int]]:
    lists = []
    for user, row in enumerate(scores.tolist()):
        allowed = [item for item in range(len(row)) if (user, item) not in excluded and row[item] != -np.inf]
        best = sorted(allowed, key=lambda item: (-row[item], item))[:k]
        lists.append(best + [-1] * (k - len(best)))
    return lists


few_values = st.sampled_from([-np.inf, -2.0, -0.0, 0.5, 0.5000001, 3.0])
matrices = hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=150), elements=few_values)


@given(matrices, st.integers(1, 12), st.data())
@settings(max_examples=30, deadline=None)
def test_top_k_equals_sorting(scores: Scores, k: int, data: st.DataObject):
    users, items = scores.shape
    pair = st.tuples(st.integers(0, users - 1), st.integers(0, items - 1))
    pairs = data.draw(st.lists(pair, max_size=30))
    everywhere = sorted(data.draw(st.sets(st.integers(0, items - 1), max_size=5)))
    user, item = (np.array([pair[side] for pair in pairs], np.int64) for side in (0, 1))
    excluded = Excluded.from_pairs(user, item, users, np.array(everywhere, np.int64))
    forbidden = {*pairs, *((one, item) for one in range(users) for item in everywhere)}
    expected = slow_top_k(scores, k, forbidden)
    found, values = top_k(scores.copy(), k, excluded)
    assert found.tolist() == expected
    filled = np.where(found >= 0, np.take_along_axis(scores, np.maximum(found, 0), axis=1), -np.inf)
    np.testing.assert_array_equal(values, filled)


@pytest.fixture
def screened(monkeypatch: pytest.MonkeyPatch):
    """Screening on every processor, and of few users too."""
    monkeypatch.setattr(screening, "is_fast", lambda: True)
    monkeypatch.setattr(screening, "_USERS_PER_DIMENSION", 0)


@pytest.mark.parametrize(("users", "items"), [(1, 1), (5, 7), (40, 50), (13, 129)])
@pytest.mark.parametrize("k", [1, 10, 200])
@pytest.mark.parametrize("is_screened", [False, True])
def test_products_equal_the_matrix_of_all_scores(
    users: int, items: int, k: int, is_screened: bool, screened: None, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(screening, "is_fast", lambda: is_screened)
    monkeypatch.setattr(module, "_BLOCK_USERS", 6)
    monkeypatch.setattr(module, "_BLOCK_ITEMS", 16)
    monkeypatch.setattr(screening, "_BLOCK_USERS", 6)
    monkeypatch.setattr(screening, "_BLOCK_ITEMS", 16)
    monkeypatch.setattr("everstay.recommender.screening_kernels._ROOM", 8)  # some do not fit
    generator = np.random.default_rng(users * items)
    left, right = (generator.integers(-3, 4, (count, 5)).astype(np.float32) for count in (users, items))
    user, item = generator.integers(0, users, 60), generator.integers(0, items, 60)
    excluded = Excluded.from_pairs(user, item, users, np.array([items - 1]))
    found = ExactIndex.of(right).search(left, k, excluded)
    expected = top_k(left @ right.T, k, excluded)  # whole numbers: no rounding, many ties
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1], expected[1])


@pytest.mark.parametrize("shift", [-3.0, 0.0, 3.0])  # all scores negative, or both, or positive
@pytest.mark.parametrize(
    ("user_scale", "item_scale"), [(1, 1), (1e-6, 1e6), (1e-25, 1), (1e20, 1), (1, 1e-25), (1, 1e20)]
)
def test_screening_misses_nothing(shift: float, user_scale: float, item_scale: float, screened: None):
    generator = np.random.default_rng(11)
    users, items = generator.standard_normal((40, 32)), generator.standard_normal((5_000, 32))
    items *= generator.gamma(2, size=(5_000, 1))
    users[:, 0], items[:, 0] = 10, shift  # a score's common part: differences are small beside it
    users, items = (users * user_scale).astype(np.float32), (items * item_scale).astype(np.float32)
    found, values = ExactIndex.of(items).search(users, 10)
    exact = users.astype(np.float64) @ items.T.astype(np.float64)
    best = -np.sort(-exact, axis=1)[:, :10]
    np.testing.assert_allclose(np.take_along_axis(exact, found, axis=1), best, rtol=1e-5)
    np.testing.assert_allclose(values, best, rtol=1e-5)


def test_screening_of_many_users(screened: None):
    generator = np.random.default_rng(12)
    users, items = (generator.standard_normal((count, 16), dtype=np.float32) for count in (2_500, 3_000))
    owner, owned = generator.integers(0, 2_500, 50_000), generator.integers(0, 3_000, 50_000)
    excluded = Excluded.from_pairs(owner, owned, 2_500, np.array([5, 8]))
    found, _ = ExactIndex.of(items).search(users, 10, excluded)
    exact = excluded.mask(users.astype(np.float64) @ items.T.astype(np.float64))
    best = -np.sort(-exact, axis=1)[:, :10]
    np.testing.assert_allclose(np.take_along_axis(exact, found, axis=1), best, rtol=1e-5)


def test_the_search_goes_on_while_rounding_could_hide_a_shorter_item(screened: None, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(screening, "_BLOCK_ITEMS", 8)
    generator = np.random.default_rng(13)
    angle, length = generator.uniform(0, 2 * np.pi, 200), generator.uniform(0.97, 1, 200)
    half = (np.column_stack([np.cos(angle), np.sin(angle)]) * length[:, None]).astype(np.float32)
    items = np.concatenate([half, -half])  # their mean is zero
    turn = generator.uniform(0, 2 * np.pi, 3_000)
    users = np.column_stack([np.cos(turn), np.sin(turn)]).astype(np.float32)
    found, _ = ExactIndex.of(items).search(users, 1)
    exact = users.astype(np.float64) @ items.T.astype(np.float64)
    np.testing.assert_allclose(np.take_along_axis(exact, found, axis=1)[:, 0], exact.max(axis=1), rtol=1e-6)


@pytest.mark.parametrize(
    "items",
    [
        np.array([[3, 4]]),
        np.full((9, 2), 0.5),
        np.zeros((700, 2)),
        np.empty((0, 2)),
        np.arange(50)[:, None],
        np.array([[1, 2], [np.nan, 1], [2, 1], [0, 5]]),
        np.array([[1, 2], [-np.inf, 1], [2, 1], [0, 5]]),
    ],
    ids=["one", "alike", "zero", "none", "of one dimension", "not a number", "infinite"],
)
def test_unusual_items(items: NDArray[np.float64], screened: None):
    items = items.astype(np.float32)
    users = np.array([[1, 2], [1, 0.5], [1, 3]], np.float32)[:, : items.shape[1]]
    excluded = Excluded.from_pairs(np.array([2] * len(items)), np.arange(len(items)), 3)  # one user gets nothing
    found = ExactIndex.of(items).search(users, 3, excluded)
    expected = top_k(users @ items.T, 3, excluded)
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1], expected[1])


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_unusual_users_do_not_harm_others(value: float, screened: None):
    generator = np.random.default_rng(2)
    users, items = (generator.integers(-9, 10, (count, 4)).astype(np.float32) for count in (5, 2_000))
    users[2] = value
    with np.errstate(invalid="ignore"):
        found, expected = ExactIndex.of(items).search(users, 10), top_k(users @ items.T, 10)
    np.testing.assert_array_equal(found[0], expected[0])


def test_users_whose_products_are_alike_get_their_first_items(screened: None):
    generator = np.random.default_rng(3)
    users = np.array([[1, 2], [0, 0], [-1, 1]], np.float32)
    items = generator.integers(-1, 2, (20_000, 2)).astype(np.float32)  # 9 kinds: far more alike than candidates fit
    found = ExactIndex.of(items).search(users, 10)
    expected = top_k(users @ items.T, 10)
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1], expected[1])


def test_candidates_make_room_for_better_ones(screened: None, monkeypatch: pytest.MonkeyPatch):
    def search(*_: object) -> None:
        raise AssertionError("the candidates did not fit")

    monkeypatch.setattr(module, "_search", search)
    product, length = np.linspace(0, 1, 2_000), np.linspace(3, 2, 2_000)  # the longest are gone through first
    half = np.column_stack([product, np.sqrt(length**2 - product**2)]).astype(np.float32)
    items = np.concatenate([half, -half])  # their mean is zero
    found, scores = ExactIndex.of(items).search(np.array([[1, 0]], np.float32), 3)
    assert found.tolist() == [[1_999, 1_998, 1_997]]
    np.testing.assert_array_equal(scores, items[[1_999, 1_998, 1_997], :1].T)


@pytest.mark.parametrize("product", [64 * 127**2, 2**15 - 1])  # as it is, and as older instructions cut it off
def test_screening_wants_exact_products(product: int, monkeypatch: pytest.MonkeyPatch):
    def multiply(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        return torch.full((len(left), right.shape[1]), product)

    monkeypatch.setattr(torch, "_int_mm", multiply)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_vnni": True})
    assert screening.is_fast.__wrapped__() == (product == 64 * 127**2)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True})
    assert not screening.is_fast.__wrapped__()


def test_few_users_are_not_worth_preparing_the_items():
    items = torch.zeros(1_000, 8)
    assert not screening.pays(torch.zeros(31, 8), items)
    assert screening.pays(torch.zeros(32, 8), items) == screening.is_fast()


class Nothing(BaseModel):
    """No configuration."""


@dataclass(frozen=True)
class Factors:
    """Users are what they bought, items are corners of a cube."""

    items: Scores
    config: Nothing = field(default_factory=Nothing)

    def user_vectors(self, histories: Histories) -> Scores:
        users = np.zeros((histories.user_count, self.items.shape[1]), np.float32)
        np.add.at(users, histories.line_user, self.items[histories.line_item])
        return users

    def item_vectors(self) -> Scores:
        return self.items

    def scores(self, histories: Histories) -> Scores:
        raise AssertionError("the matrix of all scores is made")

    def explain(self, histories: Histories, user: IntArray, item: IntArray) -> list[str]:
        return ["like what you bought"] * len(item)


def test_a_ranker_of_products_never_makes_the_matrix(rows: pl.DataFrame, vocabulary: Vocabulary):
    items = np.random.default_rng(1).integers(-2, 3, (vocabulary.size, 4)).astype(np.float32)
    lists = ListModel("factors", Factors(items), vocabulary, "remove").recommend(rows, 5)
    bought = rows["history_item"].to_list()[0]
    index = {item: number for number, item in enumerate(vocabulary.items["item_id"])}
    user = items[[index[item] for item in bought if item in index]].sum(axis=0)
    allowed = [number for item, number in index.items() if item not in bought]
    best = sorted(allowed, key=lambda number: (-(items[number] @ user), number))[:5]
    assert lists["item_id"].to_list()[:5] == vocabulary.ids(np.array(best)).to_list()
