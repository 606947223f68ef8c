"""Which champions a challenger is compared with."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from everstay import churn, recommender
from everstay import tables as t
from everstay.churn.baselines import RecencyScorer
from everstay.churn.calibration import Calibrator
from everstay.churn.model import CalibratedModel
from everstay.errors import SettingsError
from everstay.metrics.comparison import Interval
from everstay.metrics.report import CandidateReport
from everstay.recommender.baselines import PopularityRanker
from everstay.recommender.config import PopularityConfig
from everstay.recommender.model import ListModel
from everstay.recommender.vocabulary import Vocabulary
from everstay.registry.refs import ModelName, ModelRef
from everstay.registry.store import Registry
from everstay.registry.tracking import log_candidate
from everstay.registry.versions import CHAMPION, champion, register_challenger
from everstay.settings import Churn, Mlflow, Recommender, Settings
from flows.promote_model import require_baseline, why_none
from tests.churn.conftest import planted_rows
from tests.recommender.conftest import basket_rows

AS_OF = datetime(2024, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, prefect_api: None) -> Settings:
    """Of a store whose champions were tested as of `AS_OF` by default settings."""
    folder = tmp_path_factory.mktemp("champions")
    settings = Settings(
        mlflow=Mlflow(tracking_uri=f"sqlite:///{folder}/mlflow.db", artifacts=str(folder / "artifacts"))
    )
    told: dict[str, Any] = {"as_of": AS_OF, "data_version": "events-0", "params": {}}
    leaving = CalibratedModel("recency", RecencyScorer(), Calibrator(0.0, 1.0), {})
    churn.save_artifact(leaving, folder / "churn", **told)
    rows = basket_rows({"u1": [(3.0, ["a"])], "u2": [(2.0, ["a"])]}).drop("target_item")
    vocabulary = Vocabulary.learn(rows, 2)
    lists = ListModel("popularity", PopularityRanker.fit(vocabulary, PopularityConfig()), vocabulary, "keep")
    recommender.save_artifact(lists, folder / "recommender", **told)
    examples = {"churn": planted_rows(AS_OF, 3, 1).drop(churn.LABEL_COLUMNS), "recommender": rows}
    for model, example in examples.items():
        make_champion(model, folder / model, example, settings)
    return settings


def make_champion(model: ModelName, artifact: Path, example: Any, settings: Settings) -> None:
    registry = Registry(settings.mlflow)
    figures = {"test_figure": Interval(0.5, 0.4, 0.6)}
    report = CandidateReport(model, {}, figures, {}, {}, artifact)
    logged = settings.model_dump(mode="json")
    run = log_candidate(registry, model, report, run_key="k", example=example, settings=logged)
    version = register_challenger(registry, model, run, metric="test_figure")
    registry.client.set_registered_model_alias(model, CHAMPION, version.version)


def judged(model: ModelName, store: Settings, test_as_of: datetime | None, **changed: Any) -> str:
    registry = Registry(store.mlflow)
    current = champion(registry, model)
    assert isinstance(current, ModelRef)
    return why_none(current, registry, store.model_copy(update=changed), test_as_of)


@pytest.mark.parametrize("model", ["churn", "recommender"])
@pytest.mark.parametrize("later", [0, 1, 7])
def test_a_champion_competes_at_its_own_as_of_and_later(store: Settings, model: ModelName, later: int):
    assert judged(model, store, AS_OF + later * DAY) == ""
    assert judged(model, store, None) == ""


@pytest.mark.parametrize("model", ["churn", "recommender"])
def test_a_champion_that_learned_after_the_test_began_counts_as_none(store: Settings, model: ModelName):
    told = "learned from all that was known as of 2024-03-01 and counts as none: the test begins at 2024-02-29"
    assert judged(model, store, AS_OF - DAY) == told


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"horizon_days": 90}, "horizon_days = 28 (now 90)"),
        ({"gap_days": 3}, "gap_days = 0 (now 3)"),
        ({"look_back_days": 56}, "look_back_days = 84 (now 56)"),
    ],
)
def test_a_champion_of_another_leaving_counts_as_none(store: Settings, changed: dict[str, int], told: str):
    why = judged("churn", store, AS_OF + DAY, churn=Churn(**changed))
    assert why == f"was trained with {told} and counts as none: it predicts another leaving"
    assert judged("churn", store, AS_OF + DAY, churn=Churn(training_slices=3)) == ""
    assert judged("recommender", store, AS_OF + DAY, churn=Churn(**changed)) == ""


def test_a_champion_of_another_segment_counts_as_none_and_one_of_another_horizon_competes(store: Settings):
    why = judged("recommender", store, AS_OF, recommender=Recommender(segment_by=t.AGE_BAND))
    assert why == "segments by no attribute and counts as none: recommender.segment_by says age_band"
    assert judged("recommender", store, AS_OF, recommender=Recommender(horizon_days=60)) == ""


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"recommender": Recommender(candidates=("ease",), segment_by=t.AGE_BAND)},
            r"recommender\.candidates names no baseline, and champion version 1 segments by no .* popularity or",
        ),
        (
            {"churn": Churn(candidates=("logistic",), horizon_days=60)},
            r"churn\.candidates names no baseline, and champion version 1 was trained with horizon_days = 28 ",
        ),
        (
            {"churn": Churn(candidates=("logistic",)), "as_of": date(2024, 2, 1)},
            r"learned from all that was known as of 2024-03-01 .*: the first model is judged against recency; add it",
        ),
    ],
)
def test_without_a_baseline_a_champion_that_counts_as_none_is_told_before_training(
    store: Settings, changed: dict[str, Any], message: str
):
    model: ModelName = "churn" if "churn" in changed else "recommender"
    with pytest.raises(SettingsError, match=message):
        require_baseline(model, store.model_copy(update=changed))


def test_without_a_baseline_a_champion_that_competes_will_do(store: Settings):
    candidates = {"churn": Churn(candidates=("logistic",)), "recommender": Recommender(candidates=("ease",))}
    settings = store.model_copy(update=candidates)
    for model in ("churn", "recommender"):
        require_baseline(model, settings)
        require_baseline(model, settings, AS_OF)
        with pytest.raises(SettingsError, match="the test begins at 2024-02-29"):
            require_baseline(model, settings, AS_OF - DAY)
