from typing import ClassVar

import pytest
from pydantic import BaseModel, ConfigDict, Field, model_validator

from everstay.configuration import Range, Space
from everstay.training import _WATCH
from everstay.tuning import search_settings


class Config(BaseModel):
    """Two numbers and a choice."""

    model_config = ConfigDict(frozen=True)
    SEARCH: ClassVar[Space] = {"width": Range(1, 8), "rate": Range(1e-3, 1.0, log=True), "kind": ("plain", "odd")}

    width: int = 2
    rate: float = Field(default=0.5, gt=0)
    kind: str = "plain"
    fixed: int = 7

    @model_validator(mode="after")
    def _odd_is_odd(self) -> "Config":
        if self.kind == "odd" and self.width % 2 == 0:
            raise ValueError("odd needs an odd width")
        return self


def figure(config: Config) -> float:
    return config.width - abs(config.rate - 0.1) + (10 if config.kind == "odd" else 0)


def test_the_default_comes_first_and_the_best_is_taken():
    search = search_settings(Config(), Config.SEARCH, figure, trials=30, seed=3)
    assert search.default.values == {"width": 2, "rate": 0.5, "kind": "plain"}
    assert search.default.figure == pytest.approx(1.6)
    complete = [trial for trial in search.trials if trial.figure is not None]
    assert search.best.figure == max(trial.figure for trial in complete)
    assert figure(search.config) == search.best.figure > 15
    assert search.config.fixed == 7
    assert all(isinstance(trial.values["width"], int) and 1 <= trial.values["width"] <= 8 for trial in search.trials)
    assert all(1e-3 <= trial.values["rate"] <= 1.0 for trial in search.trials)
    impossible = [one for one in search.trials if one.values["kind"] == "odd" and one.values["width"] % 2 == 0]
    assert impossible
    assert all(trial.figure is None for trial in impossible)


def test_the_same_seed_tries_the_same():
    tried = [
        [trial.values for trial in search_settings(Config(), Config.SEARCH, figure, trials=6, seed=5).trials]
        for _ in range(2)
    ]
    assert tried[0] == tried[1]


def test_a_trial_that_stays_below_the_median_is_ended_early():
    epochs: list[int] = []

    def learn(config: Config) -> float:
        watch = _WATCH.get()
        assert watch is not None
        epochs.append(0)
        for epoch in range(1, 11):
            epochs[-1] = epoch
            watch(figure(config) * epoch)
        return figure(config)

    search = search_settings(Config(), Config.SEARCH, learn, trials=20, seed=3)
    assert _WATCH.get() is None
    ended = [trial for trial in search.trials if trial.figure is None and trial.curve]
    assert ended
    assert min(len(trial.curve) for trial in ended) == 2  # the first epoch ends none
    assert all(len(trial.curve) < 10 for trial in ended)
    assert max(trial.curve[0] for trial in ended) < search.best.curve[0]
    assert sum(epochs) < 10 * len(epochs)


def test_a_failure_of_the_objective_is_told():
    def fail(config: Config) -> float:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        search_settings(Config(), Config.SEARCH, fail, trials=3, seed=1)
