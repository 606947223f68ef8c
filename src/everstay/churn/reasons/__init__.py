"""Why a user scores as they do: exact additive parts of the served model's log-odds, and their wording."""

from everstay.churn.reasons.attribution import HISTORY, SOURCES, Attribution, encoded_parts, placed
from everstay.churn.reasons.groups import GROUP_NAMES, group_parts
from everstay.churn.reasons.telling import tell_reasons, usual_values

__all__ = [
    "GROUP_NAMES",
    "HISTORY",
    "SOURCES",
    "Attribution",
    "encoded_parts",
    "group_parts",
    "placed",
    "tell_reasons",
    "usual_values",
]
