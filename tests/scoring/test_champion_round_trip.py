"""Real models through the whole registry: fitted, saved, logged, promoted, downloaded, scoring a lake's buckets."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import mlflow.pyfunc
import numpy as np
import polars as pl
import pytest
import torch
from polars.testing import assert_frame_equal

from everstay import tables as t
from everstay.churn.artifact import load_artifact, save_artifact
from everstay.churn.baselines import RecencyScorer
from everstay.churn.calibration import Calibrator
from everstay.churn.config import NetworkConfig
from everstay.churn.ensemble import NetworkEncoder, NetworkScorer
from everstay.churn.model import CalibratedModel
from everstay.churn.reasons import usual_values
from everstay.lake import Lake, commit_staged, stage_events
from everstay.lake.futures import FrameChunk
from everstay.metrics.comparison import Interval
from everstay.metrics.report import CandidateReport
from everstay.partitions import IN_PROCESS
from everstay.registry import served
from everstay.registry.refs import ModelRef
from everstay.registry.store import Registry
from everstay.registry.tracking import log_candidate
from everstay.registry.versions import CHALLENGER, CHAMPION, download, register_challenger
from everstay.scoring import Work, churn_rows, compute_churn_scores
from everstay.scoring.__main__ import explain_user
from everstay.settings import Churn, Data, Mlflow, Settings
from everstay.storage import Folder

AS_OF = datetime(2024, 6, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    folder = tmp_path_factory.mktemp("mlflow")
    return Registry(Mlflow(tracking_uri=f"sqlite:///{folder}/mlflow.db", artifacts=str(folder / "artifacts")))


@pytest.fixture(scope="module")
def rows(events: pl.DataFrame) -> pl.DataFrame:
    return churn_rows(events, t.ITEMS.empty(), AS_OF - timedelta(days=30))


def recency(rows: pl.DataFrame) -> CalibratedModel:
    return CalibratedModel("recency", RecencyScorer(), Calibrator(-2.0, 0.5), usual_values(rows))


def network(rows: pl.DataFrame, name: str = "network") -> CalibratedModel:
    config = NetworkConfig(max_tokens=16, is_hazard=name == "hazard")
    encoder = NetworkEncoder.fit(rows, config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        member = encoder.new_network(config).eval()
    return CalibratedModel(name, NetworkScorer(config, encoder, [member]), Calibrator(0.0, 1.0), usual_values(rows))


def register(
    registry: Registry, model: CalibratedModel, rows: pl.DataFrame, place: Path, settings: Settings
) -> tuple[Path, ModelRef]:
    """The artifact folder that was logged, and the version that it became."""
    folder = save_artifact(model, place, as_of=AS_OF, data_version="events-5", params={})
    report = CandidateReport(model.name, {}, {"test_ap": Interval(0.5, 0.4, 0.6)}, {}, {}, folder)
    logged = settings.model_dump(mode="json")
    run = log_candidate(registry, "churn", report, run_key=model.name, example=rows, settings=logged)
    return folder, register_challenger(registry, "churn", run, metric="test_ap")


@pytest.mark.parametrize("make", [recency, network])
def test_the_served_model_and_the_scored_buckets_agree_with_the_fitted_model(
    make: Callable[[pl.DataFrame], CalibratedModel],
    registry: Registry,
    rows: pl.DataFrame,
    tmp_path: Path,
    make_work: Callable[..., Work],
):
    model = make(rows)
    folder, version = register(registry, model, rows, tmp_path / "fitted", Settings())
    registry.adopt()
    answered = mlflow.pyfunc.load_model(f"models:/churn@{CHALLENGER}").predict(served.rows_to_pandas(rows))
    expected = model.predict_probability(rows)
    np.testing.assert_array_equal(answered[t.CHURN_PROBABILITY].to_numpy(), expected)
    assert len(np.unique(expected)) > 20

    shop = make_work("churn", 4)
    work = Work(shop.reader, download(registry, version), version.version, AS_OF)
    scores = (
        compute_churn_scores(work, Settings(), Folder(str(tmp_path / "scores")), IN_PROCESS).read_all().sort(t.USER_ID)
    )
    scored = churn_rows(shop.reader.events, shop.reader.items, AS_OF).join(scores, on=t.USER_ID, how="semi")
    direct = load_artifact(folder).predict_probability(scored)
    np.testing.assert_allclose(scores[t.CHURN_PROBABILITY].to_numpy(), direct, rtol=1e-5)
    assert_frame_equal(scores.select(t.USER_ID), scored.select(t.USER_ID))
    assert scores[t.REASONS].list.len().max() >= 1


def test_a_user_s_silence_is_told_by_the_horizon_that_the_champion_learned(
    registry: Registry, rows: pl.DataFrame, events: pl.DataFrame, tmp_path: Path
):
    lake = Lake(str(tmp_path / "lake"), 2)
    commit_staged(stage_events(lake, [FrameChunk("shop", events)], IN_PROCESS, max_quarantined_share=0.0))
    settings = Settings(
        data=Data(folder=lake.uri, buckets=2),
        mlflow=Mlflow(tracking_uri=registry.tracking_uri, artifacts=str(tmp_path)),
        score_as_of=AS_OF.date(),
    )
    then = settings.model_copy(update={"churn": Churn(horizon_days=56, gap_days=2)})
    _, version = register(registry, network(rows, "hazard"), rows, tmp_path / "fitted", then)
    registry.client.set_registered_model_alias("churn", CHAMPION, version.version)
    told = explain_user("u1", settings).silence
    assert "for 84 days (starting in 2 days)" in told[0]
    assert told == explain_user("u1", then).silence
