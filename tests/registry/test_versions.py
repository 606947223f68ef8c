import shutil
from collections.abc import Callable

import polars as pl
import pytest

from everstay.metrics.report import CandidateReport
from everstay.registry.artifact import ArtifactRefused, artifact_digest, load_artifact
from everstay.registry.refs import RunRef
from everstay.registry.store import Registry
from everstay.registry.tracking import discard_run, find_run, log_candidate
from everstay.registry.versions import (
    challenger,
    champion,
    describe_decision,
    download,
    register_challenger,
    why_lost,
)

Make = Callable[..., CandidateReport]


@pytest.fixture
def run(registry: Registry, make_report: Make, churn_rows: pl.DataFrame) -> RunRef:
    return log_candidate(registry, "churn", make_report(), run_key="k", example=churn_rows, settings={})


def test_a_run_becomes_a_described_version_once(registry: Registry, run: RunRef):
    first = register_challenger(registry, "churn", run, metric="test_metric")
    assert register_challenger(registry, "churn", run, metric="test_metric") == first
    assert challenger(registry, "churn") == first
    assert (first.version, first.candidate, first.artifact_digest) == ("1", "network", run.artifact_digest)
    stored = registry.client.get_model_version("churn", "1")
    assert stored.description.startswith("network: test_metric 0.8000 (0.7000 to 0.9000)")
    assert (stored.tags["metric"], stored.tags["data_version"]) == ("test_metric", "events-0")
    assert registry.client.get_registered_model("churn").description.startswith("Who is about to leave")


def test_only_the_latest_decision_is_told_of_a_version(registry: Registry, run: RunRef):
    register_challenger(registry, "churn", run, metric="test_metric")
    for words in ("refused on Monday", "promoted on Tuesday"):
        describe_decision(registry, "churn", "1", words)
    described = registry.client.get_model_version("churn", "1").description
    assert described.startswith("network: test_metric 0.8000")
    assert described.endswith("promoted on Tuesday")
    assert "Monday" not in described


def test_without_a_champion_there_is_none(registry: Registry, run: RunRef):
    assert champion(registry, "churn") is None
    register_challenger(registry, "churn", run, metric="test_metric")
    assert champion(registry, "churn") is None


def test_the_downloaded_folder_is_the_one_that_was_logged(registry: Registry, run: RunRef, churn_rows: pl.DataFrame):
    version = register_challenger(registry, "churn", run, metric="test_metric")
    for ref in (run, version):
        folder = download(registry, ref)
        assert artifact_digest(folder) == run.artifact_digest
        assert len(load_artifact(folder).predict_probability(churn_rows)) == 3


def test_files_that_are_gone_or_damaged_are_told(registry: Registry, run: RunRef):
    assert why_lost(registry, run) == ""
    artifact = download(registry, run)
    card = (artifact / "artifact.json").read_text()
    (artifact / "artifact.json").write_text(card.replace("0.1", "0.2"))
    assert "was changed after it was logged" in why_lost(registry, run)
    (artifact / "artifact.json").write_text(card)
    described = artifact.parents[1] / "MLmodel"
    words = described.read_text()
    for damaged in ("", "junk: [", "a: 1"):
        described.write_text(damaged)
        assert "MLmodel was changed after it was logged" in why_lost(registry, run)
    described.write_text(words)
    assert why_lost(registry, run) == ""
    shutil.rmtree(artifact.parents[1])
    assert f"the files of network (run {run.run_id}) are gone from MLflow's store" in why_lost(registry, run)


def test_a_discarded_run_is_not_found_again(registry: Registry, run: RunRef):
    assert find_run(registry, "churn", "k").run_id == run.run_id
    discard_run(registry, run)
    assert find_run(registry, "churn", "k") is None


def test_a_changed_artifact_is_refused(registry: Registry, run: RunRef):
    card = download(registry, run) / "artifact.json"
    card.write_text(card.read_text().replace("0.1", "0.2"))
    with pytest.raises(ArtifactRefused, match="changed after it was logged"):
        download(registry, run)
