"""Champions at work: every user's churn score and list, computed bucket by bucket from the artifact folder."""

from everstay.scoring.as_of import is_history, scoring_as_of
from everstay.scoring.churn_scores import churn_scores, compute_churn_scores
from everstay.scoring.previous import keep_previous, lacking_change, previous_as_of
from everstay.scoring.recommendations import compute_recommendations, recommendations, served_by_popularity
from everstay.scoring.rows import active_users, churn_rows, history_rows
from everstay.scoring.tiers import TIERS, TierBounds, assign_tiers, list_order, tier_bounds
from everstay.scoring.work import Work

__all__ = [
    "TIERS",
    "TierBounds",
    "Work",
    "active_users",
    "assign_tiers",
    "churn_rows",
    "churn_scores",
    "compute_churn_scores",
    "compute_recommendations",
    "history_rows",
    "is_history",
    "keep_previous",
    "lacking_change",
    "list_order",
    "previous_as_of",
    "recommendations",
    "scoring_as_of",
    "served_by_popularity",
    "tier_bounds",
]
