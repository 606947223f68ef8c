"""What each user wants next: candidates fitted on the same baskets, judged by full ranking, stored without pickle.

The input is `BasketRows` from `features.buckets.compute_baskets`; a flow calls `train_candidate` and
`evaluate_candidate`, which exchange paths; `load_artifact` returns the model that scores.
"""

from everstay.recommender.artifact import load_artifact, save_artifact
from everstay.recommender.candidates import candidate_key, evaluate_candidate, train_candidate
from everstay.recommender.config import BLENDED
from everstay.recommender.evaluate import per_user_metrics
from everstay.recommender.model import ListModel, RecommenderModel
from everstay.recommender.prepare import check_rows, compare_models, count_judged, prepare_rows
from everstay.recommender.reasons import is_impersonal
from everstay.recommender.rows import BasketRows, with_attribute
from everstay.recommender.rules import ListRules

__all__ = [
    "BLENDED",
    "BasketRows",
    "ListModel",
    "ListRules",
    "RecommenderModel",
    "candidate_key",
    "check_rows",
    "compare_models",
    "count_judged",
    "evaluate_candidate",
    "is_impersonal",
    "load_artifact",
    "per_user_metrics",
    "prepare_rows",
    "save_artifact",
    "train_candidate",
    "with_attribute",
]
