"""The search looks at the validation and at nothing else."""

from pathlib import Path

import polars as pl
import pytest

from everstay.errors import SettingsError
from everstay.recommender.rows import BasketRows
from everstay.recommender.tune import tunable, tune_candidate
from everstay.settings import Recommender, Settings, Training

SETTINGS = Settings(
    recommender=Recommender(min_item_users=2), training=Training(accelerator="cpu", max_epochs=2, seed=3)
)


@pytest.fixture
def folder(rows: pl.DataFrame, tmp_path: Path) -> Path:
    return BasketRows(rows, rows).write(tmp_path / "rows")


def test_every_kind_of_model_can_be_searched():
    assert {"personal_frequency", "item_neighbours", "ease", "ials", "network", "hybrid", "sequential"} <= set(
        tunable()
    )


@pytest.mark.parametrize("name", ["item_neighbours", "ease", "sequential"])
def test_the_test_part_changes_nothing(name: str, folder: Path, rows: pl.DataFrame, tmp_path: Path):
    first = tune_candidate(name, folder, SETTINGS, 3)
    other = BasketRows(rows, rows.head(7)).write(tmp_path / "other")
    second = tune_candidate(name, other, SETTINGS, 3)
    assert [(one.values, one.figure) for one in first.trials] == [(one.values, one.figure) for one in second.trials]
    assert first.config == second.config
    assert 0 < (first.best.figure or 0) <= 1
    if name == "sequential":
        assert [len(trial.curve) for trial in first.trials] == [2, 2, 2]


def test_the_first_trial_is_what_a_dense_set_is_trained_with(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("everstay.recommender.network_config._DENSE", 0.0)
    values = tune_candidate("sequential", folder, SETTINGS, 1).trials[0].values
    assert (values["dropout"], values["input_dropout"]) == (0.2, 0.2)


def test_no_trials_find_nothing(folder: Path):
    with pytest.raises(SettingsError, match="TRIALS=0 must be 1 or more"):
        tune_candidate("ease", folder, SETTINGS, 0)


def test_what_has_no_space_says_what_has(folder: Path):
    with pytest.raises(SettingsError, match=r"'blend': choose one of .*sequential"):
        tune_candidate("blend", folder, SETTINGS, 3)
