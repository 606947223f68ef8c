"""The artifact folder as MLflow serves it: `mlflow.pyfunc.load_model("models:/churn@champion")` ends up here.

MLflow stores the name of this module and a copy of the artifact folder, and calls `_load_pyfunc`. So the store holds no
code and no pickle, and what runs is the installed package. Frames cross this boundary as pandas, with double floats,
long integers and times in UTC without zone: the types that MLflow's signatures and JSON examples preserve.
"""

from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
from polars import selectors as cs

from everstay import tables as t
from everstay.features.sequences import LIST_DTYPES
from everstay.registry.artifact import load_artifact, read_card

MODELS = ("churn", "recommender")
LIST_LENGTH = "list_length"
DEFAULT_LIST_LENGTH = 10

LIST_COLUMNS = {
    t.USER_ID: pl.String(),
    t.RANK: pl.Int64(),
    t.ITEM_ID: pl.String(),
    t.SCORE: pl.Float64(),
    t.REASON: pl.String(),
}
"""Columns of a recommender's output."""


class ServedModel:
    """A churn or recommender model behind MLflow's `predict`."""

    def __init__(self, folder: Path):
        self.kind: str = read_card(folder)["model"]
        self.model = load_artifact(folder)

    def predict(self, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Score rows.

        Args:
            model_input: the model's rows as `rows_to_pandas` gives them.
            params: `list_length`, for a recommender.

        Returns:
            `churn_probability`, one row per input row; or the lists, `list_length` rows per user.
        """
        rows = rows_from_pandas(model_input)
        if self.kind == "churn":
            return pd.DataFrame({t.CHURN_PROBABILITY: self.model.predict_probability(rows)})
        lists = self.model.recommend(rows, int((params or {}).get(LIST_LENGTH, DEFAULT_LIST_LENGTH)))
        return rows_to_pandas(lists.select(*LIST_COLUMNS))


def _load_pyfunc(data_path: str) -> ServedModel:
    """MLflow's hook: the model in the folder `data_path`."""
    return ServedModel(Path(data_path))


def rows_to_pandas(rows: pl.DataFrame) -> pd.DataFrame:
    """Give a model's rows the types that MLflow preserves; list columns become arrays."""
    frame: pd.DataFrame = portable(rows).to_pandas()
    frame.columns = frame.columns.astype(object)  # MLflow compares them with a range, which warns for Arrow strings
    return frame


def portable(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with double floats, long integers and times in UTC without zone."""
    return rows.with_columns(
        cs.datetime().dt.convert_time_zone("UTC").dt.replace_time_zone(None),
        cs.float().cast(pl.Float64),
        cs.integer().cast(pl.Int64),
        cs.list(cs.float()).cast(pl.List(pl.Float64)),
        cs.list(cs.integer()).cast(pl.List(pl.Int64)),
    )


def rows_from_pandas(frame: pd.DataFrame) -> pl.DataFrame:
    """Undo `rows_to_pandas`: times are in UTC, NaN is null, lists have the dtypes of `everstay.features`."""
    rows = pl.from_pandas(frame).with_columns(cs.datetime().dt.replace_time_zone("UTC").dt.cast_time_unit("us"))
    return rows.with_columns(_as_lists(rows[name], dtype) for name, dtype in LIST_DTYPES.items() if name in rows)


def _as_lists(column: pl.Series, dtype: pl.List) -> pl.Series:
    """The column with its declared dtype; pandas has none for a column without any list."""
    if column.null_count() == len(column):
        return pl.Series(column.name, [None] * len(column), dtype)
    return column.cast(dtype)
