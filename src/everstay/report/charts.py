"""Charts as SVG text, byte-identical from one run to the next."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import ArrayLike

BLUE, GREY, AMBER = "#175c8e", "#8a96a3", "#b7791f"
_SIZE = (6.4, 3.4)  # inches
_STYLE: Any = {
    "svg.hashsalt": "everstay", "svg.fonttype": "path", "font.size": 9.5, "axes.spines.top": False,
    "axes.spines.right": False, "axes.edgecolor": "#9aa5b1", "axes.grid": True, "grid.color": "#e6eaee",
    "axes.axisbelow": True, "legend.frameon": False, "text.parse_math": False,  # a shop's words may hold two dollars
}  # fmt: skip


@dataclass(frozen=True)
class Line:
    """One line of a chart.

    Attributes:
        name: in the legend.
        x: positions.
        y: values; NaN leaves a gap.
        low: of a band around it; None: there is none.
        high: of the band.
        color: of line and band.
        dashed: for what is not a measurement.
    """

    name: str
    x: Sequence[object]
    y: ArrayLike
    low: ArrayLike | None = None
    high: ArrayLike | None = None
    color: str | None = None
    dashed: bool = False


def draw_lines(lines: Sequence[Line], x: str, y: str, *, as_share: bool = True) -> str:
    """Draw lines over a shared axis."""
    with matplotlib.rc_context(_STYLE):
        figure, axes = _axes(x, y)
        for line in lines:
            style = {"linestyle": "--" if line.dashed else "-", "color": line.color}
            drawn = axes.plot(line.x, line.y, label=line.name, linewidth=1.7, **style)  # type: ignore[arg-type]
            if line.low is not None and line.high is not None:
                color = drawn[0].get_color()
                axes.fill_between(line.x, line.low, line.high, alpha=0.18, color=color, linewidth=0)  # type: ignore[arg-type]
        if as_share:
            axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        axes.legend()
        if _are_dates(lines):
            axes.xaxis.set_major_formatter(ConciseDateFormatter(axes.xaxis.get_major_locator()))
        return _svg(figure)


def draw_bars(
    x: Sequence[float], height: Sequence[float], marks: Sequence[tuple[float, str]], labels: tuple[str, str]
) -> str:
    """Draw a bar from each number to the next, with vertical lines at `marks`."""
    with matplotlib.rc_context(_STYLE):
        figure, axes = _axes(*labels)
        axes.bar(x, height, width=np.diff([*x, 2 * x[-1] - x[-2]]), align="edge", color=BLUE, alpha=0.75)
        for place, name in marks:
            axes.axvline(place, color=AMBER, linestyle="--", linewidth=1.2)
            axes.annotate(name, (place, 1), xycoords=("data", "axes fraction"), rotation=90, va="top", ha="left")
        return _svg(figure)


def draw_calibration(
    predicted: Sequence[float], observed: Sequence[float], low: Sequence[float], high: Sequence[float]
) -> str:
    """Draw observed against predicted share per group, with intervals."""
    with matplotlib.rc_context(_STYLE):
        figure, axes = _axes("predicted", "observed")
        top = 1.05 * max(*high, *predicted, 0.01)
        spread = np.abs(np.array([low, high]) - np.array(observed))
        axes.plot([0, top], [0, top], color=GREY, linestyle="--", linewidth=1)
        axes.errorbar(predicted, observed, yerr=spread, fmt="o", color=BLUE, capsize=2)
        axes.xaxis.set_major_formatter(PercentFormatter(1.0))
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        return _svg(figure)


def draw_shares(
    names: Sequence[str], share: Sequence[float], low: Sequence[float], high: Sequence[float], usual: float
) -> str:
    """Draw each group's share with its interval, first group on top, and a vertical line at the overall share."""
    with matplotlib.rc_context(_STYLE):
        figure, axes = _axes("", "")
        figure.set_size_inches(_SIZE[0], 0.6 + 0.2 * max(len(names), 4))
        place, spread = np.arange(len(names)), np.abs(np.array([low, high]) - np.array(share))
        axes.axvline(usual, color=GREY, linestyle="--", linewidth=1)
        axes.errorbar(share, place, xerr=spread, fmt="o", color=BLUE, capsize=2)
        axes.set_yticks(place, names)
        axes.invert_yaxis()
        axes.xaxis.set_major_formatter(PercentFormatter(1.0))
        return _svg(figure)


def _are_dates(lines: Sequence[Line]) -> bool:
    return bool(lines) and len(lines[0].x) > 0 and hasattr(lines[0].x[0], "year")


def _axes(x: str, y: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=_SIZE, layout="constrained")
    axes = figure.add_subplot()
    axes.set(xlabel=x, ylabel=y)
    return figure, axes


def _svg(figure: Figure) -> str:
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return text.getvalue()
