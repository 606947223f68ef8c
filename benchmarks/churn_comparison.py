"""Probabilities of several models on the same test users -> figures with intervals, beside the peers'."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks.result import Row, estimated, show
from everstay import tables as t
from everstay.churn.evaluate import lifecycle_states
from everstay.metrics import classification as c
from everstay.metrics.comparison import Interval, drawn_interval, paired_statistic_difference, statistic_interval

log = logging.getLogger(__name__)

FloatArray = NDArray[np.float64]

LIGHTGBM, LOGISTIC = "LightGBM (peer)", "logistic (peer)"
PEERS = {LIGHTGBM: "lightgbm", LOGISTIC: "logistic"}
"""Peer to its column in what the peers' scripts write."""

TRUTH, READER = "true hazard", "best reader"
"""References like the peers, for a simulated shop. The truth knows each user's rate and hazard, which no log reveals;
the reader knows all but these and infers them from the visits, which no model does better on average."""

BOOSTING = "boosting"
"""Our own candidate that the others have to beat, if it is among them."""

CHOSEN = "chosen"
"""The model whose probabilities are, in each fold of a table, those of the candidate chosen for the fold."""

_REFERENCES = (*PEERS, TRUTH, READER)
_RANKING = {"ROC-AUC": c.roc_auc, "AP": c.average_precision}
_SURENESS = {"ECE": c.expected_calibration_error, "slope": c.calibration_slope}
_RESAMPLES, _CONFIDENCE, _SEED = 2_000, 0.95, 17
_RESAMPLED_ROWS = 50_000_000  # in all resamples of one statistic: intervals of many rows need fewer of them
_DRAWS = 500


@dataclass(frozen=True)
class Scored:
    """Models judged at one as-of.

    Attributes:
        title: of the data and as-of.
        churned: (N,) of 0 and 1.
        probabilities: model to (N,).
        chosen: the candidate with the best average precision on validation; for tables `CHOSEN`.
        states: which rows (N,) are in a lifecycle state.
        users: (N,) whose row it is; None where every row is a user.
        chosen_in_folds: the candidates behind `CHOSEN`.
    """

    title: str
    churned: FloatArray
    probabilities: Mapping[str, FloatArray]
    chosen: str
    states: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    users: NDArray[np.int64] | None = None
    chosen_in_folds: Sequence[str] = ()

    @classmethod
    def of_rows(cls, data: str, test: pl.DataFrame, probabilities: Mapping[str, FloatArray], chosen: str) -> Self:
        """From the rows of one as-of."""
        churned = test[t.CHURNED].to_numpy().astype(np.float64)
        title = f"{data}, as of {test[t.AS_OF][0]:%Y-%m-%d}"
        return cls(title, churned, probabilities, chosen, dict(lifecycle_states(test)))


def show_scored(scored: Sequence[Scored], json_file: Path | None) -> None:
    """Print a table per as-of, and one of the differences between the chosen candidate and the peers."""
    rows = []
    for each in scored:
        figures = [row for name in each.probabilities for row in _figures(each, name)]
        users = "" if each.users is None else f"rows of {len(np.unique(each.users)):,} "
        choice = ", ".join(each.chosen_in_folds) or each.chosen
        told = f"{each.title}: {len(each.churned):,} {users}users, {each.churned.mean():.1%} left; chosen: {choice}"
        show(told, figures, None)
        states = _state_figures(each)
        if states:
            show(f"{each.title}: calibration by lifecycle state; perfect: the error of right scores", states, None)
        rows += [replace(row, case=f"{each.title}, {row.case}") for row in (*figures, *states)]
    ranking = [row for row in rows if row.case.endswith(f", {CHOSEN}")]
    show("The candidate chosen on validation", ranking or rows, None)
    if json_file is not None:
        show("All figures", rows, json_file)


def _figures(scored: Scored, name: str) -> list[Row]:
    """Figures of one model, and its differences from the peers."""
    ours, peers = scored.probabilities[name], scored.probabilities
    log.info("%s: intervals of its figures", name)
    case = f"{name}, {CHOSEN}" if name == scored.chosen != CHOSEN else name
    resamples = min(_RESAMPLES, max(_DRAWS, _RESAMPLED_ROWS // len(ours)))
    users = scored.users
    interval = partial(statistic_interval, resamples=resamples, confidence=_CONFIDENCE, seed=_SEED, users=users)
    difference = partial(
        paired_statistic_difference, resamples=resamples, confidence=_CONFIDENCE, seed=_SEED, users=users
    )
    rows = [estimated(case, word, interval(of, scored.churned, ours)) for word, of in (_RANKING | _SURENESS).items()]
    rows.append(estimated(case, "ECE, perfect", _perfect_error(ours)))
    for peer in (*_REFERENCES, BOOSTING):
        if name not in (*_REFERENCES, peer) and peer in peers:
            for word, statistic in _RANKING.items():
                against = difference(statistic, scored.churned, ours, peers[peer])
                rows.append(estimated(case, f"{word}, minus {peer.split()[0]}'s", against))
    return rows


def _state_figures(scored: Scored) -> list[Row]:
    """Calibration of the chosen candidate within each lifecycle state, beside the error of perfect scores."""
    rows = []
    for state, inside in scored.states.items():
        churned, probability = scored.churned[inside], scored.probabilities[scored.chosen][inside]
        users = None if scored.users is None else scored.users[inside]
        case = f"{scored.chosen}, {inside.sum():,} {state}"
        interval = partial(statistic_interval, resamples=_RESAMPLES, confidence=_CONFIDENCE, seed=_SEED, users=users)
        rows += [estimated(case, word, interval(of, churned, probability)) for word, of in _SURENESS.items()]
        rows.append(estimated(case, "ECE, perfect", _perfect_error(probability)))
    return rows


def _perfect_error(probability: FloatArray) -> Interval:
    """Mean error of perfectly calibrated scores, and its range in 95 of 100 draws of the outcomes."""
    return drawn_interval(c.perfect_calibration_errors(probability, _DRAWS, _SEED), _CONFIDENCE)
