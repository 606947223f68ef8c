"""What every room's tests share: no test reads the settings, the data or the MLflow store of the checkout."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")  # the same numbers on every machine

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's own EVERSTAY_* variables change no test."""
    for variable in [name for name in os.environ if name.startswith("EVERSTAY_")]:
        monkeypatch.delenv(variable)
