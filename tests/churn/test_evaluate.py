"""Evaluation: what perfect and constant models get, slices that lose nobody, pictures that can be drawn."""

import io
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from everstay import tables as t
from everstay.churn.evaluate import RIGHT_SCORES_ERROR, report_candidate, thirds
from everstay.churn.plots import draw_all
from everstay.churn.reasons import Attribution, placed
from everstay.churn.rows import ChurnRows, outcomes
from everstay.metrics.report import CandidateReport
from everstay.settings import Settings

USERS = t.USERS.conform(
    pl.DataFrame({t.USER_ID: [f"u{user}" for user in range(400)], t.AGE_BAND: ["young", "old"] * 200})
)


@dataclass
class Oracle:
    """Knows the outcome, or says the same of all."""

    certainty: float
    name: str = "oracle"

    def predict_probability(self, rows: pl.DataFrame) -> np.ndarray:
        return 0.5 + self.certainty * (outcomes(rows) - 0.5)

    def attribute(self, rows: pl.DataFrame) -> Attribution:
        part = self.certainty * (outcomes(rows) - 0.5)
        return Attribution(0.0, placed(part[:, None], ("recency_days",)))

    def explain(self, rows: pl.DataFrame) -> list[list[str]]:
        return [[]] * rows.height


def judge(certainty: float, rows: ChurnRows, settings: Settings, early: float | None = None) -> CandidateReport:
    model, before = Oracle(certainty), Oracle(certainty if early is None else early)
    kept = {"artifact": Path("a"), "params": {"x": 1}, "curves": {"loss": [1.0]}}
    return report_candidate(model, before, rows, settings, attributes=USERS, **kept)


def test_a_perfect_model(churn_rows: ChurnRows, churn_settings: Settings) -> None:
    metrics = judge(0.98, churn_rows, churn_settings).metrics
    for part in ("validation", "test"):
        assert metrics[f"{part}_roc_auc"].value == metrics[f"{part}_average_precision"].value == 1.0
        assert metrics[f"{part}_roc_auc"].low == 1.0
        assert metrics[f"{part}_brier"].value == pytest.approx(0.01**2)
    prevalence = churn_rows.test[t.CHURNED].mean()
    assert metrics["test_prevalence"].value == prevalence
    assert metrics["test_lift_top_decile"].value == pytest.approx(1 / prevalence)
    assert metrics["test_roc_auc_orders_low"].value == 1.0


def test_a_constant_model(churn_rows: ChurnRows, churn_settings: Settings) -> None:
    metrics = judge(0.0, churn_rows, churn_settings).metrics
    prevalence = churn_rows.test[t.CHURNED].mean()
    assert metrics["test_roc_auc"].value == 0.5
    assert metrics["test_average_precision"].value == pytest.approx(prevalence)
    assert metrics["test_lift_top_decile"].value == pytest.approx(1.0)
    assert metrics["test_log_loss"].value == pytest.approx(np.log(2))
    assert metrics["test_expected_calibration_error"].value == pytest.approx(abs(0.5 - prevalence))
    assert "test_calibration_slope" not in metrics
    right = metrics[RIGHT_SCORES_ERROR]  # one bin of probabilities of one half: the error of a mean
    assert right.value == pytest.approx(np.sqrt(0.25 / churn_rows.test.height * 2 / np.pi), rel=0.25)
    assert right.high == pytest.approx(1.96 * np.sqrt(0.25 / churn_rows.test.height), rel=0.25)


def test_the_validation_is_judged_by_the_model_that_has_not_seen_it(
    churn_rows: ChurnRows, churn_settings: Settings
) -> None:
    metrics = judge(0.98, churn_rows, churn_settings, early=0.0).metrics
    assert metrics["validation_roc_auc"].value == 0.5
    assert metrics["test_roc_auc"].value == 1.0


def test_rows_of_one_user_at_several_as_ofs_make_nothing_surer(churn_rows: ChurnRows, churn_settings: Settings) -> None:
    once = churn_rows.validation
    thrice = pl.concat(once.with_columns(pl.col(t.AS_OF) - timedelta(days=days)) for days in (14, 7, 0))
    one, three = (
        judge(0.0, replace(churn_rows, validation=rows), churn_settings).metrics["validation_prevalence"]
        for rows in (once, thrice)
    )
    assert (three.value, three.low, three.high) == pytest.approx((one.value, one.low, one.high))
    assert one.high - one.low > 0.05


def test_calibration_is_told_of_each_lifecycle_state(churn_rows: ChurnRows, churn_settings: Settings) -> None:
    test = churn_rows.test
    few = test["lifecycle_state"].is_between(1, 2) | (pl.int_range(test.height, eager=True) < 50)
    rows = replace(churn_rows, test=test.filter(few))
    metrics = judge(0.0, rows, churn_settings).metrics
    for number, name in ((1, "new"), (2, "active")):
        share = rows.test.filter(pl.col("lifecycle_state") == number)[t.CHURNED].mean()
        assert metrics[f"test_expected_calibration_error_state_{name}"].value == pytest.approx(abs(0.5 - share))
    assert not [name for name in metrics if "slipping" in name]


def test_the_report_tells_of_money_of_what_the_model_goes_by_and_of_fairness(
    churn_rows: ChurnRows, churn_settings: Settings
) -> None:
    report = judge(0.98, churn_rows, churn_settings)
    assert {"profit.png", "importance.png", "partial_dependence.png"} < set(report.figures)
    assert set(report.pages) == {"rules.txt", "fairness.html"}
    assert report.pages["rules.txt"].startswith("No rules: ")  # no feature knows the outcome
    assert "<h2>age_band</h2>" in report.pages["fairness.html"]
    assert report.params["x"] == 1
    assert {"validation_empc", "test_empc", "test_campaign_profit", "test_campaign_share"} < set(report.metrics)


def test_slices_lose_nobody(churn_rows: ChurnRows) -> None:
    slices = dict(thirds(churn_rows.test))
    for name in ("orders", "tenure"):
        covered = sum(users.astype(int) for slice_name, users in slices.items() if slice_name.startswith(name))
        assert (covered == 1).all()


@pytest.mark.parametrize("probability", [np.full(6, 0.5), np.linspace(0, 1, 6)])
def test_pictures_can_be_drawn(probability: np.ndarray) -> None:
    figures = draw_all(np.array([0.0, 0, 1, 0, 1, 1]), probability)
    assert sorted(figures) == ["calibration.png", "lift.png", "precision_recall.png", "roc.png"]
    for figure in figures.values():
        file = io.BytesIO()
        figure.savefig(file)
        assert file.getvalue()[:4] == b"\x89PNG"
        assert figure.axes[0].get_xlabel()
