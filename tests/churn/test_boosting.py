"""Boosting learns from several silences: one member each, their log-odds averaged."""

import numpy as np
import polars as pl

from everstay import tables as t
from everstay.churn.baselines import BoostingScorer
from everstay.churn.config import BoostingConfig
from everstay.churn.encoding import feature_matrix
from everstay.churn.returns import SHARES, returns
from everstay.churn.rows import ChurnRows
from everstay.metrics.classification import roc_auc

CONFIG = BoostingConfig(min_leaf_rows=20)


def test_a_member_foretells_silence_in_its_part_of_the_window(churn_rows: ChurnRows) -> None:
    rows = churn_rows.train.with_columns(  # whom the noise of `gap_median_days` makes return late
        pl.when(pl.col(t.RETURN_DAYS).is_not_null()).then(pl.when(pl.col("gap_median_days") > 0).then(20).otherwise(3))
        .cast(pl.Int32).alias(t.RETURN_DAYS)
    )  # fmt: skip
    scorer = BoostingScorer.fit(rows, CONFIG, 40, 7)
    assert len(scorer.members) == len(SHARES) == 4
    matrix, silences = feature_matrix(rows, scorer.columns), returns(rows)
    for place, member in enumerate(scorer.members):
        assert roc_auc(silences[:, place], member.decision_function(matrix)) > 0.85
    late, early = (rows.with_columns(gap_median_days=pl.lit(gap)) for gap in (1.0, -1.0))
    half = scorer.members[SHARES.index(0.5)]
    odds = [half.decision_function(feature_matrix(changed, scorer.columns)) for changed in (late, early)]
    assert (odds[0] > odds[1]).all()


def test_scores_are_the_mean_log_odds_of_the_members(churn_rows: ChurnRows) -> None:
    scorer = BoostingScorer.fit(churn_rows.train, CONFIG, 8, 7)
    matrix = feature_matrix(churn_rows.test, scorer.columns)
    expected = sum(member.decision_function(matrix) for member in scorer.members) / 4
    np.testing.assert_allclose(scorer.scores(churn_rows.test), expected, rtol=0, atol=1e-12)
    stages = scorer.staged_scores(churn_rows.test)
    assert stages.shape == (8, churn_rows.test.height)
    np.testing.assert_allclose(stages[-1], expected, rtol=0, atol=1e-12)
    shorter = BoostingScorer(scorer.columns, scorer.members, 3)
    np.testing.assert_array_equal(shorter.scores(churn_rows.test), stages[2])


def test_a_part_in_which_everybody_is_silent_is_left_out(churn_rows: ChurnRows) -> None:
    rows = churn_rows.train.with_columns(pl.when(~pl.col(t.CHURNED)).then(20).cast(pl.Int32).alias(t.RETURN_DAYS))
    scorer = BoostingScorer.fit(rows, CONFIG, 2, 7)
    assert len(scorer.members) == 2  # day 20 of 28: all are silent in the first quarter and half
