"""The flows: the only code that imports Prefect. Each file is one flow, or what several share."""

import everstay  # noqa: F401 - before all else: what leaves this machine, and what Ctrl-C means
