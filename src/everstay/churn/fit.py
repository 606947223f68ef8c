"""Fit one candidate: choose and calibrate on validation, then learn again from everything known at the test as-of.

1. Fit on `train`; choose penalty, rounds or epochs by the log-loss on `validation` (several as-ofs), which is later, or
   of other users where the history is short.
2. Fit the calibrator to these scores of `validation`.
3. Fit again, with the chosen setting, on `train`, `between` and `validation`: all labels known at the test as-of.

The calibrator of step 2 serves the model of step 3: there is no later row left that it could be fitted to, and the
two models differ by a few weeks or a third of the users. Nothing here reads a test row.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel

from everstay import tables as t
from everstay.churn import config as c
from everstay.churn.baselines import BoostingScorer, LogisticScorer, RecencyScorer
from everstay.churn.blend import BlendScorer, choose_blend
from everstay.churn.calibration import Calibration, calibrator_kind, choose_calibrator
from everstay.churn.choice import Choice, calibrated_losses, choose_setting, losses
from everstay.churn.fitted import Fitted
from everstay.churn.model import CalibratedModel, Scorer
from everstay.churn.network_fit import choose_network
from everstay.churn.purchase_process import PurchaseProcessScorer
from everstay.churn.reasons import usual_values
from everstay.churn.rows import ChurnRows, outcomes
from everstay.churn.svm import SvmScorer
from everstay.churn.trees import LightGbmScorer, TreeScorer
from everstay.settings import Training

FloatArray = NDArray[np.float64]


def fit_candidate(name: str, rows: ChurnRows, training: Training, work: Path) -> Fitted:
    """Fit the candidate `name`: one of `settings.Churn.candidates`, except the blend.

    Args:
        name: of the candidate.
        rows: the parts; `test` is not read.
        training: where networks are trained; the seed of all candidates.
        work: for checkpoints, from which a killed run continues; emptied at the end.
    """
    choice = choose_candidate(name, rows, training, work)
    calibrator = _calibrate(choice.early, rows)
    learned = rows.refit
    usual = usual_values(learned)
    early = CalibratedModel(name, choice.early, calibrator, usual)
    model = CalibratedModel(name, choice.refit(learned), calibrator, usual)
    params = {**choice.params, "seed": training.seed, "calibrator": calibrator_kind(calibrator)}
    return Fitted(model, early, params, choice.curves)


def _calibrate(early: Scorer, rows: ChurnRows) -> Calibration:
    """Fit to scores of held-out rows; its kind is cross-validated over as-ofs, or over fifths of the users.

    The latter if there is one as-of, or if label windows overlap: then a user's labels repeat, and a curve that follows
    single users would be judged by those it has seen.
    """
    validation = rows.validation
    parts = validation[t.AS_OF].rank("dense").to_numpy()
    if parts.max() == 1 or windows_overlap(validation):
        parts = (validation[t.USER_ID].rank("dense").to_numpy() - 1) % 5  # the order of ids means nothing
    return choose_calibrator(early.scores(validation), outcomes(validation), parts, validation[t.USER_ID].to_numpy())


def windows_overlap(rows: pl.DataFrame) -> bool:
    """Whether the label windows of two as-ofs of labelled rows overlap."""
    between = rows[t.AS_OF].unique().sort().diff().drop_nulls()
    return bool((between < timedelta(days=int(rows[t.HORIZON_DAYS][0]))).any())


def fit_blend(members: Mapping[str, Fitted], rows: ChurnRows) -> Fitted:
    """Average fitted candidates; weights and the blend's own calibrator come from their scores of `validation`."""
    early = choose_blend([member.early for member in members.values()], rows.validation)
    weights = {member.name: weight for member, weight in zip(early.members, early.weights, strict=True)}
    served = BlendScorer(tuple(members[name].model for name in weights), early.weights)
    calibrator, usual = _calibrate(early, rows), next(iter(members.values())).model.usual
    return Fitted(
        CalibratedModel("blend", served, calibrator, usual),
        CalibratedModel("blend", early, calibrator, usual),
        {
            "members": ", ".join(f"{weight:g} {name}" for name, weight in weights.items()),
            "calibrator": calibrator_kind(calibrator),
        },
    )


