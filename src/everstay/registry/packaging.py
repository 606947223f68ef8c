"""An artifact folder packed as an MLflow `pyfunc` model: signature, input example, the folder; no code, no pickle."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import polars as pl
from mlflow.entities import LoggedModel
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
from mlflow.types.schema import Array

from everstay import tables as t
from everstay.registry import served
from everstay.registry.artifact import read_card

_EXAMPLE_ROWS = 5
_DTYPES: dict[Any, DataType] = {
    pl.String: DataType.string,
    pl.Boolean: DataType.boolean,
    pl.Int64: DataType.long,
    pl.Float64: DataType.double,
    pl.Datetime: DataType.datetime,
}
_NEVER_NULL = (t.USER_ID, t.AS_OF, t.RANK, t.ITEM_ID, t.SCORE, t.REASON, t.CHURN_PROBABILITY)


@contextmanager
def write_pyfunc(artifact: Path, model: LoggedModel, example: pl.DataFrame) -> Iterator[Path]:
    """Write the MLflow model of an artifact folder to a temporary folder for the duration of the block.

    The artifact is loaded and predicts the example first, so that one that cannot be loaded is never logged.

    Args:
        artifact: the artifact folder.
        model: MLflow's entry that the files will belong to.
        example: the model's rows; the first few become the input example.

    Raises:
        ArtifactRefused: the artifact's loader is not ours.
    """
    rows = example.head(_EXAMPLE_ROWS)
    example_input = served.rows_to_pandas(rows)
    served.ServedModel(artifact).predict(example_input)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        mlflow.pyfunc.save_model(
            path,
            loader_module=served.__name__,
            data_path=str(artifact),
            mlflow_model=Model(
                artifact_path=model.artifact_location, run_id=model.source_run_id, model_id=model.model_id
            ),
            signature=_signature(rows, read_card(artifact)["model"]),
            input_example=example_input,
            pip_requirements=[f"everstay=={version('everstay')}"],
        )
        yield path


def _signature(rows: pl.DataFrame, model: str) -> ModelSignature:
    """From the declared dtypes: MLflow would guess them from values, and an empty list has none."""
    inputs = _schema(served.portable(rows).schema)
    if model == "churn":
        return ModelSignature(inputs, _schema({t.CHURN_PROBABILITY: pl.Float64()}))
    length = ParamSpec(served.LIST_LENGTH, DataType.long, served.DEFAULT_LIST_LENGTH)
    return ModelSignature(inputs, _schema(served.LIST_COLUMNS), ParamSchema([length]))


def _schema(columns: Mapping[str, pl.DataType]) -> Schema:
    return Schema([_column(name, dtype) for name, dtype in columns.items()])


def _column(name: str, dtype: pl.DataType) -> ColSpec:
    kind = Array(_DTYPES[dtype.inner.base_type()]) if isinstance(dtype, pl.List) else _DTYPES[dtype.base_type()]
    return ColSpec(kind, name, required=name in _NEVER_NULL)
