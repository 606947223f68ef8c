"""What importing the package decides for the libraries that are imported after it."""

import os
import subprocess
import sys

LOADED = "import everstay, os, lightgbm, sklearn.ensemble, torch; print(os.environ['OMP_WAIT_POLICY'])"


def told(**environment: str) -> subprocess.CompletedProcess[str]:
    """A fresh interpreter in which each OpenMP library says at its start what it goes by."""
    inherited = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    every = {**inherited, "OMP_DISPLAY_ENV": "true", **environment}
    return subprocess.run([sys.executable, "-c", LOADED], env=every, capture_output=True, text=True, check=True)


def test_threads_of_the_trainers_sleep_while_they_wait() -> None:
    said = told().stderr
    assert said.count("OMP_WAIT_POLICY = 'PASSIVE'") == said.count("OPENMP DISPLAY ENVIRONMENT BEGIN") > 0


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
    assert told(OMP_WAIT_POLICY="active").stdout == "active\n"
