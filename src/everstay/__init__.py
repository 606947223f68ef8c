"""Everstay keeps an online shop's users: churn, value, recommendation, action and measured outcome.

Importing the package turns off its dependencies' telemetry and makes their waiting threads sleep instead of spin,
unless the environment says otherwise.
It is done here because each of them reads its variables at its own import, and every import of ours runs this file
first.
The Ctrl-C handler of a command is installed here for the same reason: its own imports take seconds.
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
_SHARING = {"OMP_WAIT_POLICY": "passive"}  # spinning threads are several times slower while another process is busy
for _name, _value in (_QUIET | _SHARING).items():
    os.environ.setdefault(_name, _value)

if sys.argv[:1] == ["-m"]:  # what `python -m ...` leaves in argv[0] until it has located its module
    stop_on_interrupt()
