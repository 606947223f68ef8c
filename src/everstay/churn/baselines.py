"""The simplest candidates: recency rule, logistic regression, histogram gradient boosting.

Every scorer gives raw scores (n,), higher for likelier churners; a `Calibrator` turns them into probabilities.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from everstay.churn.config import BoostingConfig
from everstay.churn.encoding import FeatureEncoder, feature_matrix, varying_columns
from everstay.churn.reasons.attribution import Attribution, encoded_parts, mean_attribution, placed
from everstay.churn.reasons.trees import tree_parts
from everstay.churn.returns import SHARES, returns
from everstay.churn.rows import outcomes

FloatArray = NDArray[np.float64]

RECENCY = "recency_days"


@dataclass(frozen=True)
class RecencyScorer:
    """The rule every shop knows: the longer ago the last order, the likelier the user left."""

    def scores(self, rows: pl.DataFrame) -> FloatArray:
        """Log of the days since the last order; a user without an order scores like one after ten years."""
        return np.log1p(rows[RECENCY].fill_null(3_650.0).to_numpy())

    def attribute(self, rows: pl.DataFrame, usual: Mapping[str, float | None]) -> Attribution:
        """Attribute all of the score to recency, relative to the usual user's."""
        base = float(np.log1p(usual.get(RECENCY) or 0.0))
        return Attribution(base, placed((self.scores(rows) - base)[:, None], (RECENCY,)))


@dataclass(frozen=True)
class LogisticScorer:
    """Logistic regression on encoded features."""

    encoder: FeatureEncoder
    coefficients: FloatArray
    intercept: float

    @classmethod
    def fit(cls, rows: pl.DataFrame, penalty: float, *, selects: bool = False) -> "LogisticScorer":
        """Fit with `penalty` × half the squared coefficients added to the summed log-loss.

        With `selects` it is `penalty` × their absolute values (lasso): uninformative features get no weight at all.
        """
        encoder = FeatureEncoder.fit(rows)
        how = {"l1_ratio": 1.0, "solver": "liblinear", "random_state": 0} if selects else {"max_iter": 2_000}
        model = LogisticRegression(C=1.0 / penalty, **how).fit(encoder.encode(rows), outcomes(rows))
        return cls(encoder, model.coef_[0].copy(), float(model.intercept_[0]))

    def scores(self, rows: pl.DataFrame) -> FloatArray:
        """Log-odds."""
        return self.encoder.encode(rows) @ self.coefficients + self.intercept

    def attribute(self, rows: pl.DataFrame, usual: Mapping[str, float | None]) -> Attribution:  # noqa: ARG002
        """Coefficient times encoded value: the base is the mean training user, encoded as zeros."""
        return Attribution(self.intercept, encoded_parts(self.encoder.encode(rows) * self.coefficients, self.encoder))


@dataclass(frozen=True)
class BoostingScorer:
    """Several boosted tree ensembles on the raw features; missing values have branches of their own.

    One predicts silence in the whole label window, the others in a part of it: more users are silent for a shorter
    time, which helps learning more than it biases.

    Attributes:
        columns: the features used.
        members: one per part of the window, each with another seed.
        rounds: trees of each that are used; the members may have more.
    """

    columns: tuple[str, ...]
    members: tuple[HistGradientBoostingClassifier, ...]
    rounds: int

    @classmethod
    def fit(cls, rows: pl.DataFrame, config: BoostingConfig, rounds: int, seed: int) -> "BoostingScorer":
        """Fit `rounds` trees to silence in each of `returns.SHARES`, with seeds from `seed` on.

        A part of the window in which all rows are silent is left out.
        """
        columns = varying_columns(rows)
        matrix, silences = feature_matrix(rows, columns), returns(rows)[:, : len(SHARES)].T
        told = [silence for silence in silences if silence.min() < silence.max()]
        models = (_boosting(config, rounds, seed + place).fit(matrix, silence) for place, silence in enumerate(told))
        return cls(columns, tuple(models), rounds)

    def scores(self, rows: pl.DataFrame) -> FloatArray:
        """Mean log-odds of the members."""
        if rows.is_empty():
            return np.zeros(0)
        if all(model.n_iter_ == self.rounds for model in self.members):
            matrix = feature_matrix(rows, self.columns)
            return np.mean([model.decision_function(matrix) for model in self.members], axis=0)
        return self.staged_scores(rows)[self.rounds - 1]

    def attribute(self, rows: pl.DataFrame, usual: Mapping[str, float | None]) -> Attribution:  # noqa: ARG002
        """TreeSHAP of the members' mean."""
        matrix = feature_matrix(rows, self.columns)
        shares = (tree_parts(model, matrix, self.rounds) for model in self.members)
        return mean_attribution([Attribution(base, placed(parts, self.columns)) for base, parts in shares])

    def staged_scores(self, rows: pl.DataFrame) -> FloatArray:
        """Mean log-odds after each round: (rounds, n)."""
        matrix = feature_matrix(rows, self.columns)
        stages = [np.stack(list(model.staged_decision_function(matrix))) for model in self.members]
        return np.mean(stages, axis=0).reshape(len(stages[0]), -1)


def _boosting(config: BoostingConfig, rounds: int, seed: int) -> HistGradientBoostingClassifier:
    return HistGradientBoostingClassifier(
        learning_rate=config.learning_rate,
        max_iter=rounds,
        max_leaf_nodes=config.leaves,
        min_samples_leaf=config.min_leaf_rows,
        max_features=config.feature_share,
        l2_regularization=config.l2,
        early_stopping=False,
        random_state=seed,
    )
