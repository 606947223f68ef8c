"""What a model goes by: a planted model's importance, dependence and rules are found, and a bad copy is refused."""

from dataclasses import dataclass

import numpy as np
import polars as pl
import pytest
from scipy.special import expit
from sklearn.tree import DecisionTreeRegressor

from everstay.churn.encoding import MODEL_COLUMNS
from everstay.churn.reasons import SOURCES, Attribution, placed
from everstay.churn.reasons.overall import (
    draw_dependence,
    draw_importance,
    importance,
    partial_dependence,
    strongest_features,
)
from everstay.churn.reasons.rules import LEAST_FIDELITY, Rules, distil
from everstay.churn.rows import ChurnRows


@dataclass(frozen=True)
class Planted:
    """Two features, three to one."""

    def parts(self, rows: pl.DataFrame) -> np.ndarray:
        return np.stack([3 * (rows["recency_days"] > 10).to_numpy(), 1.0 * (rows["orders_28d"] > 0).to_numpy()], axis=1)

    def predict_probability(self, rows: pl.DataFrame) -> np.ndarray:
        return expit(self.parts(rows).sum(axis=1) - 2)

    def attribute(self, rows: pl.DataFrame) -> Attribution:
        return Attribution(-2.0, placed(self.parts(rows).astype(float), ("recency_days", "orders_28d")))


def parts_of(rows: ChurnRows) -> tuple[pl.DataFrame, ...]:
    return rows.train, rows.validation, rows.test


def test_importance_is_the_mean_size_of_a_group(churn_rows: ChurnRows) -> None:
    rows = churn_rows.test
    table = importance(Planted().attribute(rows))
    assert table["group"].to_list() == ["silence", "orders"]
    assert table["mean_part"][0] == pytest.approx(3 * (rows["recency_days"] > 10).mean())
    assert strongest_features(Planted().attribute(rows)) == ["recency_days", "orders_28d"]
    assert draw_importance(table).axes[0].patches[-1].get_width() == pytest.approx(table["mean_part"][0])


def test_dependence_is_the_mean_probability_at_each_value(churn_rows: ChurnRows) -> None:
    curves = partial_dependence(Planted(), churn_rows.test, ["recency_days", "orders_28d"])
    values, means = curves["recency_days"]
    few = churn_rows.test.gather_every(churn_rows.test.height // 150)
    for value, mean in zip(values, means, strict=True):
        changed = few.with_columns(pl.lit(float(value)).alias("recency_days"))
        assert mean == pytest.approx(Planted().predict_probability(changed).mean())
    assert (np.diff(values) > 0).all()
    assert len(draw_dependence(curves).axes) == 4
    assert partial_dependence(Planted(), churn_rows.test, []) == {}


def test_a_small_tree_repeats_a_model_of_steps(churn_rows: ChurnRows) -> None:
    rules = distil(*((rows, Planted().parts(rows).sum(axis=1) - 2) for rows in parts_of(churn_rows)))
    assert rules.fidelity > 0.95
    lines = rules.text().splitlines()
    assert lines[0].startswith(f"These rules explain {rules.fidelity:.1%}")
    assert lines[3].startswith(" 88.1% leave")  # 1 / (1 + exp(-2))
    assert "recency_days > 9.99" in lines[3]
    assert "orders_28d > " in lines[3]


def test_a_tree_that_tells_of_another_model_is_refused(churn_rows: ChurnRows) -> None:
    noise = np.random.default_rng(0)
    rules = distil(*((rows, noise.normal(size=rows.height)) for rows in parts_of(churn_rows)))
    assert rules.tree is None
    assert rules.fidelity < LEAST_FIDELITY
    assert rules.text().startswith("No rules: the best small tree explains ")


def test_rules_are_judged_on_rows_they_were_not_grown_from(churn_rows: ChurnRows) -> None:
    *seen, held = ((rows, Planted().parts(rows).sum(axis=1) - 2) for rows in parts_of(churn_rows))
    rules = distil(*seen, (held[0], held[1][::-1]))
    assert rules.tree is None
    assert rules.fidelity < 0


def test_what_is_undefined_is_told_on_its_side(churn_rows: ChurnRows) -> None:
    samples = ((rows, rows["gap_std_days"].is_null().cast(pl.Float64).to_numpy()) for rows in parts_of(churn_rows))
    rules = distil(*samples)
    assert rules.fidelity > 0.95
    told = rules.text().splitlines()[3:5]
    assert [line.split(": ")[1] for line in told] == ["gap_std_days is undefined", "gap_std_days is defined"]


def test_every_user_fits_the_rule_of_their_leaf_alone() -> None:
    """Whole numbers, so that borders are told exactly; gaps are undefined for a fifth, recency for a tenth."""
    random, names = np.random.default_rng(0), ("recency_days", "orders_28d", "gap_max_days")
    known = random.integers(0, 9, (600, 3)).astype(float)
    known[random.random(600) < 0.1, 0] = np.nan
    known[random.random(600) < 0.2, 2] = np.nan
    matrix = np.zeros((600, len(MODEL_COLUMNS)))
    matrix[:, [MODEL_COLUMNS.index(name) for name in names]] = known
    recency, orders, gap = known.T
    odds = np.isnan(gap) * orders + 0.3 * np.nan_to_num(gap) + np.nan_to_num(recency, nan=8.0)
    tree = DecisionTreeRegressor(max_leaf_nodes=16, random_state=0).fit(matrix, odds)
    lines = Rules(tree, 1.0, frozenset({"recency_days", "gap_max_days"})).text().splitlines()[3:-2]
    assert len(lines) == 16
    assert all(any(words in line for line in lines) for words in ("is undefined", "or undefined"))
    rows, fits = pl.DataFrame(known, names).fill_nan(None), np.zeros(600)
    for line in lines:
        head, conditions = line.split(": ")
        inside = rows.select(pl.all_horizontal(*map(_fits, conditions.split(" and ")))).to_series().to_numpy()
        assert f"({inside.mean():.1%} of users)" in head
        fits += inside
    assert (fits == 1).all()


def _fits(told: str) -> pl.Expr:
    """A condition's words as an expression."""
    words = told.removeprefix("(").removesuffix(" or undefined)").split(" ")
    if words[1] == "is":
        return pl.col(words[0]).is_null() == (words[2] == "undefined")
    name = words[-3] if words[-2] == "<=" else words[0]
    low = float(words[0]) if len(words) == 5 else float(words[2]) if words[1] == ">" else -np.inf
    high = float(words[-1]) if words[-2] == "<=" else np.inf
    return ((pl.col(name) > low) & (pl.col(name) <= high)).fill_null(told.endswith(" or undefined)"))


def test_parts_of_nothing_are_of_no_importance() -> None:
    empty = Attribution(0.0, np.zeros((3, len(SOURCES))))
    assert importance(empty).is_empty()
    assert strongest_features(empty) == []
