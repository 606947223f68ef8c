"""Customer value learned by boosting from what users paid after earlier as-ofs; the alternative to buy-till-you-die."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor

from everstay import tables as t
from everstay.churn.encoding import FEATURE_COLUMNS
from everstay.errors import NotReady
from everstay.value.lifetime import COVERAGE, VALUE_COLUMNS
from everstay.value.past import SPEND_AHEAD

FloatArray = NDArray[np.float64]

_LEAST_ROWS = 1_000
_LOSSES: Mapping[str, Mapping[str, Any]] = {
    t.CUSTOMER_VALUE: {"loss": "poisson"},
    t.CUSTOMER_VALUE_LOW: {"loss": "quantile", "quantile": (1 - COVERAGE) / 2},
    t.CUSTOMER_VALUE_HIGH: {"loss": "quantile", "quantile": (1 + COVERAGE) / 2},
}
_BOOSTING: Mapping[str, Any] = {
    "learning_rate": 0.05, "max_iter": 120, "max_leaf_nodes": 8, "min_samples_leaf": 100, "max_features": 0.3,
    "l2_regularization": 10.0, "early_stopping": False,
}  # fmt: skip


@dataclass(frozen=True)
class LearnedValue:
    """Spend of users who stay, by their features: mean, low and high.

    Attributes:
        columns: the features used.
        models: one for each of `VALUE_COLUMNS`.
    """

    columns: tuple[str, ...]
    models: tuple[HistGradientBoostingRegressor, ...]

    @classmethod
    def fit(cls, rows: pl.DataFrame, seed: int) -> "LearnedValue":
        """Learn from `past.past_rows` of users who paid anything.

        Raises:
            NotReady: there are too few of them.
        """
        stayed = rows.filter(pl.col(SPEND_AHEAD) > 0)
        if stayed.height < _LEAST_ROWS:
            raise NotReady(f"{stayed.height} users with an order in the horizon are too few: {_LEAST_ROWS} are needed")
        counts = stayed.select(pl.col(FEATURE_COLUMNS).drop_nulls().n_unique()).row(0)
        columns = tuple(name for name, count in zip(FEATURE_COLUMNS, counts, strict=True) if count > 1)
        matrix, spend = _matrix(stayed, columns), stayed[SPEND_AHEAD].to_numpy()
        models = (
            HistGradientBoostingRegressor(**_LOSSES[name], **_BOOSTING, random_state=seed) for name in VALUE_COLUMNS
        )
        return cls(columns, tuple(model.fit(matrix, spend) for model in models))

    def values(self, rows: pl.DataFrame) -> pl.DataFrame:
        """`VALUE_COLUMNS` of N rows with features, in their order; low <= value <= high."""
        matrix = _matrix(rows, self.columns)
        value, low, high = (np.maximum(model.predict(matrix), 0.0) for model in self.models)
        bounds = np.minimum(low, value), np.maximum(high, value)
        return pl.DataFrame(dict(zip(VALUE_COLUMNS, (value, *bounds), strict=True)))


def _matrix(rows: pl.DataFrame, columns: tuple[str, ...]) -> FloatArray:
    return rows.select(pl.col(columns).cast(pl.Float64).fill_null(float("nan"))).to_numpy()
