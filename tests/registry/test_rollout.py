import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from everstay import tables as t
from everstay.errors import NotReady
from everstay.lake import Lake
from everstay.metrics.comparison import Interval
from everstay.metrics.report import CandidateReport
from everstay.registry import ledger
from everstay.registry.__main__ import main
from everstay.registry.promotion import Decision, Evidence, decide
from everstay.registry.refs import ModelRef
from everstay.registry.rollout import (
    ChampionChanged,
    apply_decision,
    history,
    require_champion,
    roll_back,
    was_rolled_back,
)
from everstay.registry.store import Registry
from everstay.registry.tracking import log_candidate
from everstay.registry.versions import CHAMPION, champion, download, get_version, register_challenger, registered_at
from everstay.settings import Mlflow, Promotion

BETTER, TIED = Interval(0.02, 0.01, 0.03), Interval(0.01, -0.01, 0.03)


@pytest.fixture
def mlflow_settings(tmp_path: Path, store_of_three: Path) -> Mlflow:
    shutil.copy(store_of_three, tmp_path / "mlflow.db")
    return Mlflow(tracking_uri=f"sqlite:///{tmp_path}/mlflow.db", artifacts=str(tmp_path / "artifacts"))


@pytest.fixture
def versions(registry: Registry) -> list[ModelRef]:
    return [get_version(registry, "churn", number) for number in ("1", "2", "3")]


def judge(registry: Registry, challenger: ModelRef, difference: Interval = BETTER) -> Decision:
    found = Evidence("average_precision", "events-0", difference, {"recency": difference})
    return decide(champion(registry, "churn"), challenger, found, Promotion())


def promote(registry: Registry, lake: Lake, challenger: ModelRef) -> None:
    apply_decision(registry, lake, judge(registry, challenger))


def test_the_first_model_is_promoted_only_when_it_beats_the_baseline(
    registry: Registry, lake: Lake, versions: list[ModelRef]
):
    apply_decision(registry, lake, judge(registry, versions[0], TIED))
    assert champion(registry, "churn") is None
    apply_decision(registry, lake, judge(registry, versions[0], BETTER))
    assert champion(registry, "churn") == versions[0]


def test_without_a_champion_the_last_decision_tells_why(registry: Registry, lake: Lake, versions: list[ModelRef]):
    with pytest.raises(NotReady, match="there is no churn champion yet: run `make train`"):
        require_champion(registry, lake, "churn")
    refused = judge(registry, versions[0], TIED)
    apply_decision(registry, lake, refused)
    with pytest.raises(NotReady, match=re.escape(f"; the last decision: {'; '.join(refused.reasons)}; bring more")):
        require_champion(registry, lake, "churn")
    apply_decision(registry, lake, judge(registry, versions[0], BETTER))
    assert require_champion(registry, lake, "churn") == versions[0]


def test_every_decision_is_recorded_with_its_reasons(registry: Registry, lake: Lake, versions: list[ModelRef]):
    promote(registry, lake, versions[0])
    apply_decision(registry, lake, judge(registry, versions[1], TIED))
    rows = history(registry, lake, "churn")
    assert rows[t.IS_PROMOTED].to_list() == [True, False]
    assert rows[t.CHAMPION_VERSION].to_list() == [None, "1"]
    assert rows[t.DIFFERENCE_LOW].to_list() == [0.01, -0.01]
    assert "tie" in rows[t.REASONS][1][0]
    described = [registry.client.get_model_version("churn", version).description for version in ("1", "2")]
    assert "promoted: first model; its strongest rival" in described[0]
    assert "not promoted: average_precision against champion 1" in described[1]
    assert described[1].startswith("network: test_metric")
    assert champion(registry, "churn") == versions[0]


def test_a_repeated_decision_changes_nothing(registry: Registry, lake: Lake, versions: list[ModelRef]):
    decision = judge(registry, versions[0])
    for _ in range(2):
        apply_decision(registry, lake, decision)
    promote(registry, lake, versions[0])  # decided again: nothing new
    for _ in range(2):
        apply_decision(registry, lake, judge(registry, versions[1], TIED))
    assert len(history(registry, lake, "churn")) == 2
    assert champion(registry, "churn") == versions[0]


