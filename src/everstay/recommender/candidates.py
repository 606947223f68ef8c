"""Candidates as a flow handles them: one folder each, fitted once per key, judged from what is stored in it.

A candidate's folder holds `artifact` (the model that serves), `early` (the one judged on validation) and
`training.json`, written last: a folder with it is complete.
"""

import hashlib
import json
import logging
import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from everstay import tables as t
from everstay.code_version import code_version
from everstay.metrics.report import CandidateReport
from everstay.partitions import IN_PROCESS, map_parts
from everstay.recommender.artifact import load_artifact, save_artifact
from everstay.recommender.choose import GRIDS
from everstay.recommender.config import BLENDED, HybridConfig
from everstay.recommender.evaluate import report_candidate
from everstay.recommender.fitted import Fitted
from everstay.recommender.network_config import SEQUENTIAL, NetworkConfig
from everstay.recommender.rows import BasketRows
from everstay.settings import Settings

log = logging.getLogger(__name__)

_DONE = "training.json"
CONFIGS: dict[str, Sequence[BaseModel]] = {
    **GRIDS,
    "network": (NetworkConfig(),),
    "hybrid": (HybridConfig(),),
    **{name: (config,) for name, config in SEQUENTIAL.items()},
    "blend": (SEQUENTIAL["sequential"], *(config for name in BLENDED[1:] for config in GRIDS[name])),
}


def candidate_key(name: str, settings: Settings, data_version: str) -> str:
    """Hash everything a candidate depends on: code, data, horizon, policy, configuration, seed; 64 hex digits."""
    unread = {"candidates", "lists"} if name in (*SEQUENTIAL, "blend") else {"candidates", "lists", "members"}
    parts = {
        "name": name,
        "code": code_version("recommender"),
        "data_version": data_version,
        "as_of": str(settings.as_of),
        "recommender": settings.recommender.model_dump(mode="json", exclude=unread),
        "configs": [config.model_dump(mode="json") for config in CONFIGS[name]],
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
    """Fit one candidate twice and store it; does nothing if it is already stored under the same key.

    The next call resumes a killed one: a network continues from its last epoch.

    Args:
        name: one of `settings.recommender.candidates`.
        rows_folder: from `BasketRows.write`.
        settings: vocabulary, policy, seed and training.
        folder: of all candidates; each has a subfolder.
        data_version: of the lake the rows come from.
        scheduler: address of a Dask scheduler whose workers share this machine's folders and train the candidate.

    Returns:
        The candidate's folder.

    Raises:
        NotReady: nothing can be learned from the rows.
    """
    home, key = folder / name, candidate_key(name, settings, data_version)
    if not (home / _DONE).exists() or _read_training(home)["key"] != key:
        train = partial(_train, rows_folder=rows_folder, settings=settings, folder=folder, data_version=data_version)
        map_parts(train, [name], scheduler)
    return home


def _train(name: str, *, rows_folder: Path, settings: Settings, folder: Path, data_version: str) -> None:
    log.info("recommender %s: training", name)
    from everstay.recommender.cold_users_fit import answer_cold_users  # what trains takes seconds to import
    from everstay.recommender.fit import fit_blend, fit_candidate

    started = time.monotonic()
    key = candidate_key(name, settings, data_version)
    rows = BasketRows.read(rows_folder)
    rows.check()
    work = folder / f".{name}-{key[:16]}"
    if name == "blend":
        homes = {part: train_candidate(part, rows_folder, settings, folder, data_version) for part in BLENDED}
        fitted = fit_blend({part: load_candidate(home) for part, home in homes.items()}, rows, settings)
    else:
        fitted = fit_candidate(name, rows, settings, work)
    fitted = answer_cold_users(fitted, rows, settings)
    _store(fitted, folder / name, key, rows, data_version, time.monotonic() - started)
    shutil.rmtree(work, ignore_errors=True)


def load_candidate(home: Path) -> Fitted:
    """A stored candidate, from `train_candidate`."""
    training = _read_training(home)
    models = load_artifact(home / "artifact"), load_artifact(home / "early")
    return Fitted(*models, training["params"], training["curves"])


def evaluate_candidate(home: Path, rows_folder: Path, settings: Settings) -> CandidateReport:
    """Judge a stored candidate on the next baskets after the validation and the test as-of.

    Args:
        home: from `train_candidate`.
        rows_folder: from `BasketRows.write`.
        settings: length of the lists, and the intervals.
    """
    fitted = load_candidate(home)
    report = report_candidate(
        fitted.model,
        fitted.early,
        BasketRows.read(rows_folder),
        settings,
        artifact=home / "artifact",
        params=fitted.params,
        curves=fitted.curves,
    )
    return replace(report, seconds=_read_training(home)["seconds"])


def _store(fitted: Fitted, home: Path, key: str, rows: BasketRows, data_version: str, seconds: float) -> None:
    shutil.rmtree(home, ignore_errors=True)
    params = dict(fitted.params)
    for model, part, place in ((fitted.model, rows.test, "artifact"), (fitted.early, rows.validation, "early")):
        save_artifact(model, home / place, as_of=part[t.AS_OF][0], data_version=data_version, params=params)
    done = {"key": key, "params": params, "curves": dict(fitted.curves), "seconds": seconds}
    (home / _DONE).write_text(json.dumps(done, indent=1), encoding="utf-8")


def _read_training(home: Path) -> dict[str, Any]:
    training: dict[str, Any] = json.loads((home / _DONE).read_text(encoding="utf-8"))
    return training
