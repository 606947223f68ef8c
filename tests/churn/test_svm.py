"""What a support vector machine learns from when there are more rows than it can use."""

import numpy as np
import polars as pl
import pytest

from everstay import tables as t
from everstay.churn.config import SvmConfig
from everstay.churn.rows import outcomes
from everstay.churn.svm import SvmScorer, sampled_places
from everstay.metrics.classification import roc_auc
from tests.churn.conftest import TEST, planted_rows


@pytest.mark.parametrize(("leavers", "kept"), [(0, 0), (1, 1), (60, 20), (300, 60), (700, 140), (999, 199)])
def test_a_sample_has_the_shares_of_all_rows_and_twenty_of_the_rarer_outcome(leavers: int, kept: int) -> None:
    outcome = np.random.default_rng(1).permutation((np.arange(1_000) < leavers).astype(float))
    places = sampled_places(outcome, 200, 2)
    assert len(set(places)) == 200
    assert (np.diff(places) > 0).all()
    assert outcome[places].sum() == kept
    assert (sampled_places(outcome, 200, 2) == places).all()
    assert (sampled_places(outcome, 200, 3) != places).any()
    assert sampled_places(outcome, 1_000, 2).tolist() == [*range(1_000)]


@pytest.mark.parametrize("leavers", [1, 3])
def test_few_leavers_among_many_rows_are_learned_from_a_sample(leavers: int) -> None:
    rows = (
        planted_rows(TEST, 3_000, 1).with_row_index("place").with_columns((pl.col("place") < leavers).alias(t.CHURNED))
    )
    scorer = SvmScorer.fit(rows, SvmConfig(max_rows=50), 1.0, 17)
    assert leavers < len(scorer.support) <= 50
    assert roc_auc(outcomes(rows), scorer.scores(rows)) > 0.9
