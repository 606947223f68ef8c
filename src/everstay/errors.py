"""The errors a person can act on; everything else is a defect of ours and keeps its traceback."""


class EverstayError(Exception):
    """A mistake in data, settings or use. The message names the place (file, row, key) and what to do."""


class SettingsError(EverstayError):
    """The settings, from their file or an `EVERSTAY_*` variable, are invalid."""


class SourceError(EverstayError):
    """A source cannot be read as a whole: a column is missing, a file is empty or cut off."""


class DataRejected(EverstayError):
    """Validation failed with severity `critical`; nothing was stored and no model was trained."""


class NotReady(EverstayError):
    """A step was asked for before what it needs exists: no events, no mature label, no champion."""


class LeakFound(EverstayError):
    """Something computed as of a moment changes with what was not known then; nothing may be published."""
