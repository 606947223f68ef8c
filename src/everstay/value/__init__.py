"""What a user is worth: orders predicted by buy-till-you-die times money per order by Gamma-Gamma, with an interval."""

from everstay.value.lifetime import VALUE_COLUMNS, ValueModel, fit_value, with_value
from everstay.value.summary import EVENT_COLUMNS, SUMMARY_COLUMNS, purchase_summary

__all__ = [
    "EVENT_COLUMNS",
    "SUMMARY_COLUMNS",
    "VALUE_COLUMNS",
    "ValueModel",
    "fit_value",
    "purchase_summary",
    "with_value",
]
