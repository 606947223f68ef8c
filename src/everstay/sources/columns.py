"""Which of a file's columns is which of ours."""

import difflib
from collections.abc import Collection, Sequence
from pathlib import Path

from everstay import tables as t
from everstay.errors import SourceError
from everstay.settings import FilesSource

_KEY = "[source.files.columns] in everstay.toml"
_TABLES = (t.EVENTS, t.ITEMS, t.USERS, t.TREATMENTS)


def match_columns(
    table: t.Table, found: Sequence[str], settings: FilesSource, required: Collection[str], file: Path
) -> dict[str, str]:
    """Find the file's name for each of our columns that it has.

    Args:
        table: what the file holds.
        found: the file's columns.
        settings: names of ours and theirs; a column that is not named there keeps its name.
        required: our columns that the file must have; those named in the settings must be there, too.
        file: for the message.

    Returns:
        Ours to theirs.

    Raises:
        SourceError: a required or named column is absent.
    """
    matched = {}
    for ours in table.columns:
        theirs = settings.columns.get(ours, ours)
        if theirs in found:
            matched[ours] = theirs
        elif ours in required or ours in settings.columns:
            raise SourceError(
                f"{file}: no column '{theirs}' for {ours}; the file has {', '.join(found)}"
                f"{_nearest(theirs, found)}; name it in {_KEY}"
            )
    return matched


def check_mapping(settings: FilesSource) -> None:
    """Make sure that the settings speak of columns and event types that exist.

    Raises:
        SourceError: one does not; names the nearest.
    """
    ours = {name for table in _TABLES for name in table.columns}
    for name in settings.columns:
        if name not in ours:
            raise SourceError(f"{_KEY}: '{name}' is no column of ours{_nearest(name, sorted(ours))}")
    for event_type in (*settings.event_types.values(), *filter(None, [settings.default_event_type])):
        if event_type not in t.EVENT_TYPES:
            nearest = _nearest(event_type, t.EVENT_TYPES) or f"; there are {', '.join(t.EVENT_TYPES)}"
            raise SourceError(f"[source.files] in everstay.toml: '{event_type}' is no event type of ours{nearest}")


def _nearest(name: str, names: Sequence[str]) -> str:
    by_lower_case = {other.lower(): other for other in names}
    match = difflib.get_close_matches(name.lower(), list(by_lower_case), n=1, cutoff=0.5)
    return f"; did you mean '{by_lower_case[match[0]]}'?" if match else ""
