"""The search looks at train and validation, and tells the figure that the candidate's own run tells."""

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from everstay import tables as t
from everstay.churn.config import CONFIGS, LogisticConfig
from everstay.churn.fit import fit_candidate
from everstay.churn.rows import ChurnRows, outcomes
from everstay.churn.tune import tunable, tune_candidate
from everstay.errors import NotReady, SettingsError
from everstay.metrics.classification import average_precision
from everstay.settings import Settings


def test_every_family_with_settings_can_be_searched():
    assert {"logistic", "lasso", "tree", "svm", "boosting", "lightgbm", "network", "hazard", "transformer"} == set(
        tunable()
    )
    for config in CONFIGS.values():
        assert set(config.SEARCH) <= set(config.model_fields)


@pytest.mark.parametrize(("name", "trials"), [("logistic", 4), ("network", 1)])
def test_only_train_and_validation_are_read(
    name: str, trials: int, rows_folder: Path, churn_rows: ChurnRows, churn_settings: Settings, tmp_path: Path
):
    early = tmp_path / "early"
    early.mkdir()
    for part in ("train", "validation", "unlabelled"):  # there is no file of the others
        getattr(churn_rows, part).write_parquet(early / f"{part}.parquet")
    first, again = (tune_candidate(name, folder, churn_settings, trials) for folder in (rows_folder, early))
    assert [(one.values, one.figure) for one in first.trials] == [(one.values, one.figure) for one in again.trials]
    assert first.config == again.config
    assert 0 < (first.best.figure or 0) <= 1
    if name == "network":  # two members of up to four epochs are watched
        assert all(len(trial.curve) > 2 for trial in first.trials)


@pytest.mark.parametrize(
    ("name", "field", "chosen"), [("logistic", "penalties", "penalty"), ("boosting", "rounds", "rounds")]
)
def test_the_default_is_the_candidate_as_it_is_trained_and_judged(
    name: str,
    field: str,
    chosen: str,
    rows_folder: Path,
    churn_rows: ChurnRows,
    churn_settings: Settings,
    tmp_path: Path,
):
    search = tune_candidate(name, rows_folder, churn_settings, 1)
    fitted = fit_candidate(name, churn_rows, churn_settings.training, tmp_path)
    probability = fitted.early.predict_probability(churn_rows.validation)
    judged = average_precision(outcomes(churn_rows.validation), probability)
    assert search.default.figure == pytest.approx(judged, rel=1e-12)
    assert search.default.values[field] == fitted.params[chosen]


def test_one_number_is_a_choice_of_one():
    assert LogisticConfig(penalties=7.0).penalties == (7.0,)
    assert LogisticConfig(penalties=[1.0, 2.0]).penalties == (1.0, 2.0)


def test_what_cannot_be_searched_is_told(
    rows_folder: Path, churn_rows: ChurnRows, churn_settings: Settings, tmp_path: Path
):
    with pytest.raises(SettingsError, match=r"'blend': choose one of logistic, .*lightgbm"):
        tune_candidate("blend", rows_folder, churn_settings, 3)
    with pytest.raises(SettingsError, match="TRIALS=0 must be 1 or more"):
        tune_candidate("logistic", rows_folder, churn_settings, 0)
    alike = churn_rows.validation.with_columns(pl.lit(value=True).alias(t.CHURNED))
    replace(churn_rows, validation=alike).write(tmp_path)
    with pytest.raises(NotReady, match="400 validation users, 400 of them left"):
        tune_candidate("logistic", tmp_path, churn_settings, 3)
