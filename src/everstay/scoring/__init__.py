"""Champions at work: every user's churn score and list, computed bucket by bucket from the artifact folder."""

from everstay.scoring.churn_scores import churn_scores, compute_churn_scores
from everstay.scoring.recommendations import compute_recommendations, recommendations
from everstay.scoring.rows import active_users, churn_rows, history_rows
from everstay.scoring.tiers import TierBounds, assign_tiers, tier_bounds
from everstay.scoring.work import Work

__all__ = [
    "TierBounds",
    "Work",
    "active_users",
    "assign_tiers",
    "churn_rows",
    "churn_scores",
    "compute_churn_scores",
    "compute_recommendations",
    "history_rows",
    "recommendations",
    "tier_bounds",
]
