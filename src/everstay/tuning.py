"""Hyperparameter search for one candidate by Optuna: on validation only, the defaults first. Nothing is applied.

A configuration class declares its search space as `SEARCH: ClassVar[Space]`; the objective fits one configuration as of
the validation and returns its figure. A network's epochs are watched, and a trial whose curve stays below the median of
the others is pruned.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import optuna
from pydantic import BaseModel, ValidationError

from everstay.configuration import Range, Space, Value
from everstay.errors import SettingsError
from everstay.training import watch_epochs

log = logging.getLogger(__name__)

_COMPLETE_FIRST = 4  # trials that are never pruned: what others are compared with
_EPOCHS_FIRST = 1  # epochs at which no trial is pruned: a small learning rate starts slowly


@dataclass(frozen=True)
class Trial:
    """One configuration that was tried.

    Attributes:
        number: from 0, the defaults.
        values: of the fields that are searched.
        figure: on validation, higher is better; None: it was pruned, or its values are incompatible.
        curve: the monitored value per epoch, higher is better.
        seconds: its duration.
    """

    number: int
    values: Mapping[str, Value]
    figure: float | None
    curve: tuple[float, ...]
    seconds: float


@dataclass(frozen=True)
class Search:
    """All trials, and the best one's configuration."""

    config: BaseModel
    trials: tuple[Trial, ...]

    @property
    def best(self) -> Trial:
        """The complete trial with the highest figure, the first if tied."""
        return max((one for one in self.trials if one.figure is not None), key=lambda one: one.figure or 0.0)

    @property
    def default(self) -> Trial:
        """The trial of the defaults."""
        return self.trials[0]


def check_trials(trials: int) -> None:
    """Check the number of trials, before anything is prepared for them.

    Raises:
        SettingsError: there are none.
    """
    if trials < 1:
        raise SettingsError(f"TRIALS={trials} must be 1 or more, usually 20")


def search_settings(
    default: BaseModel, space: Space, objective: Callable[[Any], float], *, trials: int, seed: int
) -> Search:
    """Try configurations, the default first.

    Args:
        default: the configuration that is varied.
        space: of its fields; one that may hold several values to choose from holds a single one in `default`.
        objective: fits a configuration and returns its figure on validation, higher is better.
        trials: how many, the default included.
        seed: of the sampler.

    Raises:
        SettingsError: there are no trials.
    """
    check_trials(trials)
    done: list[Trial] = []

    def run(trial: optuna.Trial) -> float:
        values = {name: _suggest(trial, name, domain) for name, domain in space.items()}
        done.append(Trial(trial.number, values, None, (), 0.0))
        curve: list[float] = []

        def watch(value: float) -> None:
            trial.report(value, len(curve))  # steps are counted from 0
            curve.append(value)
            if trial.should_prune():
                raise optuna.TrialPruned

        began = time.monotonic()
        figure: float | None = None
        try:
            with watch_epochs(watch):
                figure = objective(_configured(default, values))
        finally:
            seconds = time.monotonic() - began
            done[-1] = replace(done[-1], figure=figure, curve=tuple(curve), seconds=seconds)
            told = "ended early" if figure is None else f"{figure:.4f}"
            log.info("trial %d: %s %s (%.0f s)", trial.number, told, values, seconds)
        return figure

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    pruner = optuna.pruners.MedianPruner(n_startup_trials=_COMPLETE_FIRST, n_warmup_steps=_EPOCHS_FIRST)
    study = optuna.create_study(
        direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed, n_startup_trials=8), pruner=pruner
    )
    study.enqueue_trial({name: _only(getattr(default, name)) for name in space})
    study.optimize(run, n_trials=trials)
    result = Search(default, tuple(done))
    return replace(result, config=_configured(default, result.best.values))


def _only(value: Any) -> Value:
    if not isinstance(value, tuple):
        return cast(Value, value)
    (single,) = value
    return cast(Value, single)


def _configured(default: BaseModel, values: Mapping[str, Value]) -> BaseModel:
    try:
        return type(default).model_validate({**default.model_dump(), **values})
    except ValidationError as error:  # incompatible values, for example heads and dimensions
        raise optuna.TrialPruned from error


def _suggest(trial: optuna.Trial, name: str, domain: Range | Sequence[Value]) -> Value:
    if not isinstance(domain, Range):
        return cast(Value, trial.suggest_categorical(name, list(domain)))
    if isinstance(domain.low, int) and isinstance(domain.high, int):
        return trial.suggest_int(name, domain.low, domain.high, log=domain.log)
    return trial.suggest_float(name, domain.low, domain.high, log=domain.log)
