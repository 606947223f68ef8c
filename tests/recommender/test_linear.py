"""EASE, transitions and iALS: what they compute, against their formulas."""

from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everstay.recommender import linear_fit
from everstay.recommender.config import IalsConfig, LinearConfig
from everstay.recommender.histories import read_histories
from everstay.recommender.ials import IalsRanker, fit_ials
from everstay.recommender.linear import faded_counts
from everstay.recommender.linear_fit import fit_linear
from everstay.recommender.sequences import Sequences
from everstay.recommender.vocabulary import Vocabulary

from .conftest import basket_rows


def test_ease_equals_its_closed_form(rows: pl.DataFrame, vocabulary: Vocabulary) -> None:
    histories = read_histories(rows, vocabulary)
    bought = np.zeros((histories.user_count, vocabulary.size))
    bought[histories.line_user, histories.line_item] = 1.0
    added = 7.0 * bought.sum() / vocabulary.size
    inverse = np.linalg.inv(bought.T @ bought + added * np.eye(vocabulary.size))
    expected = -inverse / np.diag(inverse)
    np.fill_diagonal(expected, 0.0)
    found = fit_linear(histories, vocabulary.size, LinearConfig(regularization=7.0)).toarray()
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_ease_leaves_rare_items_out(rows: pl.DataFrame, vocabulary: Vocabulary) -> None:
    histories = read_histories(rows, vocabulary)
    buyers = vocabulary.items["buyers"].to_numpy()
    found = fit_linear(histories, vocabulary.size, LinearConfig(regularization=7.0, max_items=10)).toarray()
    modelled = np.flatnonzero(np.abs(found).sum(axis=0))
    assert len(modelled) == 10
    assert buyers[modelled].min() >= np.delete(buyers, modelled).max()


@given(st.floats(0.1, 1.0))
def test_faded_counts_are_arithmetic(recency: float) -> None:
    rows = basket_rows({"a": [(9.0, ["x", "y"]), (5.0, ["x"]), (1.0, ["z"])], "b": [], "c": [(3.0, ["y"])]})
    histories = read_histories(rows, Vocabulary.learn(rows, 1))
    expected = [[recency**2 + recency, recency**2, 1.0], [0.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    np.testing.assert_allclose(faded_counts(histories, 3, recency).toarray(), expected, rtol=1e-5)


@pytest.mark.parametrize("elements_at_once", [50, 1_000_000])
def test_transitions_equal_their_closed_form(
    elements_at_once: int, rows: pl.DataFrame, vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linear_fit, "_ELEMENTS_AT_ONCE", elements_at_once)
    histories = read_histories(rows, vocabulary)
    config = LinearConfig(learns="next", regularization=7.0, learned_recency=0.6, future_recency=0.3)
    sequences = Sequences.of(histories)
    before, after = [], []
    for start, end in pairwise(sequences.start):
        for place in range(start + 1, end):
            seen, follows = np.zeros((2, vocabulary.size))
            for between, item in enumerate(sequences.item[max(start, place - 20) : place][::-1]):
                seen[item] += 0.6**between
            for between, item in enumerate(sequences.item[place : min(end, place + 3)]):
                follows[item] += 0.3**between
            before.append(seen)
            after.append(follows)
    seen_all, follows_all = np.array(before), np.array(after)
    buyers = vocabulary.items["buyers"].mean()
    gram = seen_all.T @ seen_all + 7.0 * buyers * np.eye(vocabulary.size)  # type: ignore[operator]
    expected = np.linalg.solve(gram, seen_all.T @ follows_all)
    np.fill_diagonal(expected, 0.0)
    np.testing.assert_allclose(fit_linear(histories, vocabulary.size, config).toarray(), expected, atol=1e-5)


def test_likeness_is_arithmetic() -> None:
    rows = basket_rows({"a": [(2.0, ["x"]), (1.0, ["y"])], "b": [(1.0, ["x", "y"])], "c": [(1.0, ["x", "z"])]})
    histories = read_histories(rows, Vocabulary.learn(rows, 1))
    found = fit_linear(histories, 3, LinearConfig(learns="alike", shrinkage=2.0)).toarray()
    expected = [[0.0, 2 / 20**0.4, 1 / 15**0.4], [2 / 20**0.4, 0.0, 0.0], [1 / 15**0.4, 0.0, 0.0]]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("factors", [2, 5, 40])  # users have more items than that, or fewer
def test_ials_scores_solve_the_normal_equations(factors: int, rows: pl.DataFrame, vocabulary: Vocabulary) -> None:
    histories = read_histories(rows, vocabulary)
    config = IalsConfig(factors=factors, regularization=0.5, confidence=3.0, recency=0.7)
    items = fit_ials(histories, vocabulary.size, config, 1)
    ranker = IalsRanker.build(vocabulary, config, items)
    scores = ranker.scores(histories)
    user, item = np.divmod(np.arange(scores.size), vocabulary.size)
    reasons = np.array(ranker.explain(histories, user[::-1], item[::-1]))[::-1].reshape(scores.shape)
    weights = 3.0 * faded_counts(histories, vocabulary.size, 0.7).toarray()
    told = 0
    for weight, found, words in zip(weights, scores, reasons, strict=True):
        system = items.T @ (items * (1.0 + weight)[:, None]) + 0.5 * np.eye(factors)
        confidence = np.where(weight > 0, 1.0 + weight, 0.0)
        np.testing.assert_allclose(found, items @ np.linalg.solve(system, items.T @ confidence), atol=1e-3)
        parts = confidence[:, None] * (items @ np.linalg.solve(system, items.T))  # of each item bought, to each goal
        for goal, reason in enumerate(words):
            first, second = np.argsort(-parts[:, goal])[:2]
            if parts[first, goal] - parts[second, goal] > 1e-4 and first != goal:
                assert reason == f"because you bought {vocabulary.items['item_id'][int(first)]}"
                told += 1
    assert told > 100


def test_ials_is_the_same_for_the_same_seed(rows: pl.DataFrame, vocabulary: Vocabulary) -> None:
    histories = read_histories(rows, vocabulary)
    first, second = (fit_ials(histories, vocabulary.size, IalsConfig(factors=4), 9) for _ in range(2))
    np.testing.assert_allclose(first, second, rtol=1e-5)
