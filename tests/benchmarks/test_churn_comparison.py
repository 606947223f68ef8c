"""Figures of models side by side: whose rows are drawn together."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import churn_comparison
from benchmarks.churn_comparison import BOOSTING, CHOSEN, LIGHTGBM, Scored, show_scored

FIGURES = ["ROC-AUC", "AP", "ECE", "slope", "ROC-AUC, minus LightGBM's", "AP, minus LightGBM's"]


@pytest.fixture
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(churn_comparison, "_RESAMPLES", 200)


def scored(times: int, users: np.ndarray | None) -> Scored:
    """100 users, each with so many equal rows."""
    generator = np.random.default_rng(2)
    ours, theirs = generator.uniform(0.05, 0.95, (2, 100))
    churned = (generator.random(100) < ours).astype(np.float64)
    probabilities = {LIGHTGBM: np.tile(theirs, times), BOOSTING: np.tile(ours, times)}
    states = {"all": np.ones(100 * times, bool)}
    return Scored("twin", np.tile(churned, times), probabilities, BOOSTING, states, users)


def widths(judged: Scored, file: Path) -> dict[tuple[bool, str], float]:
    """Of the chosen candidate's intervals, in a lifecycle state or not."""
    show_scored([judged], file)
    rows = [row for row in json.loads(file.read_text()) if BOOSTING in row["case"]]
    return {
        (row["case"].endswith(" all"), row["metric"]): row["high"] - row["low"]
        for row in rows
        if row["metric"] in FIGURES
    }


@pytest.mark.usefixtures("few_resamples")
def test_intervals_are_over_users_where_the_users_of_the_rows_are_known(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    once = widths(scored(1, None), tmp_path / "once.json")
    grouped = widths(scored(4, np.tile(np.arange(100), 4)), tmp_path / "grouped.json")
    apart = widths(scored(4, None), tmp_path / "apart.json")
    assert len(once) == len(FIGURES) + 2
    assert grouped == pytest.approx(once)
    assert all(apart[figure] < 0.95 * once[figure] for figure in once)
    assert "twin: 400 rows of 100 users" in capsys.readouterr().out


@pytest.mark.usefixtures("few_resamples")
def test_what_was_chosen_in_each_fold_has_a_row_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    judged = scored(1, None)
    probabilities = dict(judged.probabilities) | {CHOSEN: 0.9 * judged.probabilities[BOOSTING]}
    table = replace(judged, probabilities=probabilities, chosen=CHOSEN, chosen_in_folds=("tree", "boosting"), states={})
    show_scored([table], tmp_path / "rows.json")
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert {row["case"] for row in rows} == {f"twin, {name}" for name in probabilities}
    told = capsys.readouterr().out
    assert "chosen: tree, boosting" in told
    best = told[told.index("The candidate chosen on validation") : told.index("All figures")]
    assert "twin, chosen" in best
    assert "boosting" not in best.replace("boosting's", "")
