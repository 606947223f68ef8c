"""Which candidate becomes challenger: the best on validation, or the ensemble when the two are hard to tell apart."""

import pytest

from everstay.metrics.comparison import Interval
from everstay.registry.refs import RunRef
from everstay.settings import Promotion, Settings, Value
from flows.candidates import choose_on_validation, judged_by

BOUND = 1.959964  # standard errors on either side of a figure at 95% confidence


def run(candidate: str, value: float, error: float) -> RunRef:
    figure = Interval(value, value - BOUND * error, value + BOUND * error)
    return RunRef("churn", candidate, candidate, "m", "d", "v", "2024-01-01", {"validation_average_precision": figure})


@pytest.mark.parametrize(
    ("blend", "ensemble", "chosen"),
    [(0.481, "blend", "blend"), (0.479, "blend", "network"), (0.481, None, "network"), (0.51, None, "blend")],
)
def test_the_ensemble_is_chosen_within_one_standard_error_of_the_best(
    blend: float, ensemble: str | None, chosen: str
) -> None:
    runs = (run("logistic", 0.45, 0.3), run("network", 0.50, 0.02), run("blend", blend, 0.001))
    assert choose_on_validation(runs, "average_precision", ensemble, 0.95).candidate == chosen


def test_other_costs_and_other_intervals_are_judged_anew() -> None:
    usual, costly = Settings(), Settings(value=Value(offer_cost=9.0))
    narrow = Settings(promotion=Promotion(confidence=0.6))
    assert judged_by("churn", costly) != judged_by("churn", usual) != judged_by("churn", narrow)
    assert judged_by("recommender", narrow) != judged_by("recommender", usual) == judged_by("recommender", costly)
