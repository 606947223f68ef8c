"""The ledger knows a decision by what it was made from."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from everstay.metrics.comparison import Interval
from everstay.registry.ledger import decision_row, is_recorded
from everstay.registry.promotion import Decision

DECISION = Decision(
    "churn", "2", "1", True, False, "average_precision", Interval(0.0, -0.1, 0.1), ("a tie",), "events-3"
)


@pytest.mark.parametrize(
    "other",
    [
        {"challenger_version": "3"},
        {"champion_version": None},
        {"metric": "roc_auc"},
        {"data_version": "events-4"},
        {"is_promoted": True},
    ],
)
def test_a_decision_that_differs_in_one_thing_is_another(other: dict[str, object]):
    rows = decision_row(DECISION, datetime(2024, 3, 1, tzinfo=UTC))
    assert is_recorded(rows, DECISION)
    assert not is_recorded(rows, replace(DECISION, **other))
