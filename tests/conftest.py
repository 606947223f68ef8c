"""What every room's tests share: no test reads the settings, the data or the MLflow store of the checkout."""

import os
from pathlib import Path

for variable in [name for name in os.environ if name.startswith("EVERSTAY_")]:
    del os.environ[variable]  # a developer's own settings change no test, nor a fixture that many tests share

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")  # the same numbers on every machine
os.environ.setdefault("OMP_NUM_THREADS", "1")  # data this small gain nothing by more, and other tests need the cores

REPOSITORY = Path(__file__).parents[1]
