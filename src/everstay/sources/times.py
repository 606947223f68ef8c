"""Times in a foreign column: text in the usual formats or the shop's own, numbers since 1970, days and typed times."""

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, time, timedelta
from functools import cache

import polars as pl

from everstay import tables as t
from everstay.sources.numerals import numbers, whole_numbers

_FIRST_SECOND, _END_SECOND = 100_000_000, 4_200_000_000  # 1973 to 2103: the ranges of the units never overlap
_FIRST_TIME, _LAST_TIME = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)
_FIRST_DAY, _LAST_DAY = ((day - datetime(1970, 1, 1, tzinfo=UTC)).days for day in (_FIRST_TIME, _LAST_TIME))
_UNITS_PER_DAY = {"days": 1, "ms": 86_400_000, "us": 86_400_000_000}
_FOUR_DIGITS = datetime(1000, 1, 1, tzinfo=UTC)  # from here on years have four digits
_UNITS_PER_SECOND = (1, 1_000, 1_000_000, 1_000_000_000)
_DAY_FORMAT = "%Y-%m-%d"
_NAIVE_FORMATS = ("%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M", _DAY_FORMAT)
_ZONED_FORMATS = ("%Y-%m-%d %H:%M:%S%.f%z", "%Y-%m-%d %H:%M%z")
_MOMENT = datetime(2010, 12, 31, 20, 26, 5, tzinfo=UTC)  # each of its parts tells whether a format has it
_MISREAD = {
    "%f": "write %.f for a fraction of a second",  # to Polars it is a number of nanoseconds
    "%Z": "a zone's name cannot be read: write %z for an offset such as +01:00, or set time_zone",
    "%s": "numbers of seconds since 1970 are read without any time_formats",
}
"""Codes that Polars reads as something else than a person means, and what to do."""


def times(raw: pl.Series, time_zone: str, formats: Sequence[str] = (), decimal: str = ".") -> pl.Series:
    """Times (n,) in UTC within the calendar; null where a value is none.

    Times without a zone are in `time_zone`; the hour that clocks repeat in autumn is read as its first occurrence, and
    the hour that they skip in spring is no time. Whole numbers are days (`20170131`) or seconds, milli-, micro- or
    nanoseconds since 1970, told apart by their size; those since 1970 may have a fraction.

    Args:
        raw: (n,) plain values.
        time_zone: an IANA name, for example `Europe/Berlin`.
        formats: how text is written (`%m/%d/%Y %H:%M`), the first that fits; none: ISO 8601 and numbers.
        decimal: the mark of fractions in text, `.` or `,`.
    """
    if raw.dtype.is_numeric():
        read = _times_of_numbers(raw, time_zone)
    elif raw.dtype == pl.String:
        read = _times_of_text(raw, time_zone, formats, decimal)
    else:
        in_utc = _days_in_utc if raw.dtype == pl.Date else _in_utc
        read = in_utc(raw.cast(pl.Datetime("us")) if raw.dtype == pl.Date else raw, time_zone)
    is_datable = read.is_between(_FIRST_TIME, _LAST_TIME)  # a database's `infinity` is not
    return read if is_datable.all() else pl.select(pl.when(is_datable).then(read)).to_series()


def format_mistake(format_: str) -> str:
    """Words for what is wrong with one of a shop's own formats; empty when times can be read by it.

    >>> format_mistake("%m/%d/%Y %H:%M"), format_mistake("%H:%M")[:33]
    ('', 'name year, month and day, minutes')
    """
    plain = re.sub("%[-_0]", "%", _as_polars_has_it(format_).replace("%%", ""))  # without marks of padding
    if told := next((words for code, words in _MISREAD.items() if code in plain), ""):
        return told
    kept = _read_back(format_)
    if kept is not None and kept.date() == _MOMENT.date():
        return ""
    return "name year, month and day, minutes with the hour, and %p with %I, for example %m/%d/%Y %H:%M"


def is_in_calendar(raw: pl.Series) -> pl.Series:
    """Whether each value (n,) is not a time outside the years 1 to 9999, which Polars cannot print; null for null."""
    unit = raw.dtype.time_unit if isinstance(raw.dtype, pl.Datetime) else "days" if raw.dtype == pl.Date else ""
    if unit not in _UNITS_PER_DAY:  # 64 bits of nanoseconds are 1677 to 2262
        return pl.Series([True]).new_from_index(0, len(raw))
    first, last = (day * _UNITS_PER_DAY[unit] for day in (_FIRST_DAY, _LAST_DAY + 1))
    return raw.to_physical().is_between(first, last, closed="left")


