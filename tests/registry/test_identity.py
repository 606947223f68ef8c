from datetime import UTC, datetime, timedelta

import pytest

from everstay.registry.identity import run_key

AS_OF = datetime(2024, 3, 1, tzinfo=UTC)
SAME = {
    "model": "churn",
    "candidate": "network",
    "config": {"a": 1, "b": 2},
    "data_version": "events-0",
    "as_of": AS_OF,
}


def test_the_key_does_not_depend_on_the_order_of_settings():
    assert run_key(**SAME) == run_key(**SAME | {"config": {"b": 2, "a": 1}})


@pytest.mark.parametrize(
    "other",
    [
        {"model": "recommender"},
        {"candidate": "boosting"},
        {"config": {"a": 1, "b": 3}},
        {"data_version": "events-1"},
        {"as_of": AS_OF + timedelta(days=1)},
    ],
)
def test_the_key_depends_on_everything_that_decides_the_outcome(other: dict):
    assert run_key(**SAME) != run_key(**SAME | other)
