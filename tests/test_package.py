"""What importing the package decides for libraries imported after it, and which ones scoring begins with."""

import os
import subprocess
import sys

import pytest

from tests.conftest import REPOSITORY

POLICY = "print(os.environ['OMP_WAIT_POLICY'])"
LOADED = f"import everstay, os, sys, sklearn.ensemble, flows.score_users; {POLICY}; print(*sys.modules)"


def told(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A fresh interpreter in which each OpenMP library says at its start what it goes by."""
    inherited = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    every = {**inherited, "OMP_DISPLAY_ENV": "true", **environment}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=every, cwd=REPOSITORY, capture_output=True, text=True, check=True)


@pytest.fixture(scope="module")
def scoring() -> subprocess.CompletedProcess[str]:
    """What a process told that imported what `make score` runs, and nothing else."""
    return told(LOADED)


def test_threads_of_the_trainers_sleep_while_they_wait(scoring) -> None:
    assert {"lightgbm", "sklearn.ensemble", "torch"} <= set(scoring.stdout.split())
    said = scoring.stderr
    assert said.count("OMP_WAIT_POLICY = 'PASSIVE'") == said.count("OPENMP DISPLAY ENVIRONMENT BEGIN") > 0


def test_scoring_begins_without_libraries_that_not_every_run_needs(scoring) -> None:
    seconds_each = {"great_expectations", "matplotlib.pyplot", "optuna", "pytorch_lightning", "shap", "skops"}
    assert seconds_each.isdisjoint(scoring.stdout.split())


def test_nothing_is_reported_home() -> None:
    quiet = {
        "DO_NOT_TRACK": "1",
        "GX_ANALYTICS_ENABLED": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    }
    inherited = {name: value for name, value in os.environ.items() if name not in quiet}
    code = f"import everstay, os; print(*(os.environ[name] for name in {sorted(quiet)}))"
    said = subprocess.run([sys.executable, "-c", code], env=inherited, capture_output=True, text=True, check=True)
    assert said.stdout.split() == list(quiet.values())


def test_what_the_environment_says_goes_before() -> None:
    assert told(f"import everstay, os; {POLICY}", OMP_WAIT_POLICY="active").stdout == "active\n"
