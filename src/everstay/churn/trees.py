"""Trees other than scikit-learn's boosting: one small, readable tree, and LightGBM's boosting."""

from collections.abc import Mapping
from dataclasses import dataclass

import lightgbm
import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.tree import DecisionTreeClassifier

from everstay.churn.config import LightGbmConfig
from everstay.churn.encoding import feature_matrix, varying_columns
from everstay.churn.reasons.attribution import Attribution, mean_attribution, placed
from everstay.churn.returns import SHARES, returns
from everstay.churn.rows import outcomes

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class TreeScorer:
    """One decision tree; every leaf has enough rows for a reliable share of leavers.

    Attributes:
        columns: the features used.
        tree: fitted; undefined values go to a learned side at every split.
    """

    columns: tuple[str, ...]
    tree: DecisionTreeClassifier

    @classmethod
    def fit(cls, rows: pl.DataFrame, leaf_share: float, seed: int) -> "TreeScorer":
        """Fit with at least `leaf_share` of the rows in every leaf."""
        columns = varying_columns(rows)
        tree = DecisionTreeClassifier(criterion="log_loss", min_samples_leaf=leaf_share, random_state=seed)
        return cls(columns, tree.fit(feature_matrix(rows, columns), outcomes(rows)))

    def scores(self, rows: pl.DataFrame) -> FloatArray:
        """Log-odds of the leaf's share of leavers, clipped to 0.001 to 0.999."""
        if rows.is_empty():
            return np.zeros(0)
        return self._log_odds()[self.tree.apply(feature_matrix(rows, self.columns))]

    def attribute(self, rows: pl.DataFrame, usual: Mapping[str, float | None]) -> Attribution:  # noqa: ARG002
        """Attribute the change at each split on the path to the leaf to its feature; the base is the root.

        Source: Saabas (2014); for one readable tree, the path is the reason.
        """
        odds, nodes = self._log_odds(), self.tree.tree_
        changes = np.zeros((nodes.node_count, len(self.columns)))
        for children in (nodes.children_left, nodes.children_right):
            parents = np.flatnonzero(children >= 0)
            changes[children[parents], nodes.feature[parents]] = odds[children[parents]] - odds[parents]
        if rows.is_empty():
            return Attribution(float(odds[0]), placed(np.zeros((0, len(self.columns))), self.columns))
        ways = self.tree.decision_path(feature_matrix(rows, self.columns))
        return Attribution(float(odds[0]), placed(ways @ changes, self.columns))

    def _log_odds(self) -> FloatArray:
        """Of every node."""
        share = self.tree.tree_.value[:, 0, 1] / self.tree.tree_.value[:, 0].sum(axis=1)
        inside = np.clip(share, 1e-3, 1 - 1e-3)
        return np.asarray(np.log(inside / (1 - inside)))


@dataclass(frozen=True)
class LightGbmScorer:
    """LightGBM on the raw features, one model per silence as in `baselines.BoostingScorer`.

    Attributes:
        columns: the features used.
        members: models of silence in the parts of the label window.
        rounds: trees of each that are used; the members may have more.
    """

    columns: tuple[str, ...]
    members: tuple[lightgbm.Booster, ...]
    rounds: int

    @classmethod
    def fit(cls, rows: pl.DataFrame, config: LightGbmConfig, rounds: int, seed: int) -> "LightGbmScorer":
        """Fit `rounds` trees to silence in each of `returns.SHARES` in which not all rows are silent."""
        columns = varying_columns(rows)
        matrix, silences = feature_matrix(rows, columns), returns(rows)[:, : len(SHARES)].T
        told = [silence for silence in silences if silence.min() < silence.max()]
        members = tuple(_train(matrix, silence, config, rounds, seed + place) for place, silence in enumerate(told))
        return cls(columns, members, rounds)

    def scores(self, rows: pl.DataFrame, rounds: int | None = None) -> FloatArray:
        """Mean log-odds of the members after `rounds` trees; None: `self.rounds`."""
        if rows.is_empty():
            return np.zeros(0)
        matrix, count = feature_matrix(rows, self.columns), rounds or self.rounds
        return np.mean([one.predict(matrix, raw_score=True, num_iteration=count) for one in self.members], axis=0)

    def attribute(self, rows: pl.DataFrame, usual: Mapping[str, float | None]) -> Attribution:  # noqa: ARG002
        """LightGBM's own TreeSHAP of the members' mean."""
        if rows.is_empty():
            return Attribution(0.0, placed(np.zeros((0, len(self.columns))), self.columns))
        matrix = feature_matrix(rows, self.columns)
        told = [np.asarray(one.predict(matrix, pred_contrib=True, num_iteration=self.rounds)) for one in self.members]
        return mean_attribution([Attribution(float(one[0, -1]), placed(one[:, :-1], self.columns)) for one in told])


def _train(matrix: FloatArray, target: NDArray, config: LightGbmConfig, rounds: int, seed: int) -> lightgbm.Booster:
    params = {
        "objective": "binary",
        "learning_rate": config.learning_rate,
        "num_leaves": config.leaves,
        "min_data_in_leaf": config.min_leaf_rows,
        "feature_fraction_bynode": config.feature_share,
        "lambda_l2": config.l2,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "verbose": -1,
    }
    return lightgbm.train(params, lightgbm.Dataset(matrix, target), rounds)
