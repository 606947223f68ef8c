"""Tune one churn candidate: fitted to `train`, evaluated on `validation`, and never on the test."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel

from everstay.churn.choice import Choice
from everstay.churn.config import CONFIGS
from everstay.churn.evaluate import METRICS
from everstay.churn.fit import choose_candidate
from everstay.churn.rows import ChurnRows, outcomes
from everstay.errors import SettingsError
from everstay.settings import Settings
from everstay.tuning import Search, search_settings


def tunable() -> Sequence[str]:
    """Candidates that declare a search space."""
    return [name for name, config in CONFIGS.items() if config.SEARCH]


def tune_candidate(name: str, rows_folder: Path, settings: Settings, trials: int) -> Search:
    """Try configurations of one candidate by the gate's metric on all validation rows, as reported in its run.

    Args:
        name: one of `tunable()`.
        rows_folder: from `ChurnRows.write`; only `train` and `validation` are read.
        settings: metric, seed and training.
        trials: how many, the default included.

    Raises:
        SettingsError: the candidate has no search space, or there are no trials.
        NotReady: nothing can be learned from the rows.
    """
    if name not in tunable():
        raise SettingsError(f"no settings to search for '{name}': choose one of {', '.join(tunable())}")
    rows, space = ChurnRows.read_early(rows_folder), CONFIGS[name].SEARCH
    metric = next(metric for metric in METRICS if metric.__name__ == settings.promotion.churn_metric)

    def choose(config: BaseModel) -> Choice:
        with tempfile.TemporaryDirectory() as folder:
            return choose_candidate(name, rows, settings.training, Path(folder), config)

    def judge(config: BaseModel) -> float:
        return float(metric(outcomes(rows.validation), choose(config).early.scores(rows.validation)))

    default: BaseModel = CONFIGS[name]()
    if any(isinstance(getattr(default, field), tuple) for field in space):
        default = choose(default).config or default  # narrowed to the default's own choice on validation
    return search_settings(default, space, judge, trials=trials, seed=settings.training.seed)
