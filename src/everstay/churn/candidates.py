"""Candidates as a flow handles them: one folder each, fitted once per key, judged from what is stored in it.

A candidate's folder holds `artifact` (the model that serves), `early` (the one judged on validation) and
`training.json`, written last: a folder with it is complete.
"""

import hashlib
import json
import logging
import shutil
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from everstay import tables as t
from everstay.churn.artifact import load_artifact, save_artifact
from everstay.churn.config import CONFIGS, MAX_TOKENS
from everstay.churn.encoding import MODEL_COLUMNS
from everstay.churn.evaluate import report_candidate
from everstay.churn.fitted import Fitted
from everstay.churn.rows import ChurnRows, read_attributes
from everstay.code_version import code_version
from everstay.errors import NotReady
from everstay.metrics.report import CandidateReport
from everstay.partitions import IN_PROCESS, map_parts
from everstay.settings import BLENDED, Settings

log = logging.getLogger(__name__)

BLEND = "blend"

_DONE = "training.json"


def candidate_key(name: str, settings: Settings, data_version: str) -> str:
    """Hash everything a candidate depends on: code, data, label, slices, configuration, seed; 64 hex digits."""
    names = settings.churn.candidates if name == BLEND else (name,)
    configs = {part: CONFIGS[part]().model_dump(mode="json") for part in names if part in CONFIGS}
    churn = settings.churn
    parts = {
        "name": name,
        "code": code_version("churn"),
        "data_version": data_version,
        "as_of": str(settings.as_of),
        "label": churn.definition,
        "slices": (churn.slice_step_days, churn.training_slices, churn.validation_slices, churn.max_users),
        "configs": configs,
        "columns": (MODEL_COLUMNS, MAX_TOKENS),
        "training": settings.training.model_dump(mode="json", exclude={"accelerator", "devices", "strategy"}),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def train_candidate(
    name: str,
    rows_folder: Path,
    settings: Settings,
    folder: Path,
    data_version: str,
    scheduler: str = IN_PROCESS,
) -> Path:
    """Fit one candidate and store it; does nothing if it is already stored under the same key.

    The next call resumes a killed one: a network continues from its last epoch.

    Args:
        name: one of `settings.churn.candidates`.
        rows_folder: from `ChurnRows.write`.
        settings: seed and training.
        folder: of all candidates; each has a subfolder.
        data_version: of the lake the rows come from.
        scheduler: address of a Dask scheduler whose workers share this machine's folders and train the candidate.

    Returns:
        The candidate's folder.

    Raises:
        NotReady: nothing can be learned from the rows; or the blend is requested before its members.
    """
    home, key = folder / name, candidate_key(name, settings, data_version)
    if not (home / _DONE).exists() or _read_training(home)["key"] != key:
        train = partial(_train, rows_folder=rows_folder, settings=settings, folder=folder, data_version=data_version)
        map_parts(train, [name], scheduler)
    return home


def _train(name: str, *, rows_folder: Path, settings: Settings, folder: Path, data_version: str) -> None:
    log.info("churn %s: training", name)
    from everstay.churn.fit import fit_blend, fit_candidate  # what trains takes seconds to import

    started = time.monotonic()
    key = candidate_key(name, settings, data_version)
    rows = ChurnRows.read(rows_folder)
    rows.check()
    if name == BLEND:
        fitted = fit_blend(_members(folder, settings), rows)
    else:
        fitted = fit_candidate(name, rows, settings.training, folder / f".{name}-{key[:16]}")
    _store(fitted, folder / name, key, rows, data_version, time.monotonic() - started)
    shutil.rmtree(folder / f".{name}-{key[:16]}", ignore_errors=True)


def evaluate_candidate(home: Path, rows_folder: Path, settings: Settings) -> CandidateReport:
    """Judge a stored candidate on validation and test rows.

    Args:
        home: from `train_candidate`.
        rows_folder: from `ChurnRows.write`.
        settings: of the intervals.
    """
    fitted = _read(home)
    report = report_candidate(
        fitted.model,
        fitted.early,
        ChurnRows.read(rows_folder),
        settings,
        attributes=read_attributes(rows_folder),
        artifact=home / "artifact",
        params=fitted.params,
        curves=fitted.curves,
    )
    return replace(report, seconds=_read_training(home)["seconds"])


def _store(fitted: Fitted, home: Path, key: str, rows: ChurnRows, data_version: str, seconds: float) -> None:
    shutil.rmtree(home, ignore_errors=True)
    as_of = rows.test[t.AS_OF][0]
    params = dict(fitted.params)
    save_artifact(fitted.model, home / "artifact", as_of=as_of, data_version=data_version, params=params)
    known = as_of if rows.is_by_user else rows.validation[t.AS_OF].min()
    save_artifact(fitted.early, home / "early", as_of=known, data_version=data_version, params=params)  # type: ignore[arg-type]
    done = {"key": key, "params": params, "curves": dict(fitted.curves), "seconds": seconds}
    (home / _DONE).write_text(json.dumps(done, indent=1), encoding="utf-8")


def _read(home: Path) -> Fitted:
    training = _read_training(home)
    model, early = load_artifact(home / "artifact"), load_artifact(home / "early")
    return Fitted(model, early, training["params"], training["curves"])


def _read_training(home: Path) -> dict[str, Any]:
    training: dict[str, Any] = json.loads((home / _DONE).read_text(encoding="utf-8"))
    return training


def _members(folder: Path, settings: Settings) -> dict[str, Fitted]:
    names = [name for name in BLENDED if name in settings.churn.candidates]
    absent = [name for name in names if not (folder / name / _DONE).exists()]
    if absent or not names:
        raise NotReady(f"blend averages {', '.join(absent or BLENDED)}, not trained yet: train them first")
    return {name: _read(folder / name) for name in names}
