"""Which of a shop's columns is which of ours."""

import codecs
import difflib
import logging
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from encodings.aliases import aliases
from zoneinfo import available_timezones

from everstay import tables as t
from everstay.errors import SourceError
from everstay.settings import FilesSource, MappedSource
from everstay.sources.blocks import HEADER_LINES, Header, Part
from everstay.sources.times import format_mistake

log = logging.getLogger(__name__)

_TABLES = (t.EVENTS, t.ITEMS, t.USERS, t.TREATMENTS)
_TELLING = (t.EVENT_ID, t.EVENT_TYPE, t.QUANTITY, t.AMOUNT)  # no such column means something else than an empty value
_MACHINE_ZONES = {"localtime", "Factory"}  # machine-specific, so they differ between machines


def match_columns(
    table: t.Table, header: Header, settings: MappedSource, required: Collection[str], origin: str
) -> dict[str, str]:
    """Find the shop's name for each of our columns that its table has.

    Args:
        table: what is read.
        header: the columns found.
        settings: names of ours and theirs; a column that is not named there keeps its name.
        required: our columns that must exist; so must those named in the settings, but for JSON lines.
        origin: file or table, for the message.

    Returns:
        Ours to theirs; for events with a `unit_price`, `PRICE` to that.

    Raises:
        SourceError: a required column is absent, or one that is named; of JSON lines the latter may come late or never.
    """
    matched = {}
    for ours in table.columns:
        theirs = settings.columns.get(ours, ours)
        may_come = header.is_open and ours not in required and (ours in settings.columns or ours not in _TELLING)
        if theirs in header.names or may_come:
            matched[ours] = theirs
        elif ours in required or ours in settings.columns:
            raise _absent(theirs, ours, header, origin, f"[{settings.section}.columns]")
    if table is t.EVENTS and settings.unit_price:
        if settings.unit_price not in header.names:
            raise _absent(settings.unit_price, "unit_price", header, origin, f"{settings.section}.unit_price")
        matched[t.PRICE] = settings.unit_price
        matched.pop(t.AMOUNT, None)
    return matched


def with_late_keys(
    part: Part, table: t.Table, header: Header, matched: Mapping[str, str], settings: MappedSource
) -> Part:
    """A part of a file of which `header` may not know all columns, told which keys should come, and which must not.

    Args:
        part: of the file.
        table: what is read.
        header: of the file.
        matched: from `match_columns`.
        settings: names of ours and theirs.
    """
    if not header.is_open:
        return part
    named = (theirs for ours, theirs in matched.items() if ours in settings.columns)
    known = {*matched, *settings.columns, *([t.AMOUNT] if settings.unit_price else [])}
    absent = tuple(ours for ours in _TELLING if ours in table.columns and ours not in known)
    return replace(part, expected=tuple(name for name in named if name not in header.names), absent=absent)


def required_event_columns(settings: MappedSource) -> set[str]:
    """Our columns that a table of events must have."""
    required = {t.USER_ID, t.OCCURRED_AT}
    if not settings.default_event_type:
        required.add(t.EVENT_TYPE)
    if settings.cancelled_order_prefix:
        required.add(t.ORDER_ID)
    return required


def warn_of_gaps(columns: Mapping[str, Mapping[str, str]]) -> None:
    """Warn of files that lack a numeric column which another file has: their rows get its default value.

    Args:
        columns: of each file, from `match_columns`.
    """
    for ours in (t.QUANTITY, t.AMOUNT, t.DISCOUNT):
        having = next((file for file, matched in columns.items() if ours in matched), None)
        if having is None:
            continue
        theirs = columns[having][ours]
        usual = "1, or 0 for events without pieces," if ours == t.QUANTITY else "0"
        for lacking in (file for file, matched in columns.items() if ours not in matched):
            log.warning("%s has no column '%s', unlike %s: %s is %s in its rows", lacking, theirs, having, ours, usual)


def warn_of_namesakes(table: t.Table, header: Header, matched: Mapping[str, str], origin: str) -> None:
    """Warn of unread columns whose name, up to case and punctuation, is that of an absent column of ours."""
    absent = {_simple(ours): ours for ours in table.columns if ours not in matched}
    words = "%s: column '%s' is not read: if it is %s, name it in [columns] of the source"
    for name in header.names:
        if name not in matched.values() and (ours := absent.get(_simple(name))):
            log.warning(words, origin, name, ours)


def _simple(name: str) -> str:
    return re.sub(r"\W+", "_", name.strip()).lower()


def check_mapping(settings: MappedSource) -> None:
    """Check that the settings name events, and only columns, event types, a time zone and ways to write that exist.

    Raises:
        SourceError: they do not; the message suggests the nearest name.
    """
    section = f"[{settings.section}] in the settings"
    if not settings.events:
        raise SourceError(f"{settings.section}.events in the settings is empty: name the shop's events")
    ours = {name for table in _TABLES for name in table.columns}
    for name in settings.columns:
        if name not in ours:
            raise SourceError(f"{section}: columns: '{name}' is not an Everstay column{nearest(name, sorted(ours))}")
    if settings.unit_price and t.AMOUNT in settings.columns:
        raise SourceError(f"{section}: both columns.amount and unit_price define the amount: remove one of them")
    for event_type in (*settings.event_types.values(), *filter(None, [settings.default_event_type])):
        if event_type not in t.EVENT_TYPES:
            words = nearest(event_type, t.EVENT_TYPES) or f"; choose one of {', '.join(t.EVENT_TYPES)}"
            raise SourceError(f"{section}: '{event_type}' is not an Everstay event type{words}")
    if settings.time_zone not in available_timezones() - _MACHINE_ZONES:
        words = nearest(settings.time_zone, sorted(available_timezones())) or ": write one like Europe/Berlin"
        raise SourceError(f"{section}: time_zone '{settings.time_zone}' is not a time zone{words}")
    for format_ in settings.time_formats:
        if told := format_mistake(format_):
            raise SourceError(f"{section}: time_formats: '{format_}' is not a format of times: {told}")
    if isinstance(settings, FilesSource) and not _is_encoding(settings.encoding):
        words = nearest(settings.encoding, sorted({*aliases, *aliases.values()})) or ": write one like cp1252"
        raise SourceError(f"{section}: encoding '{settings.encoding}' is not an encoding of text{words}")


def _is_encoding(name: str) -> bool:
    try:
        codecs.lookup(name)
        return bool("a".encode(name))  # not those that turn bytes into bytes, such as base64
    except (LookupError, ValueError):
        return False


def nearest(name: str, names: Sequence[str]) -> str:
    """Words that suggest the one most like `name`; empty when none is."""
    by_lower_case = {other.lower(): other for other in names}
    match = difflib.get_close_matches(name.lower(), list(by_lower_case), n=1, cutoff=0.5)
    return f"; did you mean '{by_lower_case[match[0]]}'?" if match else ""


def _absent(theirs: str, ours: str, header: Header, origin: str, key: str) -> SourceError:
    where = f" in the first {HEADER_LINES:,} lines, where it must occur" if header.is_open else ""
    return SourceError(
        f"{origin}: no column '{theirs}' for {ours}{where}; it has {', '.join(header.names)}"
        f"{nearest(theirs, header.names)}; name it in {key} in the settings"
    )