# ---- text ----------------------------------------------------------------------------------------------------------
def _times_of_text(raw: pl.Series, time_zone: str, formats: Sequence[str], decimal: str) -> pl.Series:
    read = pl.repeat(None, len(raw), dtype=t.TIME, eager=True)
    attempts = _own_readings(raw, time_zone, formats) if formats else _usual_readings(raw, time_zone, decimal)
    for attempt in attempts:
        read = read.zip_with(read.is_not_null(), attempt)
        if read.null_count() == raw.null_count():
            break
    has_no_century = read < _FOUR_DIGITS
    if not formats:
        has_no_century &= ~raw.str.contains(r"^\s*\d{4}")  # 23-01-31
    return pl.select(pl.when(~has_no_century).then(read)).to_series() if has_no_century.any() else read


def _usual_readings(raw: pl.Series, time_zone: str, decimal: str) -> Iterator[pl.Series]:
    """Parse times in one format after another, the usual ones first; the caller stops when all are parsed."""
    text = raw.str.strip_chars().str.replace(r"^(\d{4}-\d\d?-\d\d?)[Tt]", "$1 ")
    for format_ in _NAIVE_FORMATS:
        in_utc = _days_in_utc if format_ == _DAY_FORMAT else _in_utc
        yield in_utc(text.str.to_datetime(format_, time_unit="us", strict=False), time_zone)
    zoned = text.str.replace(r"\s*(?:UTC|GMT|[Zz])$", "+00:00").str.replace(r"\s+([+-]\d\d:?\d\d)$", "$1")
    zoned = zoned.str.replace(r"(:\S*[+-]\d\d)$", "${1}:00")
    for format_ in _ZONED_FORMATS:
        yield zoned.str.to_datetime(format_, time_unit="us", strict=False).dt.convert_time_zone("UTC")
    yield _times_of_numbers(text.cast(pl.Int64, strict=False), time_zone)
    yield _times_of_numbers(numbers(text, decimal), time_zone)


def _own_readings(raw: pl.Series, time_zone: str, formats: Sequence[str]) -> Iterator[pl.Series]:
    """Parse times in the shop's own formats, in their order."""
    text = raw.str.strip_chars()
    for format_ in formats:
        read = text.str.to_datetime(_as_polars_has_it(format_), time_unit="us", strict=False)
        kept = _read_back(format_)
        in_utc = _days_in_utc if kept is not None and kept.time() == time() else _in_utc
        yield in_utc(read, time_zone)


def _as_polars_has_it(format_: str) -> str:
    return format_.replace(".%f", "%.f")


@cache
def _read_back(format_: str) -> datetime | None:
    """What remains of `_MOMENT` when it is written and read in a format; None when Polars cannot."""
    known = _as_polars_has_it(format_)
    try:
        return pl.Series([_MOMENT]).dt.strftime(known).str.to_datetime(known, time_unit="us", strict=False)[0]
    except pl.exceptions.PolarsError:
        return None


# ---- numbers -------------------------------------------------------------------------------------------------------
def _times_of_numbers(raw: pl.Series, time_zone: str) -> pl.Series:
    """Whole numbers as days, and numbers as time since 1970 where that is from 1973 to 2103; others become null."""
    whole = whole_numbers(raw)
    days = whole.cast(pl.String).str.to_datetime("%Y%m%d", time_unit="us", strict=False)
    is_day = whole.is_between(1_000_01_01, 9_999_12_31).fill_null(value=False)
    read = _days_in_utc(days, time_zone).zip_with(is_day, _since_1970(whole))
    return read if raw.dtype.is_integer() else read.zip_with(whole.is_not_null(), _since_1970(numbers(raw)))


def _since_1970(number: pl.Series) -> pl.Series:
    microseconds = pl.coalesce(
        pl.when((number >= _FIRST_SECOND * units) & (number < _END_SECOND * units)).then(
            number * (1_000_000 // units) if units <= 1_000_000 else number // (units // 1_000_000)
        )
        for units in _UNITS_PER_SECOND
    )
    return pl.select(microseconds.round().cast(pl.Datetime("us")).dt.replace_time_zone("UTC")).to_series()


# ---- time zones ----------------------------------------------------------------------------------------------------
def _days_in_utc(midnights: pl.Series, time_zone: str) -> pl.Series:
    """The first moments of days: an hour later where clocks skip midnight, as they did in São Paulo."""
    first = _in_utc(midnights, time_zone)
    return first.zip_with(first.is_not_null(), _in_utc(midnights + timedelta(hours=1), time_zone))


def _in_utc(moments: pl.Series, time_zone: str) -> pl.Series:
    if not isinstance(moments.dtype, pl.Datetime):
        return pl.repeat(None, len(moments), dtype=t.TIME, eager=True)
    if moments.dtype.time_zone is None:
        moments = moments.dt.replace_time_zone(time_zone, ambiguous="earliest", non_existent="null")
    return moments.dt.convert_time_zone("UTC").dt.cast_time_unit("us")
