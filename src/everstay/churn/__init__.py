"""Who is about to leave: candidates fitted on the same rows, calibrated, judged, stored without pickle."""

from everstay.churn.artifact import load_artifact, save_artifact
from everstay.churn.candidates import BLEND, candidate_key, evaluate_candidate, train_candidate
from everstay.churn.config import MAX_TOKENS
from everstay.churn.model import CalibratedModel, ChurnModel
from everstay.churn.prepare import compare_models, count_judged, prepare_rows
from everstay.churn.rows import LABEL_COLUMNS, ChurnRows, join_rows

__all__ = [
    "BLEND",
    "LABEL_COLUMNS",
    "MAX_TOKENS",
    "CalibratedModel",
    "ChurnModel",
    "ChurnRows",
    "candidate_key",
    "compare_models",
    "count_judged",
    "evaluate_candidate",
    "join_rows",
    "load_artifact",
    "prepare_rows",
    "save_artifact",
    "train_candidate",
]
