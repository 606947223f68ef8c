"""LightGBM, mildly regularised, on the candidates' own rows: writes a probability per test row."""

import sys
from pathlib import Path

import lightgbm
import numpy as np
import polars as pl

NOT_FEATURES = {"user_id", "as_of", "churned"}


def main(rows: Path, output: Path) -> None:
    """Fit on every row known at the test as-of, as the candidates' refit does, and predict the test rows."""
    learned = pl.concat([pl.read_parquet(rows / f"{part}.parquet") for part in ("train", "between", "validation")])
    test = pl.read_parquet(rows / "test.parquet")
    features = [name for name, dtype in test.schema.items() if name not in NOT_FEATURES and dtype.is_numeric()]
    model = lightgbm.LGBMClassifier(
        n_estimators=300, learning_rate=0.02, num_leaves=15, min_child_samples=100, random_state=17, verbose=-1
    )
    model.fit(learned.select(features).to_numpy(), learned["churned"].to_numpy())
    probability = np.asarray(model.predict_proba(test.select(features).to_numpy()))[:, 1]
    test.select("user_id").with_columns(pl.Series("probability", probability)).write_parquet(output)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
