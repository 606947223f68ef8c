"""TreeSHAP of boosted trees: exact Shapley values, the base being the mean over the rows the trees were grown from."""

import copy
import warnings

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier

FloatArray = NDArray[np.float64]


def tree_parts(model: HistGradientBoostingClassifier, matrix: FloatArray, rounds: int) -> tuple[float, FloatArray]:
    """Base and parts (N, F) of the log-odds of the first `rounds` trees.

    Source: Lundberg et al., Nature Machine Intelligence 2 (2020), path-dependent.

    Args:
        model: fitted, one class against the other.
        matrix: (N, F), NaN where undefined.
        rounds: trees that are used.
    """
    if not len(matrix):
        return 0.0, np.zeros(matrix.shape)
    with warnings.catch_warnings():
        # shap 0.51 colours its plots, when it is imported, by a function that matplotlib is about to deprecate
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        import shap  # takes seconds, and only explaining trees needs it

    counted = copy.copy(model)
    counted._predictors = model._predictors[:rounds]
    explainer = shap.TreeExplainer(counted)
    return float(np.ravel(explainer.expected_value)[0]), np.asarray(explainer.shap_values(matrix), dtype=np.float64)
