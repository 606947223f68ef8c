"""Groups of correlated sources: their parts are added up, because models spread one fact over all of them."""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from everstay.churn.reasons.attribution import HISTORY, SOURCES, Attribution

FloatArray = NDArray[np.float64]

_BEGINNINGS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "trend": ("orders_trend_", "spend_trend_", "order_days_fading_20d_to_80d"),
        "silence": ("recency_", "inactive_", "gaps_over_recency_", "silence_goes_on_", "long_silence_"),
        "rhythm": ("gap_", "gaps_over_"),
        "orders": ("orders_", "active_days_", "order_days_"),
        "spend": ("spend_",),
        "variety": ("items_", "distinct_items_"),
        "categories": ("distinct_categories_",),
        "basket": ("basket_",),
        "discount": ("discount_",),
        "coupons": ("coupons_",),
        "browsing": ("views_", "clicks_", "searches_"),
        "carts": ("carts_",),
        "returns": ("returns_",),
        "messages": ("messages_",),
        "tenure": ("tenure_",),
        "habit": ("weekend_", "hour_"),
        "history": (HISTORY,),
    }
)
"""Group to the prefixes of its sources' names; the first match counts."""

_REST = "rest"
GROUP_NAMES = (*_BEGINNINGS, _REST)
"""Groups in the order of `group_parts`; the last one holds all other sources, and is never a reason."""


def group_of(source: str) -> str:
    """The group that a source belongs to.

    >>> group_of("gaps_over_recency_share"), group_of("gaps_over_28_days"), group_of("orders_trend_28d")
    ('silence', 'rhythm', 'trend')
    """
    return next((name for name, starts in _BEGINNINGS.items() if source.startswith(starts)), _REST)


def group_parts(attribution: Attribution) -> FloatArray:
    """Parts of the groups, (N, len(GROUP_NAMES)); base and row sums are the attribution's."""
    belongs = np.array([[group_of(source) == name for name in GROUP_NAMES] for source in SOURCES], dtype=np.float64)
    return attribution.parts @ belongs
