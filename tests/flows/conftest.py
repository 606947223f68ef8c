"""A small simulated shop in a folder of its own, and a Prefect server that forgets."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.testing.utilities import prefect_test_harness

REPOSITORY = Path(__file__).parents[2]
PYTHONPATH = f"{REPOSITORY}/src{os.pathsep}{REPOSITORY}"  # of a started process: the code of this checkout

SETTINGS = """
report_folder = "{folder}/reports"
expectations_folder = "{repository}/expectations"

[source]
kind = "store_twin"
store_twin = {{users = 300, items = 60, days = 260, seed = 3}}

[data]
folder = "{folder}/lake"
buckets = 2

[churn]
look_back_days = 56
training_slices = 6
candidates = ["recency", "logistic"]

[recommender]
candidates = ["popularity", "personal_frequency"]

[promotion]
resamples = 200
max_calibration_error = 0.2

[dask]
workers = 0

[mlflow]
tracking_uri = "sqlite:///{folder}/mlflow.db"
artifacts = "{folder}/artifacts"

[prefect]
api_url = "http://127.0.0.1:{port}/api"
"""


@pytest.fixture(scope="session")
def prefect_api() -> Iterator[None]:
    """A temporary server; one for all tests of this process."""
    with prefect_test_harness(server_startup_timeout=180):
        yield


def write_settings(folder: Path, port: int = 4290, **replaced: str) -> Path:
    """The small shop's settings; `replaced` gives other text for a whole line that begins with the key."""
    text = SETTINGS.format(folder=folder, repository=REPOSITORY, port=port)
    lines = [
        next((f"{key} = {value}" for key, value in replaced.items() if line.startswith(f"{key} =")), line)
        for line in text.splitlines()
    ]
    file = folder / "shop.toml"
    file.write_text("\n".join(lines) + "\n")
    return file


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefect_api: None) -> Path:
    """The folder of a small shop that the flows will use."""
    monkeypatch.setenv("EVERSTAY_SETTINGS", str(write_settings(tmp_path)))
    return tmp_path
