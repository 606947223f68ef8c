"""LightGBM, mildly regularised, and scikit-learn's logistic regression, as it comes, on the candidates' own rows."""

import sys
from pathlib import Path

import lightgbm
import numpy as np
import polars as pl
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

NOT_FEATURES = {"user_id", "as_of", "churned", "return_days", "order_days", "horizon_days"}


def main(rows: Path, output: Path) -> None:
    """Fit on every row known at the test as-of, as the candidates' refit does; write a probability per test row."""
    learned = pl.concat([pl.read_parquet(rows / f"{part}.parquet") for part in ("train", "between", "validation")])
    test, churned = pl.read_parquet(rows / "test.parquet"), learned["churned"].to_numpy()
    names = [name for name, dtype in test.schema.items() if name not in NOT_FEATURES and dtype.is_numeric()]
    varying = [name for name in names if learned[name].drop_nulls().n_unique() > 1]
    peers = {
        "lightgbm": lightgbm.LGBMClassifier(
            n_estimators=300, learning_rate=0.02, num_leaves=15, min_child_samples=100, random_state=17, verbose=-1
        ),
        "logistic": make_pipeline(
            SimpleImputer(strategy="median"), StandardScaler(), LogisticRegression(max_iter=1_000)
        ),
    }
    found = test.select("user_id")
    for name, peer in peers.items():
        peer.fit(learned.select(varying).to_numpy(), churned)
        probability = np.asarray(peer.predict_proba(test.select(varying).to_numpy()))[:, 1]
        found = found.with_columns(pl.Series(name, probability))
    found.write_parquet(output)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
