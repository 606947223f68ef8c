"""What a model relies on over all users: importance of the groups, and the risk by its strongest features."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import polars as pl
from matplotlib.figure import Figure
from numpy.typing import NDArray

from everstay.churn.encoding import FEATURE_COLUMNS
from everstay.churn.reasons.attribution import SOURCES, Attribution
from everstay.churn.reasons.groups import GROUP_NAMES, group_parts

FloatArray = NDArray[np.float64]

_SHOWN_FEATURES, _POINTS, _ROWS = 4, 8, 150


class Attributed(Protocol):
    """What is needed of a model."""

    def predict_probability(self, rows: pl.DataFrame) -> FloatArray:
        """Rows (n) -> probability of churning (n,)."""

    def attribute(self, rows: pl.DataFrame) -> Attribution:
        """What each feature adds to the probability's log-odds."""


def importance(attribution: Attribution) -> pl.DataFrame:
    """Mean absolute part of each group in the log-odds, the largest first: `group`, `mean_part`."""
    table = pl.DataFrame({"group": GROUP_NAMES, "mean_part": np.abs(group_parts(attribution)).mean(axis=0)})
    return table.filter(pl.col("mean_part") > 0).sort("mean_part", descending=True, maintain_order=True)


def strongest_features(attribution: Attribution, count: int = _SHOWN_FEATURES) -> list[str]:
    """The features with the largest mean absolute part, among those stored as columns of the rows."""
    size = dict(zip(SOURCES, np.abs(attribution.parts).mean(axis=0), strict=True))
    ranked = sorted(FEATURE_COLUMNS, key=lambda name: -size[name])
    return [name for name in ranked[:count] if size[name] > 0]


def partial_dependence(
    model: Attributed, rows: pl.DataFrame, features: Sequence[str]
) -> dict[str, tuple[FloatArray, FloatArray]]:
    """Mean probability of all rows with a feature set to each of some values: feature to (values, means).

    Values are quantiles over the rows. It is an association in the model: where features are correlated, a row with
    one of them changed may be unrealistic.
    """
    some = rows.gather_every(max(1, rows.height // _ROWS))
    grids = {name: _quantiles(rows[name]) for name in features}
    changed = [some.with_columns(pl.lit(float(value)).alias(name)) for name, grid in grids.items() for value in grid]
    if not changed:
        return {}
    means = model.predict_probability(pl.concat(changed)).reshape(len(changed), some.height).mean(axis=1)
    ends = np.cumsum([len(grid) for grid in grids.values()])
    parts = np.split(means, ends[:-1])
    return {name: (grid, part) for (name, grid), part in zip(grids.items(), parts, strict=True)}


def _quantiles(values: pl.Series) -> FloatArray:
    known = values.drop_nulls().to_numpy()
    return np.unique(np.quantile(known, np.linspace(0.02, 0.98, _POINTS))) if len(known) else np.zeros(0)


def draw_importance(table: pl.DataFrame) -> Figure:
    """Bars of `importance`."""
    figure = Figure(figsize=(5.0, 4.0), layout="constrained")
    axes = figure.add_subplot()
    rising = table.reverse()
    axes.barh(rising["group"].to_list(), rising["mean_part"].to_numpy())
    axes.set(title="Feature importance", xlabel="mean absolute contribution to the log-odds")
    return figure


def draw_dependence(curves: dict[str, tuple[FloatArray, FloatArray]]) -> Figure:
    """A panel for each feature of `partial_dependence`."""
    figure = Figure(figsize=(7.0, 5.0), layout="constrained")
    panels = figure.subplots(2, 2, sharey=True, squeeze=False).ravel()
    for panel in panels[len(curves) :]:
        panel.set_axis_off()
    for panel, (name, (values, means)) in zip(panels, curves.items(), strict=False):
        panel.plot(values, means, marker=".")
        panel.set(xlabel=name)
    figure.supylabel("mean probability of leaving")
    return figure
