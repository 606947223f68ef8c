"""LightGBM and scikit-learn's logistic regression, as they come, on a labelled table's folds."""

import sys
from pathlib import Path

import lightgbm
import numpy as np
import pandas as pd
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def main(given: Path, output: Path) -> None:
    """Write out-of-fold probabilities; both learn from all other folds."""
    table = pd.read_parquet(given)
    folds, churned = table.pop("fold").to_numpy(), table.pop("churned").to_numpy()
    texts = [name for name in table.columns if not pd.api.types.is_numeric_dtype(table[name])]
    native = table.astype(dict.fromkeys(texts, "category"))
    marks = pd.get_dummies(table, columns=texts, dtype=float)
    found = {"lightgbm": np.zeros(len(table)), "logistic": np.zeros(len(table))}
    for fold in np.unique(folds):
        train, test = folds != fold, folds == fold
        trees = lightgbm.LGBMClassifier(random_state=17, verbose=-1).fit(native[train], churned[train])
        found["lightgbm"][test] = np.asarray(trees.predict_proba(native[test]))[:, 1]
        linear = make_pipeline(SimpleImputer(strategy="median"), StandardScaler(), LogisticRegression(max_iter=1_000))
        found["logistic"][test] = linear.fit(marks[train], churned[train]).predict_proba(marks[test])[:, 1]
    pd.DataFrame(found).to_parquet(output)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
