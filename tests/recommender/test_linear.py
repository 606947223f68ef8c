"""EASE and iALS: what they compute, against their formulas."""

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from everstay.recommender.config import EaseConfig, IalsConfig
from everstay.recommender.ease import faded_counts, fit_ease
from everstay.recommender.histories import read_histories
from everstay.recommender.ials import IalsRanker, fit_ials
from everstay.recommender.vocabulary import Vocabulary

from .conftest import basket_rows


def test_ease_equals_its_closed_form(rows: pl.DataFrame, vocabulary: Vocabulary) -> None:
    histories = read_histories(rows, vocabulary)
    bought = np.zeros((histories.user_count, vocabulary.size))
    bought[histories.line_user, histories.line_item] = 1.0
    inverse = np.linalg.inv(bought.T @ bought + 7.0 * np.eye(vocabulary.size))
    expected = -inverse / np.diag(inverse)
    np.fill_diagonal(expected, 0.0)
    found = fit_ease(histories, vocabulary.size, EaseConfig(regularization=7.0)).toarray()
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_ease_leaves_rare_items_out(rows: pl.DataFrame, vocabulary: Vocabulary) -> None:
    histories = read_histories(rows, vocabulary)
    buyers = vocabulary.items["buyers"].to_numpy()
    found = fit_ease(histories, vocabulary.size, EaseConfig(regularization=7.0, max_items=10)).toarray()
    modelled = np.flatnonzero(np.abs(found).sum(axis=0))
    assert len(modelled) == 10
    assert buyers[modelled].min() >= np.delete(buyers, modelled).max()


@given(st.floats(0.1, 1.0))
def test_faded_counts_are_arithmetic(recency: float) -> None:
    rows = basket_rows({"a": [(9.0, ["x", "y"]), (5.0, ["x"]), (1.0, ["z"])], "b": [], "c": [(3.0, ["y"])]})
    histories = read_histories(rows, Vocabulary.learn(rows, 1))
    expected = [[recency**2 + recency, recency**2, 1.0], [0.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    np.testing.assert_allclose(faded_counts(histories, 3, recency).toarray(), expected, rtol=1e-5)


def test_ials_scores_solve_the_normal_equations(rows: pl.DataFrame, vocabulary: Vocabulary) -> None:
    histories = read_histories(rows, vocabulary)
    config = IalsConfig(factors=5, regularization=0.5, confidence=3.0, recency=0.7)
    factors = fit_ials(histories, vocabulary.size, config, 1)
    scores = IalsRanker.build(vocabulary, config, factors).scores(histories)
    weight = 3.0 * faded_counts(histories, vocabulary.size, 0.7).toarray()[4]
    system = factors.T @ (factors * (1.0 + weight)[:, None]) + 0.5 * np.eye(5)
    user = np.linalg.solve(system, factors.T @ np.where(weight > 0, 1.0 + weight, 0.0))
    np.testing.assert_allclose(scores[4], factors @ user, atol=1e-3)


def test_ials_is_the_same_for_the_same_seed(rows: pl.DataFrame, vocabulary: Vocabulary) -> None:
    histories = read_histories(rows, vocabulary)
    first, second = (fit_ials(histories, vocabulary.size, IalsConfig(factors=4), 9) for _ in range(2))
    np.testing.assert_allclose(first, second, rtol=1e-5)
