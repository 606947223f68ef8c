"""The flows: the only code that imports Prefect. One file is one flow, one deployment and one make target."""

import everstay  # noqa: F401 - before all else: what leaves this machine, and what Ctrl-C means
