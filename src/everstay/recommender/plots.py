"""Plots of the quality of lists, as standalone figures without pyplot's global state."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from everstay.metrics.comparison import Interval

_SIZE = (5.0, 4.0)  # inches


def draw_recall(recall: Mapping[str, Interval], k: int) -> Figure:
    """Mean recall with its interval, by the number of orders before the as-of (the keys)."""
    values = np.array([interval.value for interval in recall.values()])
    below = values - [interval.low for interval in recall.values()]
    above = [interval.high for interval in recall.values()] - values
    figure = Figure(figsize=_SIZE, layout="constrained")
    axes = figure.add_subplot()
    axes.set(title="Recall by length of history", xlabel="orders before the as-of", ylabel=f"recall at {k}")
    axes.bar(list(recall), values, yerr=np.maximum(0.0, [below, above]), capsize=4)
    axes.set_ylim(bottom=0)
    return figure
