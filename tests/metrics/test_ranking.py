"""Ranking metrics: arithmetic by hand, bounds, a perfect list is 1, names do not matter, slow references."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score

from everstay.metrics.ranking import coverage, hit_rate_at_k, mrr_at_k, ndcg_at_k, recall_at_k
from tests.strategies import PROPERTY

METRICS = (recall_at_k, ndcg_at_k, mrr_at_k, hit_rate_at_k)
every = pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.__name__)


@st.composite
def hits_and_targets(draw):
    """Lists of one length, and as many targets as hits or more."""
    k = draw(st.integers(1, 8))
    rows = draw(st.lists(st.lists(st.booleans(), min_size=k, max_size=k), min_size=1, max_size=6))
    more = draw(st.lists(st.integers(0, 5), min_size=len(rows), max_size=len(rows)))
    hits = np.array(rows)
    return hits, hits.sum(axis=1) + np.array(more)


def reference(metric, hits, targets) -> float:
    places = [place for place, hit in enumerate(hits, start=1) if hit]
    if targets == 0:
        return math.nan
    best = sum(1 / math.log2(place + 1) for place in range(1, min(targets, len(hits)) + 1))
    return {
        recall_at_k: len(places) / targets,
        ndcg_at_k: sum(1 / math.log2(place + 1) for place in places) / best,
        mrr_at_k: 1 / places[0] if places else 0,
        hit_rate_at_k: float(bool(places)),
    }[metric]


@every
@PROPERTY
@given(data=hits_and_targets())
def test_equal_to_a_slow_reference_and_within_bounds(metric, data):
    hits, targets = data
    values = metric(hits, targets)
    assert values == pytest.approx(
        [reference(metric, *row) for row in zip(hits, targets.tolist(), strict=True)], nan_ok=True
    )
    assert ((values >= 0) & (values <= 1 + 1e-12))[targets > 0].all()


@every
@PROPERTY
@given(data=hits_and_targets(), random=st.randoms())
def test_users_do_not_touch_each_other(metric, data, random):
    hits, targets = data
    order = random.sample(range(len(hits)), len(hits))
    np.testing.assert_array_equal(metric(hits[order], targets[order]), metric(hits, targets)[order])


@every
@pytest.mark.parametrize("targets", [1, 3, 5])
def test_the_perfect_list_is_one(metric, targets):
    hits = np.arange(5)[None, :] < targets
    assert metric(hits, np.array([targets])) == pytest.approx([1.0])


@every
def test_the_hit_one_place_higher_is_never_worse(metric):
    values = [metric(np.eye(6, dtype=bool)[[place]], np.array([2]))[0] for place in range(6)]
    assert values == sorted(values, reverse=True)


@every
def test_a_user_without_targets_has_no_value(metric):
    assert np.isnan(metric(np.zeros((1, 3), dtype=bool), np.array([0]))).all()


@every
def test_an_item_twice_in_a_list_is_refused(metric):
    with pytest.raises(ValueError, match="more hits than targets"):
        metric(np.ones((1, 3), dtype=bool), np.array([2]))


@every
@pytest.mark.parametrize("hits", [np.ones(3, dtype=bool), np.ones((2, 3), dtype=bool), np.ones((1, 0), dtype=bool)])
def test_shapes_that_do_not_fit_are_refused(metric, hits):
    with pytest.raises(ValueError, match="do not fit"):
        metric(hits, np.array([3]))


def test_ndcg_equals_scikit_learn_where_the_list_holds_all_items():
    hits = np.array([[True, False, True, False, False], [False, False, False, True, True]])
    scores = np.tile(np.arange(5, 0, -1), (2, 1))
    assert ndcg_at_k(hits, hits.sum(axis=1)).mean() == pytest.approx(ndcg_score(hits, scores, k=5))


def test_recall_can_have_more_targets_than_places():
    assert recall_at_k(np.array([[True, True]]), np.array([8])).tolist() == [0.25]


def test_coverage_counts_items_once_whatever_they_are_called():
    lists = np.array([[0, 1], [1, 2], [2, 0]])
    assert coverage(lists, 6) == coverage(np.array(list("abc"))[lists], 6) == 0.5
    assert coverage(np.arange(6), 6) == 1.0
    with pytest.raises(ValueError, match="catalogue only 2"):
        coverage(lists, 2)
