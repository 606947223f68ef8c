"""A champion in a few rules: a small surrogate tree of its scores with its fidelity, or a refusal to show one."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.tree import DecisionTreeRegressor

from everstay.churn.encoding import MODEL_COLUMNS, feature_matrix

FloatArray = NDArray[np.float64]

LEAST_FIDELITY = 0.85
"""Share of the variance of the model's log-odds (R²) that a tree must reproduce to be shown."""
_LEGEND = (
    "docs/features.md describes the features; order_days_fading_Nd and spend_fading_Nd are order days and spend, "
    "each weighted by exp(-days ago / N), order_days_week_N the order days N whole weeks ago."
)
_LEAVES = (6, 8, 12, 16, 24, 32)
_LEAST_SHARE = 0.005  # of the rows, in a leaf


Sample = tuple[pl.DataFrame, FloatArray]
"""Rows (n) and a model's log-odds for them (n,)."""


@dataclass(frozen=True)
class _Bound:
    """Bounds of a feature on the path to a leaf.

    Known and undefined values are told apart by an infinite border: nothing is above it but what is undefined.
    """

    low: float = -np.inf
    high: float = np.inf
    may_be_undefined: bool = False

    def below(self, border: float, *, takes_undefined: bool) -> "_Bound":
        """The part at or below a border."""
        return _Bound(self.low, min(border, self.high), self.may_be_undefined and takes_undefined)

    def above(self, border: float, *, takes_undefined: bool) -> "_Bound":
        """The part above a border."""
        return _Bound(border, self.high, self.may_be_undefined and takes_undefined)

    def told(self, name: str) -> str:
        """As an inequality, such as `3 < orders_28d <= 7`."""
        if self.low == np.inf:
            return f"{name} is undefined"
        if self.low == -np.inf and self.high == np.inf:
            return f"{name} is defined"
        if not np.isfinite(self.low):
            told = f"{name} <= {self.high:.3g}"
        else:
            told = (
                f"{name} > {self.low:.3g}"
                if not np.isfinite(self.high)
                else f"{self.low:.3g} < {name} <= {self.high:.3g}"
            )
        return f"({told} or undefined)" if self.may_be_undefined else told


@dataclass(frozen=True)
class Rules:
    """A small surrogate tree of a model.

    Attributes:
        tree: on `MODEL_COLUMNS`; None when none was good enough.
        fidelity: R² of its log-odds against the model's, on rows it was neither grown nor chosen on.
        undefined: features that were undefined for some of the rows it was grown from.
    """

    tree: DecisionTreeRegressor | None
    fidelity: float
    undefined: frozenset[str] = frozenset()

    def text(self) -> str:
        """The rules, the riskiest first, or why there are none."""
        if self.tree is None:
            refused = (
                f"No rules: the best small tree explains {self.fidelity:.0%} of the variance of the model's log-odds"
            )
            return f"{refused}; below {LEAST_FIDELITY:.0%} it would describe another model."
        heading = f"These rules explain {self.fidelity:.1%} of the variance of the model's log-odds on later rows."
        told = [
            heading,
            "They approximate the model; they do not score users.",
            "",
            *_leaves(self.tree, self.undefined),
        ]
        return "\n".join([*told, "", _LEGEND])


def distil(grown: Sample, chosen: Sample, held: Sample) -> Rules:
    """Fit trees to a model's log-odds, keep the smallest that is good enough on `chosen`, evaluate it on `held`.

    Args:
        grown: rows to grow trees from.
        chosen: other rows; if no tree is good enough on them, the largest is kept.
        held: other rows; below `LEAST_FIDELITY` on these, no rules are shown.
    """
    matrix, others = feature_matrix(grown[0]), feature_matrix(chosen[0])
    for leaves in _LEAVES:
        tree = DecisionTreeRegressor(max_leaf_nodes=leaves, min_samples_leaf=_LEAST_SHARE, random_state=0)
        tree.fit(matrix, grown[1])
        if tree.score(others, chosen[1]) >= LEAST_FIDELITY:
            break
    fidelity = float(tree.score(feature_matrix(held[0]), held[1]))
    undefined = frozenset(MODEL_COLUMNS[place] for place in np.flatnonzero(np.isnan(matrix).any(axis=0)))
    return Rules(tree if fidelity >= LEAST_FIDELITY else None, fidelity, undefined)


def _leaves(tree: DecisionTreeRegressor, undefined: frozenset[str]) -> list[str]:
    """One line per leaf, the riskiest first: probability, share of users, conditions."""
    inner = tree.tree_
    lines: list[tuple[float, str]] = []

    def walk(node: int, bounds: dict[str, _Bound]) -> None:
        left, right = int(inner.children_left[node]), int(inner.children_right[node])
        odds = float(inner.value[node].ravel()[0])
        if left == right:
            share = inner.n_node_samples[node] / inner.n_node_samples[0]
            told = " and ".join(bound.told(name) for name, bound in bounds.items()) or "all users"
            lines.append((odds, f"{expit(odds):6.1%} leave ({share:.1%} of users): {told}"))
            return
        name, border = MODEL_COLUMNS[inner.feature[node]], float(inner.threshold[node])
        known = bounds.get(name, _Bound(may_be_undefined=name in undefined))
        is_left, is_right = bool(inner.missing_go_to_left[node]), not inner.missing_go_to_left[node]
        walk(left, {**bounds, name: known.below(border, takes_undefined=is_left)})
        walk(right, {**bounds, name: known.above(border, takes_undefined=is_right)})

    walk(0, {})
    return [line for _, line in sorted(lines, reverse=True)]
