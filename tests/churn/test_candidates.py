"""The contract of every candidate: learn the planted hazard, survive its folder to the bit, see no test row."""

import json
import pickletools
import shutil
import warnings
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import skops.io
from sklearn.preprocessing import FunctionTransformer

from everstay import tables as t
from everstay.churn import candidates
from everstay.churn.artifact import load_artifact
from everstay.churn.candidates import evaluate_candidate, train_candidate
from everstay.churn.rows import LABEL_COLUMNS, ChurnRows, outcomes
from everstay.errors import EverstayError, NotReady
from everstay.features import TimeSplit
from everstay.metrics.classification import expected_calibration_error, roc_auc
from everstay.settings import Settings

NAMES = (
    "recency", "purchase_process", "logistic", "lasso", "tree", "svm",
    "boosting", "lightgbm", "network", "hazard", "transformer", "blend",
)  # fmt: skip


@pytest.fixture(scope="session")
def trained(rows_folder: Path, churn_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("candidates")
    for name in NAMES:
        train_candidate(name, rows_folder, churn_settings, folder, "v1")
    return folder


class CandidateContract:
    """What every candidate must do; subclasses name it."""

    name: str
    least_auc: float

    def test_ranks_the_planted_hazard(self, trained: Path, churn_rows: ChurnRows) -> None:
        probability = load_artifact(trained / self.name / "artifact").predict_probability(churn_rows.test)
        assert roc_auc(outcomes(churn_rows.test), probability) > self.least_auc

    def test_probabilities_are_calibrated(self, trained: Path, churn_rows: ChurnRows) -> None:
        probability = load_artifact(trained / self.name / "artifact").predict_probability(churn_rows.test)
        assert probability.dtype == np.float64
        assert ((probability > 0) & (probability < 1)).all()
        assert expected_calibration_error(outcomes(churn_rows.test), probability) < 0.12  # noise of 400 users: 0.06

    def test_saved_and_loaded_it_predicts_the_same_bits(
        self, trained: Path, churn_rows: ChurnRows, tmp_path: Path
    ) -> None:
        model = load_artifact(trained / self.name / "artifact")
        as_of = churn_rows.test[t.AS_OF][0]
        candidates.save_artifact(model, tmp_path / "copy", as_of=as_of, data_version="v1", params={})
        again = load_artifact(tmp_path / "copy")
        assert again.name == self.name
        assert (again.predict_probability(churn_rows.test) == model.predict_probability(churn_rows.test)).all()
        assert again.explain(churn_rows.test.head(5)) == model.explain(churn_rows.test.head(5))

    def test_a_user_scores_the_same_in_any_company(self, trained: Path, churn_rows: ChurnRows) -> None:
        model = load_artifact(trained / self.name / "artifact")
        whole = model.predict_probability(churn_rows.test)
        backwards = model.predict_probability(churn_rows.test.reverse())[::-1]
        np.testing.assert_allclose(backwards, whole, rtol=0, atol=1e-6)
        np.testing.assert_allclose(model.predict_probability(churn_rows.test.head(1)), whole[:1], rtol=0, atol=1e-6)
        assert model.predict_probability(churn_rows.test.head(0)).shape == (0,)

    def test_users_without_history_get_a_probability(self, trained: Path, churn_rows: ChurnRows) -> None:
        model = load_artifact(trained / self.name / "artifact")
        nothing = churn_rows.test.head(2).with_columns(
            pl.lit(None).cast(churn_rows.test.schema[name]).alias(name)
            for name in churn_rows.test.columns
            if name not in (t.USER_ID, t.AS_OF, *LABEL_COLUMNS)
        )
        assert np.isfinite(model.predict_probability(nothing)).all()

    def test_card_tells_how_to_load_it_and_nothing_is_a_pickle(self, trained: Path) -> None:
        folder = trained / self.name / "artifact"
        card = json.loads((folder / "artifact.json").read_text())
        assert card["loader"] == "everstay.churn.artifact:load_artifact"
        assert (card["model"], card["name"], card["data_version"]) == ("churn", self.name, "v1")
        for file in (file for file in folder.rglob("*") if file.is_file()):
            assert file.suffix in {".json", ".safetensors", ".skops", ".txt"}
            assert not is_pickle(file.read_bytes())

    def test_reasons_are_words_with_numbers(self, trained: Path, churn_rows: ChurnRows) -> None:
        reasons = load_artifact(trained / self.name / "artifact").explain(churn_rows.test)
        assert len(reasons) == churn_rows.test.height
        assert max(map(len, reasons)) <= 3
        assert all("s the risk: " in reason for row in reasons for reason in row)
        assert any("order " in reason for row in reasons for reason in row)

    def test_parts_add_up_to_the_log_odds(self, trained: Path, churn_rows: ChurnRows) -> None:
        model = load_artifact(trained / self.name / "artifact")
        attribution = model.attribute(churn_rows.test)
        np.testing.assert_allclose(attribution.scores, model.log_odds(churn_rows.test), rtol=0, atol=2e-5)
        assert attribution.parts.std() > 0
        assert model.attribute(churn_rows.test.head(0)).parts.shape[0] == 0


class TestRecency(CandidateContract):
    name, least_auc = "recency", 0.55


class TestLogistic(CandidateContract):
    name, least_auc = "logistic", 0.75


class TestBoosting(CandidateContract):
    name, least_auc = "boosting", 0.75


class TestPurchaseProcess(CandidateContract):
    name, least_auc = "purchase_process", 0.55  # the plant knows nothing of rates


class TestLasso(CandidateContract):
    name, least_auc = "lasso", 0.75


class TestTree(CandidateContract):
    name, least_auc = "tree", 0.7


class TestSvm(CandidateContract):
    name, least_auc = "svm", 0.65


class TestLightGbm(CandidateContract):
    name, least_auc = "lightgbm", 0.75


class TestNetwork(CandidateContract):
    name, least_auc = "network", 0.75


class TestHazard(CandidateContract):
    name, least_auc = "hazard", 0.75


class TestTransformer(CandidateContract):
    name, least_auc = "transformer", 0.75


class TestBlend(CandidateContract):
    name, least_auc = "blend", 0.78


def is_pickle(content: bytes) -> bool:
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # bytes of weights are odd as text
        try:
            return any(opcode.name == "STOP" for opcode, *_ in pickletools.genops(content))
        except ValueError:
            return False


def test_the_network_finds_what_only_the_sequence_tells(trained: Path, churn_rows: ChurnRows) -> None:
    model = load_artifact(trained / "network" / "artifact")
    late = churn_rows.test.with_columns(pl.lit(20.0).repeat_by(pl.col("token_hour").list.len()).alias("token_hour"))
    early = churn_rows.test.with_columns(pl.lit(8.0).repeat_by(pl.col("token_hour").list.len()).alias("token_hour"))
    assert (model.predict_probability(late) > model.predict_probability(early)).mean() > 0.95


@pytest.mark.parametrize("name", ["hazard", "transformer"])
def test_curves_fall_and_pass_through_the_probability_of_churning(
    trained: Path, churn_rows: ChurnRows, name: str
) -> None:
    model = load_artifact(trained / name / "artifact")
    curve = model.silence(churn_rows.test, 28, [0, 7, 14, 28, 56])
    assert (curve[:, 0] == 1).all()
    assert (np.diff(curve, axis=1) < 0).all()
    np.testing.assert_allclose(curve[:, 3], model.predict_probability(churn_rows.test), rtol=1e-6)
    days = model.next_order_days(churn_rows.test, 28)
    assert ((days > 28) == (curve[:, 3] > 0.5)).all()
    with pytest.raises(NotReady, match="logistic has no survival curve"):
        load_artifact(trained / "logistic" / "artifact").silence(churn_rows.test, 28, [7])


def test_test_rows_teach_nothing(
    trained: Path, churn_rows: ChurnRows, churn_settings: Settings, tmp_path: Path
) -> None:
    scrambled = replace(churn_rows, test=churn_rows.test.with_columns(~pl.col(t.CHURNED), recency_days=0.0))
    folder = scrambled.write(tmp_path / "rows")
    for name in ("purchase_process", "logistic", "tree", "lightgbm", "network"):
        home = train_candidate(name, folder, churn_settings, tmp_path, "v1")
        assert_same_files(home / "artifact", trained / name / "artifact")


def assert_same_files(ours: Path, theirs: Path) -> None:
    """Same seed, same rows: the same weights. A skops file is a zip archive and holds the time, so it is left out."""
    files = sorted(file.relative_to(ours) for file in ours.rglob("*") if file.is_file())
    assert files == sorted(file.relative_to(theirs) for file in theirs.rglob("*") if file.is_file())
    for file in files:
        if file.suffix != ".skops":
            assert (ours / file).read_bytes() == (theirs / file).read_bytes(), file


def test_early_model_has_seen_neither_validation_nor_between(
    trained: Path, churn_rows: ChurnRows, churn_settings: Settings, tmp_path: Path
) -> None:
    rows = replace(churn_rows, between=churn_rows.between.with_columns(~pl.col(t.CHURNED)))
    home = train_candidate("logistic", rows.write(tmp_path / "rows"), churn_settings, tmp_path, "v1")
    before, after = load_artifact(trained / "logistic" / "early"), load_artifact(home / "early")
    assert (before.predict_probability(rows.test) == after.predict_probability(rows.test)).all()
    served = load_artifact(home / "artifact").predict_probability(rows.test)
    assert (served != load_artifact(trained / "logistic" / "artifact").predict_probability(rows.test)).any()


def test_a_second_call_does_nothing(trained: Path, rows_folder: Path, churn_settings: Settings) -> None:
    card = trained / "logistic" / "artifact" / "artifact.json"
    written = card.stat().st_mtime_ns
    train_candidate("logistic", rows_folder, churn_settings, trained, "v1")
    assert card.stat().st_mtime_ns == written


def test_another_data_version_or_seed_is_another_candidate(churn_settings: Settings) -> None:
    other_seed = churn_settings.model_copy(update={"training": churn_settings.training.model_copy(update={"seed": 99})})
    keys = {
        candidates.candidate_key("network", churn_settings, "v1"),
        candidates.candidate_key("network", churn_settings, "v2"),
        candidates.candidate_key("network", other_seed, "v1"),
        candidates.candidate_key("logistic", churn_settings, "v1"),
    }
    assert len(keys) == 4


def test_a_killed_network_continues_and_ends_the_same(
    trained: Path, rows_folder: Path, churn_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = 0

    def die(*_: object) -> None:
        nonlocal steps
        steps += 1
        if steps == 40:  # in the third of its epochs
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("everstay.churn.module.ChurnModule.on_train_batch_end", die)
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            train_candidate("network", rows_folder, churn_settings, tmp_path, "v1")
    assert list(tmp_path.rglob("last.ckpt"))
    home = train_candidate("network", rows_folder, churn_settings, tmp_path, "v1")
    assert_same_files(home / "artifact", trained / "network" / "artifact")
    assert not list(tmp_path.rglob("*.ckpt"))


def test_what_learns_beats_the_recency_rule_on_validation_and_curves_are_told(
    trained: Path, rows_folder: Path, churn_settings: Settings
) -> None:
    names = ("recency", "logistic", "lightgbm", "network")
    reports = [evaluate_candidate(trained / name, rows_folder, churn_settings) for name in names]
    assert all(report.seconds > 0 for report in reports)
    best = max(reports, key=lambda report: report.metrics["validation_average_precision"].value)
    assert best.name != "recency"
    network = reports[names.index("network")]
    assert len(network.curves["validation_loss"]) == len(network.curves["train_loss"]) >= 1
    assert network.artifact == trained / "network" / "artifact"


def test_the_blend_waits_for_its_members(rows_folder: Path, churn_settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(NotReady, match="averages boosting, network"):
        train_candidate("blend", rows_folder, churn_settings, tmp_path, "v1")


def test_an_unexpected_type_in_a_skops_file_is_refused(trained: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(trained / "boosting" / "artifact", tmp_path / "artifact")
    skops.io.dump(FunctionTransformer(timedelta), folder / "estimator_0.skops")
    with pytest.raises(EverstayError, match=r"estimator_0\.skops asks for types that are not trusted"):
        load_artifact(folder)
    with pytest.raises(EverstayError, match="is not a churn artifact"):
        load_artifact(tmp_path)


@pytest.mark.parametrize("name", ["logistic", "network"])
def test_a_history_split_by_users_is_learned_from_and_judged(
    name: str, churn_rows: ChurnRows, churn_settings: Settings, tmp_path: Path
) -> None:
    known = churn_rows.refit
    as_ofs = tuple(known[t.AS_OF].unique().sort().tail(3))
    split = TimeSplit(as_ofs, (), as_ofs, churn_rows.test[t.AS_OF][0])
    rows = ChurnRows.split(pl.concat([known, churn_rows.test]), split, known.drop(LABEL_COLUMNS))
    folder = rows.write(tmp_path / "rows")
    home = train_candidate(name, folder, churn_settings, tmp_path, "v1")
    metrics = evaluate_candidate(home, folder, churn_settings).metrics
    assert metrics["test_roc_auc"].value > 0.8
    for part in ("artifact", "early"):  # the labels that both learned from are known at the test's as-of only
        assert json.loads((home / part / "artifact.json").read_text())["as_of"] == split.test.isoformat()
