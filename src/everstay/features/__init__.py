"""What is known about users at a point in time: pure functions of one user bucket's events and an as-of."""

from everstay.features.activity import FEATURES, activity_slices, declare_features
from everstay.features.buckets import EventReader, compute_features, compute_labels
from everstay.features.churn_labels import churn_labels
from everstay.features.feature import Feature
from everstay.features.orders import net_purchases
from everstay.features.ratings import latest_ratings
from everstay.features.sample import is_sampled, sample_share
from everstay.features.sequences import day_tokens, next_basket, purchase_history
from everstay.features.slices import TimeSplit, last_judged_as_of, last_mature_as_of, midnight_before, time_split

__all__ = [
    "FEATURES",
    "EventReader",
    "Feature",
    "TimeSplit",
    "activity_slices",
    "churn_labels",
    "compute_features",
    "compute_labels",
    "day_tokens",
    "declare_features",
    "is_sampled",
    "last_judged_as_of",
    "last_mature_as_of",
    "latest_ratings",
    "midnight_before",
    "net_purchases",
    "next_basket",
    "purchase_history",
    "sample_share",
    "time_split",
]
