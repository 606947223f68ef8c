"""Candidates for labelled tables without history: the same families as the shop's, with settings for small tables."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from lightgbm import LGBMClassifier
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from everstay.churn.calibration import Calibration, Calibrator, calibrator_kind, choose_calibrator, left_out_losses
from everstay.churn.labelled_table import LabelledTable, TableEncoder
from everstay.churn.svm import sampled_places
from everstay.churn.table_folds import outcome_folds
from everstay.metrics.classification import log_loss

log = logging.getLogger(__name__)

FloatArray = NDArray[np.float64]
Estimators = Callable[[int], Sequence[object]]

_PENALTIES = (0.3, 3.0, 30.0)
_MOST_SVM_ROWS = 10_000  # its time grows with their square
_PARTS, _FEW_PARTS, _MANY_ROWS = 20, 4, 20_000  # cross-fits of a fold; their time is in benchmarks/README.md


def _scaled(estimator: object) -> object:
    return make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler(), estimator)


class _SampledSVC(SVC):
    """Learns from a sample if there are many rows."""

    def fit(self, matrix: FloatArray, outcome: FloatArray) -> Self:
        places = sampled_places(outcome, _MOST_SVM_ROWS, seed=0)
        fitted: Self = super().fit(matrix[places], outcome[places])
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


@dataclass(frozen=True)
class CrossValidated:
    """A candidate judged in F folds of N rows.

    Attributes:
        probabilities: (N,) by a model that has seen no row of the row's fold.
        losses: (F,) log-loss that was expected of each fold's model, from the rows of the other folds.
    """

    probabilities: FloatArray
    losses: FloatArray


def cross_validate(table: LabelledTable, folds: NDArray[np.int64], name: str, seed: int) -> CrossValidated:
    """Judge a candidate: each row's probability by a model that has seen no row of its fold, each fold's expected loss.

    The setting comes from the next fold. An estimator is then fitted to all folds but the row's own, and calibrated by
    the scores that these rows get from estimators fitted to 19 twentieths of them (three quarters, if they are more
    than 20,000), nearly as good as itself.
    """
    count = int(folds.max()) + 1
    probabilities, losses = np.zeros(len(folds)), np.zeros(count)
    for fold in range(count):
        log.info("%s: fold %d of %d", name, fold + 1, count)
        test, validation = folds == fold, folds == (fold + 1) % count
        estimator = _best(TABLE_CANDIDATES[name](seed), table, ~test & ~validation, validation)
        calibrator, losses[fold] = _calibrate(estimator, table.only(~test), seed)
        probabilities[test] = calibrator.probability(_learn(estimator, table, ~test, test))
    return CrossValidated(probabilities, losses)


def choose_per_fold(judged: Mapping[str, CrossValidated], folds: NDArray[np.int64]) -> tuple[list[str], FloatArray]:
    """Candidates of the lowest expected log-loss, one for each of F folds, and their probabilities of its rows (N,)."""
    names = list(judged)
    best = np.argmin([judged[name].losses for name in names], axis=0)
    probabilities = np.stack([judged[name].probabilities for name in names])
    return [names[place] for place in best], probabilities[best[folds], np.arange(len(folds))]


def _best(
    estimators: Sequence[object], table: LabelledTable, train: NDArray[np.bool_], validation: NDArray[np.bool_]
) -> object:
    outcome, losses = table.churned[validation], []
    for estimator in estimators:
        scores = _learn(estimator, table, train, validation)
        losses.append(float(log_loss(outcome, Calibrator.fit(scores, outcome).probability(scores))))
    return estimators[int(np.argmin(losses))]


def _calibrate(estimator: object, known: LabelledTable, seed: int) -> tuple[Calibration, float]:
    """The curve of the cross-fitted scores of the known rows, and its log-loss on rows that it was not fitted to."""
    count = _PARTS if len(known.churned) <= _MANY_ROWS else _FEW_PARTS
    parts = outcome_folds(known.churned, known.groups, count, seed)
    scores = np.zeros(len(parts))
    for part in np.unique(parts):
        scores[parts == part] = _learn(estimator, known, parts != part, parts == part)
    calibrator = choose_calibrator(scores, known.churned, parts, known.groups)
    return calibrator, float(left_out_losses(calibrator_kind(calibrator), scores, known.churned, parts).mean())


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