def test_a_promotion_killed_before_the_alias_moved_is_completed_by_a_rerun(
    registry: Registry, lake: Lake, versions: list[ModelRef], monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as patched:
        patched.setattr(registry.client, "set_registered_model_alias", _killed)
        with pytest.raises(KeyboardInterrupt):
            promote(registry, lake, versions[0])
    assert champion(registry, "churn") is None
    promote(registry, lake, versions[0])
    assert champion(registry, "churn") == versions[0]
    assert len(history(registry, lake, "churn")) == 1


def test_an_alias_moved_meanwhile_is_not_overwritten(registry: Registry, lake: Lake, versions: list[ModelRef]):
    promote(registry, lake, versions[0])
    decision = judge(registry, versions[1])
    registry.client.set_registered_model_alias("churn", CHAMPION, versions[2].version)
    with pytest.raises(ChampionChanged, match="champion is now 3"):
        apply_decision(registry, lake, decision)
    assert champion(registry, "churn") == versions[2]
    assert len(history(registry, lake, "churn")) == 1


def test_rollback_restores_the_champion_before_and_records_it(registry: Registry, lake: Lake, versions: list[ModelRef]):
    for version in versions:
        promote(registry, lake, version)
    assert roll_back(registry, lake, "churn") == versions[1]
    assert roll_back(registry, lake, "churn") == versions[0] == champion(registry, "churn")
    with pytest.raises(NotReady, match="nothing to roll back to"):
        roll_back(registry, lake, "churn")
    rows = history(registry, lake, "churn")
    assert rows[t.METRIC].to_list()[3:] == [ledger.ROLLBACK] * 2
    assert rows[t.REASONS][3].to_list() == ["rolled back by hand from version 3 to version 2"]
    assert ledger.rolled_back(rows) == {"2", "3"}
    described = [registry.client.get_model_version("churn", version).description for version in ("1", "2", "3")]
    last = [words.split("\n\n")[1] for words in described]
    assert last == [f"rolled back by hand from version {way}" for way in ("2 to version 1",) * 2 + ("3 to version 2",)]


def test_a_version_that_was_rolled_back_is_not_promoted_by_an_old_decision(
    registry: Registry, lake: Lake, versions: list[ModelRef]
):
    promote(registry, lake, versions[0])
    decision = judge(registry, versions[1])
    apply_decision(registry, lake, decision)
    roll_back(registry, lake, "churn")
    with pytest.raises(ChampionChanged, match="version 2 was rolled back"):
        apply_decision(registry, lake, decision)
    assert champion(registry, "churn") == versions[0]


def test_a_model_that_was_rolled_back_is_known_under_a_new_number(
    registry: Registry,
    lake: Lake,
    versions: list[ModelRef],
    make_report: Callable[..., CandidateReport],
    churn_rows: pl.DataFrame,
):
    """As a run that is judged by other costs is."""
    promote(registry, lake, versions[0])
    promote(registry, lake, versions[1])
    roll_back(registry, lake, "churn")
    again = make_report(slope=0.2)
    run = log_candidate(registry, "churn", again, run_key="other costs", example=churn_rows, settings={})
    same = register_challenger(registry, "churn", run, metric="test_metric")
    assert same.version not in {version.version for version in versions}
    taken_back = [was_rolled_back(registry, lake, version) for version in (*versions, same)]
    assert taken_back == [False, True, False, True]


def test_a_promotion_after_a_rollback_continues_from_the_restored(
    registry: Registry, lake: Lake, versions: list[ModelRef]
):
    promote(registry, lake, versions[0])
    promote(registry, lake, versions[1])
    roll_back(registry, lake, "churn")
    promote(registry, lake, versions[2])
    assert roll_back(registry, lake, "churn") == versions[0]


def test_a_rollback_killed_before_the_alias_moved_is_completed_by_the_next(
    registry: Registry, lake: Lake, versions: list[ModelRef], monkeypatch: pytest.MonkeyPatch
):
    for version in versions:
        promote(registry, lake, version)
    with monkeypatch.context() as patched:
        patched.setattr(registry.client, "set_registered_model_alias", _killed)
        with pytest.raises(KeyboardInterrupt):
            roll_back(registry, lake, "churn")
    assert champion(registry, "churn") == versions[2]
    assert roll_back(registry, lake, "churn") == versions[1] == champion(registry, "churn")
    assert len(history(registry, lake, "churn")) == 4


def test_rows_about_an_earlier_store_are_history(registry: Registry, lake: Lake, versions: list[ModelRef]):
    """Its numbers are used again: version 2 of that store was taken back, and 3 was promoted over 1."""
    before = registered_at(registry, "churn")
    decisions = [judge(registry, version) for version in versions]
    taken_back = replace(decisions[0], champion_version="2", metric=ledger.ROLLBACK)
    over_one = replace(decisions[2], champion_version="1")
    for days, decision in enumerate((over_one, taken_back, replace(decisions[1], champion_version="1"), decisions[0])):
        lake.append(t.PROMOTIONS, ledger.decision_row(decision, before - timedelta(days=1 + days)))
    assert history(registry, lake, "churn").is_empty()
    apply_decision(registry, lake, decisions[0])
    promote(registry, lake, versions[1])
    assert champion(registry, "churn") == versions[1]
    assert history(registry, lake, "churn")[t.CHALLENGER_VERSION].to_list() == ["1", "2"]
    assert lake.read(t.PROMOTIONS).height == 6
    assert roll_back(registry, lake, "churn") == versions[0]
    with pytest.raises(NotReady, match="nothing to roll back to"):
        roll_back(registry, lake, "churn")


def test_a_rollback_passes_over_versions_that_cannot_be_loaded(
    registry: Registry, lake: Lake, versions: list[ModelRef]
):
    for version in versions:
        promote(registry, lake, version)
    with hidden(registry, versions[1]):
        with hidden(registry, versions[0]), pytest.raises(NotReady, match="no churn champion before version 3 can be"):
            roll_back(registry, lake, "churn")
        assert roll_back(registry, lake, "churn") == versions[0] == champion(registry, "churn")
    told = history(registry, lake, "churn")[t.REASONS][-1].to_list()
    assert told == ["rolled back by hand from version 3 to version 1"]


@contextmanager
def hidden(registry: Registry, version: ModelRef) -> Iterator[None]:
    """Without the version's files, which other tests share."""
    files = download(registry, version)
    files.rename(files.with_name("hidden"))
    try:
        yield
    finally:
        files.with_name("hidden").rename(files)


def test_without_a_champion_nothing_is_rolled_back(registry: Registry, lake: Lake):
    with pytest.raises(NotReady, match="no churn champion"):
        roll_back(registry, lake, "churn")


def test_the_command_rolls_back_and_says_so(
    registry: Registry,
    lake: Lake,
    versions: list[ModelRef],
    mlflow_settings: Mlflow,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.setenv("EVERSTAY_DATA__FOLDER", lake.uri)
    monkeypatch.setenv("EVERSTAY_MLFLOW__TRACKING_URI", mlflow_settings.tracking_uri)
    monkeypatch.setenv("EVERSTAY_MLFLOW__ARTIFACTS", mlflow_settings.artifacts)
    promote(registry, lake, versions[0])
    assert main(["rollback", "churn"]) == 1
    assert "nothing to roll back to" in capsys.readouterr().err
    promote(registry, lake, versions[1])
    assert main(["rollback", "churn"]) == 0
    assert capsys.readouterr().out == "churn: version 1 (network, as of 2024-03-01) is champion again\n"
    with pytest.raises(SystemExit):
        main(["rollback", "pricing"])


def _killed(*_: object) -> None:
    raise KeyboardInterrupt
