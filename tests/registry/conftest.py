"""A real MLflow store in SQLite, and two small real models whose artifact folders go through it."""

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import ModuleType

import numpy as np
import polars as pl
import pytest
from matplotlib.figure import Figure

from everstay import tables as t
from everstay.lake import Lake
from everstay.metrics.comparison import Interval
from everstay.metrics.report import CandidateReport
from everstay.registry.store import Registry
from everstay.registry.tracking import log_candidate
from everstay.registry.versions import register_challenger
from everstay.settings import Mlflow

AS_OF = datetime(2024, 3, 1, tzinfo=UTC)
TOY = "everstay.toy_models"


class ToyChurn:
    """Leaving is likelier the longer ago the last token, and without any token."""

    name = "toy"

    def __init__(self, slope: float):
        self.slope = slope

    def predict_probability(self, rows: pl.DataFrame) -> np.ndarray:
        last = rows.select(pl.col("token_days_ago").list.last().fill_null(99.0).cast(pl.Float64)).to_series()
        spend = rows["spend_28d"].fill_null(0.0)
        return 1 / (1 + np.exp(-(self.slope * last.to_numpy() - spend.to_numpy())))

    def explain(self, rows: pl.DataFrame) -> list[list[str]]:
        return [[f"last seen {days} days ago"] for days in rows["token_days_ago"].list.last().to_list()]


class ToyRecommender:
    """What was bought, the most bought first, then the shop's best sellers."""

    name = "toy"

    def __init__(self, best_sellers: list[str]):
        self.best_sellers = best_sellers

    def recommend(self, rows: pl.DataFrame, k: int) -> pl.DataFrame:
        own = pl.col("history_item").fill_null([]).list.reverse().list.unique(maintain_order=True)
        lists = rows.select(t.USER_ID, own.list.concat(pl.lit(self.best_sellers)).alias(t.ITEM_ID))
        lists = lists.with_columns(pl.col(t.ITEM_ID).list.unique(maintain_order=True).list.head(k))
        ranked = lists.explode(t.ITEM_ID).with_columns(pl.int_range(1, pl.len() + 1).over(t.USER_ID).alias(t.RANK))
        return ranked.with_columns((1 / pl.col(t.RANK)).alias(t.SCORE), pl.lit("bought often").alias(t.REASON))


def load_toy(folder: Path) -> ToyChurn | ToyRecommender:
    card = json.loads((folder / "artifact.json").read_text())
    return ToyChurn(card["slope"]) if card["model"] == "churn" else ToyRecommender(["i1", "i2", "i3", "i4"])


def report_toy(
    place: Path, name: str = "network", model: str = "churn", slope: float = 0.1, **card: object
) -> CandidateReport:
    """A toy as a candidate, its artifact folder written under `place`."""
    folder = place / f"{model}-{name}-{slope}"
    folder.mkdir(parents=True, exist_ok=True)
    content = {"model": model, "name": name, "loader": f"{TOY}:load_toy", "slope": slope, "data_version": "events-0"}
    (folder / "artifact.json").write_text(json.dumps(content | {"as_of": AS_OF.isoformat()} | card))
    return CandidateReport(
        name=name,
        params={"layers": 2, "rate": 0.1},
        metrics={"test_metric": Interval(0.8, 0.7, 0.9), "test_undefined": Interval(0.5, float("nan"), float("nan"))},
        curves={"train_loss": [3.0, 2.0, 1.5]},
        figures={"calibration.png": Figure()},
        artifact=folder,
        pages={"rules.txt": "everybody leaves"},
    )


@pytest.fixture(scope="session", autouse=True)
def toy_models() -> Iterator[None]:
    """Makes the toys' loader a function of the package, as a model's own room would."""
    module = ModuleType(TOY)
    module.load_toy = load_toy  # type: ignore[attr-defined]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(load_toy, "__module__", TOY)
        patched.setitem(sys.modules, TOY, module)
        yield


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with MLflow's tables, made once: that takes seconds."""
    file = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    Registry(Mlflow(tracking_uri=f"sqlite:///{file}", artifacts=str(file.parent)))
    return file


@pytest.fixture(scope="session")
def store_of_three(empty_store: Path, tmp_path_factory: pytest.TempPathFactory, churn_rows: pl.DataFrame) -> Path:
    """A SQLite file with three versions of churn, none of them champion."""
    folder = tmp_path_factory.mktemp("three")
    file = Path(shutil.copy(empty_store, folder))
    registry = Registry(Mlflow(tracking_uri=f"sqlite:///{file}", artifacts=str(folder)))
    for slope in (0.1, 0.2, 0.3):
        report = report_toy(folder / "fitted", slope=slope)
        run = log_candidate(registry, "churn", report, run_key=f"k{slope}", example=churn_rows, settings={})
        register_challenger(registry, "churn", run, metric="test_metric")
    return file


@pytest.fixture
def mlflow_settings(tmp_path: Path, empty_store: Path) -> Mlflow:
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    return Mlflow(tracking_uri=f"sqlite:///{tmp_path}/mlflow.db", artifacts=str(tmp_path / "artifacts"))


@pytest.fixture
def registry(mlflow_settings: Mlflow) -> Registry:
    return Registry(mlflow_settings)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path / "lake"), 2)


@pytest.fixture(scope="session")
def churn_rows() -> pl.DataFrame:
    return pl.DataFrame(
        {
            t.USER_ID: ["u1", "u2", "u3"],
            t.AS_OF: [AS_OF] * 3,
            "spend_28d": [2.5, None, 0.0],
            "token_type": [[t.PURCHASE, t.VIEW], [t.VIEW], []],
            "token_days_ago": [[9.5, 0.25], [30.1], []],
        },
        schema_overrides={t.AS_OF: t.TIME, "token_days_ago": pl.List(pl.Float32), "token_type": pl.List(pl.String)},
    )


@pytest.fixture
def history_rows() -> pl.DataFrame:
    return pl.DataFrame(
        {
            t.USER_ID: ["u1", "u2", "u3"],
            t.AS_OF: [AS_OF] * 3,
            "history_item": [["i7", "i9", "i7"], [], None],
            "history_order": [[1, 0, 0], [], None],
        },
        schema_overrides={
            t.AS_OF: t.TIME, "history_item": pl.List(pl.String), "history_order": pl.List(pl.UInt32),
        },
    )  # fmt: skip


@pytest.fixture
def make_report(tmp_path: Path) -> Callable[..., CandidateReport]:
    """Writes a toy's artifact folder and reports it."""
    return partial(report_toy, tmp_path / "fitted")
