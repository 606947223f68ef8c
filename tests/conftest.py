"""What every room's tests share: no test reads the settings, the data or the MLflow store of the checkout."""

import os
from pathlib import Path

for variable in [name for name in os.environ if name.startswith("EVERSTAY_")]:
    del os.environ[variable]  # a developer's own settings change no test, nor a fixture that many tests share

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")  # the same numbers on every machine

REPOSITORY = Path(__file__).parents[1]
