"""Everstay keeps an online shop's users: churn, value, recommendation, action and measured outcome.

Importing the package turns off what its parts would report home, and has their threads sleep while they wait for each
other, unless the environment says otherwise.
It stands here because each of them decides at its own import, and every import of ours passes through here first.
For the same reason a command learns here what Ctrl-C means: its own imports take seconds.
"""

import os
import sys

from everstay.interrupts import stop_on_interrupt

_QUIET = {
    "DO_NOT_TRACK": "1",
    "GX_ANALYTICS_ENABLED": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
}
_SHARING = {"OMP_WAIT_POLICY": "passive"}  # threads that spin take several times as long where another process is busy
for _name, _value in (_QUIET | _SHARING).items():
    os.environ.setdefault(_name, _value)

if sys.argv[:1] == ["-m"]:  # so Python calls a command `python -m ...` for as long as it looks for its module
    stop_on_interrupt()
