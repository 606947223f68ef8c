"""Candidates for labelled tables without history: the same families as the shop's, with settings for small tables."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Self

import numpy as np
from lightgbm import LGBMClassifier
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from everstay.churn.calibration import Calibrator
from everstay.churn.labelled_table import LabelledTable, TableEncoder
from everstay.metrics.classification import log_loss

log = logging.getLogger(__name__)

FloatArray = NDArray[np.float64]
Estimators = Callable[[int], Sequence[object]]

_PENALTIES = (0.3, 3.0, 30.0)
_MOST_SVM_ROWS = 10_000  # its time grows with their square


def _scaled(estimator: object) -> object:
    return make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler(), estimator)


class _SampledSVC(SVC):
    """Learns from a sample, stratified by outcome, if there are many rows."""

    def fit(self, matrix: FloatArray, outcome: FloatArray) -> Self:
        if len(outcome) > _MOST_SVM_ROWS:
            matrix, _, outcome, _ = train_test_split(
                matrix, outcome, train_size=_MOST_SVM_ROWS, stratify=outcome, random_state=0
            )
        fitted: Self = super().fit(matrix, outcome)
        return fitted


def _boosting(leaves: int, seed: int) -> HistGradientBoostingClassifier:
    return HistGradientBoostingClassifier(
        learning_rate=0.05, max_iter=400, max_leaf_nodes=leaves, early_stopping=False, random_state=seed
    )


def _lightgbm(leaves: int, seed: int) -> LGBMClassifier:
    return LGBMClassifier(
        learning_rate=0.05, n_estimators=400, num_leaves=leaves, colsample_bytree=0.5, random_state=seed, verbose=-1
    )


TABLE_CANDIDATES: Mapping[str, Estimators] = {
    "logistic": lambda _: [_scaled(LogisticRegression(C=1 / penalty, max_iter=2_000)) for penalty in _PENALTIES],
    "lasso": lambda seed: [
        _scaled(LogisticRegression(C=1 / penalty, l1_ratio=1.0, solver="liblinear", random_state=seed))
        for penalty in _PENALTIES
    ],
    "tree": lambda seed: [
        DecisionTreeClassifier(criterion="log_loss", min_samples_leaf=share, random_state=seed)
        for share in (0.002, 0.01, 0.03)
    ],
    "svm": lambda _: [_scaled(_SampledSVC(C=cost)) for cost in (1.0, 10.0)],
    "boosting": lambda seed: [_boosting(leaves, seed) for leaves in (4, 31)],
    "lightgbm": lambda seed: [_lightgbm(leaves, seed) for leaves in (4, 31)],
}
"""Candidate to its estimators, one per setting that is chosen on validation."""


def cross_validate(table: LabelledTable, folds: NDArray[np.int64], name: str, seed: int) -> FloatArray:
    """Probability of every row (N,) by a candidate that has seen no row of its fold.

    Setting and calibrator come from the next fold; then the estimator is refitted on all folds but the row's own.
    """
    count, probability = int(folds.max()) + 1, np.zeros(len(folds))
    for fold in range(count):
        log.info("%s: fold %d of %d", name, fold + 1, count)
        test, validation = folds == fold, folds == (fold + 1) % count
        probability[test] = _fit_fold(table, ~test & ~validation, validation, test, TABLE_CANDIDATES[name](seed))
    return probability


def _fit_fold(
    table: LabelledTable,
    train: NDArray[np.bool_],
    validation: NDArray[np.bool_],
    test: NDArray[np.bool_],
    estimators: Sequence[object],
) -> FloatArray:
    outcome, told = table.churned[validation], []
    for estimator in estimators:
        scores = _learn(estimator, table, train, validation)
        calibrator = Calibrator.fit(scores, outcome)
        told.append((float(log_loss(outcome, calibrator.probability(scores))), calibrator))
    best = min(range(len(told)), key=lambda place: told[place][0])
    return told[best][1].probability(_learn(estimators[best], table, train | validation, test))


def _learn(estimator: object, table: LabelledTable, known: NDArray[np.bool_], asked: NDArray[np.bool_]) -> FloatArray:
    """Fit to the known rows, and score the asked ones."""
    encoder = TableEncoder.fit(table.features.filter(known))
    estimator.fit(encoder.encode(table.features.filter(known)), table.churned[known])  # type: ignore[attr-defined]
    return _scores(estimator, encoder.encode(table.features.filter(asked)))


def _scores(estimator: object, matrix: FloatArray) -> FloatArray:
    """Log-odds, or the decision function."""
    if hasattr(estimator, "decision_function"):
        return np.asarray(estimator.decision_function(matrix))
    share = np.clip(estimator.predict_proba(matrix)[:, 1], 1e-6, 1 - 1e-6)  # type: ignore[attr-defined]
    return np.asarray(np.log(share / (1 - share)))