def choose_candidate(
    name: str, rows: ChurnRows, training: Training, work: Path, config: BaseModel | None = None
) -> Choice:
    """Step 1: learn from `train`, and choose on `validation` what the configuration leaves open; reads no other part.

    Args:
        name: of the candidate, not the blend.
        rows: the parts.
        training: where networks are trained; the seed.
        work: for checkpoints.
        config: of the candidate; None: the default.
    """
    if name == "recency":
        return Choice(RecencyScorer(), lambda _: RecencyScorer(), {})
    return _CHOOSE[name](rows, training, work, config or c.CONFIGS[name]())


def _choose_logistic(rows: ChurnRows, training: Training, work: Path, config: c.LogisticConfig) -> Choice:  # noqa: ARG001
    scorers = [LogisticScorer.fit(rows.train, penalty) for penalty in config.penalties]
    told = losses(np.stack([scorer.scores(rows.validation) for scorer in scorers]), rows.validation)
    best = int(np.argmin(told))
    penalty = config.penalties[best]
    return Choice(
        scorers[best],
        lambda learned: LogisticScorer.fit(learned, penalty),
        {"penalty": penalty, "features": len(scorers[best].encoder.columns)},
        {"validation_loss": told},
        config.model_copy(update={"penalties": (penalty,)}),
    )


def _choose_boosting(rows: ChurnRows, training: Training, work: Path, config: c.BoostingConfig) -> Choice:  # noqa: ARG001
    longest = BoostingScorer.fit(rows.train, config, max(config.rounds), training.seed)
    stages = longest.staged_scores(rows.validation)[np.array(config.rounds) - 1]
    return _choose_rounds(longest, stages, rows, training, config)


def _choose_lightgbm(rows: ChurnRows, training: Training, work: Path, config: c.LightGbmConfig) -> Choice:  # noqa: ARG001
    longest = LightGbmScorer.fit(rows.train, config, max(config.rounds), training.seed)
    stages = np.stack([longest.scores(rows.validation, rounds) for rounds in config.rounds])
    return _choose_rounds(longest, stages, rows, training, config)


def _choose_rounds(
    longest: BoostingScorer | LightGbmScorer, stages: FloatArray, rows: ChurnRows, training: Training, config: Any
) -> Choice:
    """Choose among `config.rounds` by the scores (rounds, n) of validation rows after each.

    They are calibrated first: a mean of the log-odds of several silences is not the log-odds of churning.
    """
    told = calibrated_losses(stages, rows.validation)
    rounds = config.rounds[int(np.argmin(told))]
    return Choice(
        replace(longest, rounds=rounds),
        lambda learned: type(longest).fit(learned, config, rounds, training.seed),
        {**config.model_dump(exclude={"rounds"}), "rounds": rounds, "features": len(longest.columns)},
        {"validation_loss": told},
        config.model_copy(update={"rounds": (rounds,)}),
    )


def _choose_lasso(rows: ChurnRows, training: Training, work: Path, config: c.LassoConfig) -> Choice:  # noqa: ARG001
    return choose_setting("penalty", config, "penalties", partial(LogisticScorer.fit, selects=True), rows)


def _choose_tree(rows: ChurnRows, training: Training, work: Path, config: c.TreeConfig) -> Choice:  # noqa: ARG001
    return choose_setting("leaf_share", config, "leaf_shares", partial(TreeScorer.fit, seed=training.seed), rows)


def _choose_svm(rows: ChurnRows, training: Training, work: Path, config: c.SvmConfig) -> Choice:  # noqa: ARG001
    def fit(learned: pl.DataFrame, cost: float) -> SvmScorer:
        return SvmScorer.fit(learned, config, cost, training.seed)

    return choose_setting("cost", config, "costs", fit, rows)


def _choose_purchase_process(
    rows: ChurnRows,
    training: Training,  # noqa: ARG001
    work: Path,  # noqa: ARG001
    config: c.PurchaseProcessConfig,
) -> Choice:
    return choose_setting("process", config, "processes", PurchaseProcessScorer.fit, rows)


_CHOOSE: dict[str, Callable[[ChurnRows, Training, Path, Any], Choice]] = {
    "logistic": _choose_logistic,
    "boosting": _choose_boosting,
    "network": choose_network,
    "hazard": choose_network,
    "transformer": choose_network,
    "purchase_process": _choose_purchase_process,
    "lasso": _choose_lasso,
    "tree": _choose_tree,
    "svm": _choose_svm,
    "lightgbm": _choose_lightgbm,
}
