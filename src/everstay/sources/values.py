"""One foreign column as ours: the values that fit our dtype, and a message for each one that does not."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import polars as pl

from everstay import tables as t
from everstay.blanks import is_blank

IDS = (t.EVENT_ID, t.USER_ID, t.ITEM_ID, t.ORDER_ID, t.SESSION_ID, t.CAMPAIGN_ID)
"""Id columns: a number in one is an identifier, however it is written."""

_SHOWN_CHARACTERS = 80
_YES, _NO = ("true", "t", "yes", "y", "1"), ("false", "f", "no", "n", "0")
_FIRST_SECOND, _END_SECOND = 100_000_000, 4_200_000_000  # 1973 to 2103: the ranges of the units never overlap
_FIRST_TIME, _LAST_TIME = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)
_FIRST_DAY, _LAST_DAY = ((day - datetime(1970, 1, 1, tzinfo=UTC)).days for day in (_FIRST_TIME, _LAST_TIME))
_UNITS_PER_DAY = {"days": 1, "ms": 86_400_000, "us": 86_400_000_000}
_FOUR_DIGITS = datetime(1000, 1, 1, tzinfo=UTC)  # from here on years have four digits
_UNITS_PER_SECOND = (1, 1_000, 1_000_000, 1_000_000_000)
_DAY_FORMAT = "%Y-%m-%d"
_NAIVE_FORMATS = ("%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M", _DAY_FORMAT)
_ZONED_FORMATS = ("%Y-%m-%d %H:%M:%S%.f%z", "%Y-%m-%d %H:%M%z")


def read_column(raw: pl.Series, name: str, time_zone: str) -> tuple[pl.Series, pl.Series]:
    """Turn a column of any dtype into ours.

    A null or blank value is null and no problem here. Times without a zone are in `time_zone`; the hour that clocks
    repeat in autumn is read as its first occurrence, and the hour that they skip in spring is no time. Whole numbers as
    times are days (`20170131`) or seconds, milli-, micro- or nanoseconds since 1970, told apart by their size.

    Args:
        raw: (n,) values as the file has them.
        name: our column, declared in `tables`.
        time_zone: an IANA name, for example `Europe/Berlin`.

    Returns:
        (n,) values in our dtype, null where they do not fit; (n,) words such as "amount: 'x' is not a number", null
        where nothing is wrong.

    >>> value, problem = read_column(pl.Series(["2", "two"]), t.QUANTITY, "UTC")
    >>> value.to_list(), problem.to_list()
    ([2, None], [None, "quantity: 'two' is not a whole number"])
    """
    if raw.dtype.is_nested() or raw.dtype in (pl.Binary, pl.Object, pl.Duration):
        words = pl.repeat(f"{name}: {raw.dtype} is not a plain value", len(raw), eager=True)
        return _nulls(_dtype(name), len(raw)).alias(name), words
    if raw.dtype.base_type() in (pl.Categorical, pl.Enum):
        raw = raw.cast(pl.String)
    if raw.dtype == pl.String:
        blank = is_blank(raw)
        raw = pl.select(pl.when(~blank).then(raw)).to_series() if blank.any() else raw
    elif raw.dtype.is_float():
        raw = raw.fill_nan(None)  # how pandas writes a missing value
    shown = printable(raw)
    if shown.dtype != raw.dtype:
        raw = pl.select(pl.when(is_in_calendar(raw)).then(raw)).to_series()
    convert, wanted = _conversion(name, time_zone)
    value = convert(raw).rename(name)
    return value, _problems(shown, value, f"{name}: ", f" is not {wanted}")


def printable(raw: pl.Series) -> pl.Series:
    """Values (n,) of any dtype; dates and times as numbers if any is outside the calendar (a database's `infinity`)."""
    return raw if is_in_calendar(raw).all() else raw.to_physical()


def is_in_calendar(raw: pl.Series) -> pl.Series:
    """Whether each value (n,) is not a time outside the years 1 to 9999, which Polars cannot print; null for null."""
    unit = raw.dtype.time_unit if isinstance(raw.dtype, pl.Datetime) else "days" if raw.dtype == pl.Date else ""
    if unit not in _UNITS_PER_DAY:  # 64 bits of nanoseconds are 1677 to 2262
        return pl.Series([True]).new_from_index(0, len(raw))
    first, last = (day * _UNITS_PER_DAY[unit] for day in (_FIRST_DAY, _LAST_DAY + 1))
    return raw.to_physical().is_between(first, last, closed="left")


def _dtype(name: str) -> pl.DataType | type[pl.DataType]:
    tables = (t.EVENTS, t.ITEMS, t.USERS, t.TREATMENTS)
    return next(table.columns[name] for table in tables if name in table.columns)


def _conversion(name: str, time_zone: str) -> tuple[Callable[[pl.Series], pl.Series], str]:
    """The function that converts a column, and words for what its values should be."""
    dtype = _dtype(name)
    if dtype == t.TIME:
        return lambda raw: _datable(_times(raw, time_zone)), f"a time in {time_zone} (write 2017-01-31 18:05:00)"
    if dtype == pl.Boolean:
        return _booleans, "true or false"
    if dtype == pl.String:
        return (_ids if name in IDS else _texts), "text"
    if dtype == pl.Int32:
        return lambda raw: _whole_numbers(raw).cast(dtype, strict=False), "a whole number"
    return lambda raw: _numbers(raw).cast(dtype), "a number"


def _nulls(dtype: pl.DataType | type[pl.DataType], count: int) -> pl.Series:
    return pl.Series([None], dtype=dtype).new_from_index(0, count)


def _problems(raw: pl.Series, value: pl.Series, before: str, after: str) -> pl.Series:
    is_wrong = raw.is_not_null() & value.is_null()
    if not is_wrong.any():
        return _nulls(pl.String, len(raw))
    shown = raw.cast(pl.String).str.slice(0, _SHOWN_CHARACTERS)
    words = pl.lit(before + "'") + shown + pl.lit("'" + after)
    return pl.select(pl.when(is_wrong).then(words)).to_series()


def _ids(raw: pl.Series) -> pl.Series:
    """Text with the `.0` of whole numbers removed: `17850.0` in a CSV is the id `17850` of another file."""
    text = _texts(raw)
    if raw.dtype == pl.String and text.str.ends_with(".0").any():
        return text.str.replace(r"^(-?\d+)\.0$", "$1")
    return text


def _texts(raw: pl.Series) -> pl.Series:
    """Text as it is; whole floats and decimals without their fraction, as pandas makes floats of ids with nulls."""
    text = raw.cast(pl.String)
    if not (raw.dtype.is_float() or raw.dtype.is_decimal()):
        return text
    whole = raw.cast(pl.Int64, strict=False)
    return whole.cast(pl.String).zip_with((whole == raw).fill_null(value=False), text)


def _numbers(raw: pl.Series) -> pl.Series:
    if raw.dtype.is_temporal():
        return _nulls(pl.Float64, len(raw))
    number = (raw.str.strip_chars() if raw.dtype == pl.String else raw).cast(pl.Float64, strict=False)
    return pl.select(pl.when(number.is_finite()).then(number)).to_series()


def _whole_numbers(raw: pl.Series) -> pl.Series:
    """Whole numbers, also when they are written as 3.0."""
    if raw.dtype.is_integer():
        return raw.cast(pl.Int64, strict=False)
    number = _numbers(raw)
    return pl.select(pl.when(number == number.round()).then(number)).to_series().cast(pl.Int64, strict=False)


def _booleans(raw: pl.Series) -> pl.Series:
    word = raw.cast(pl.String).str.strip_chars().str.to_lowercase()
    return pl.select(pl.when(word.is_in(_YES)).then(True).when(word.is_in(_NO)).then(False)).to_series()


def _datable(times: pl.Series) -> pl.Series:
    """Times within the calendar; others, such as a database's `infinity`, become null."""
    is_datable = times.is_between(_FIRST_TIME, _LAST_TIME)
    return times if is_datable.all() else pl.select(pl.when(is_datable).then(times)).to_series()


def _times(raw: pl.Series, time_zone: str) -> pl.Series:
    if raw.dtype.is_numeric():
        return _times_of_numbers(_whole_numbers(raw), time_zone)
    if raw.dtype != pl.String:
        return _days_in_utc(raw.cast(pl.Datetime("us")), time_zone) if raw.dtype == pl.Date else _in_utc(raw, time_zone)
    times = _nulls(t.TIME, len(raw))
    for attempt in _readings(raw, time_zone):
        times = times.zip_with(times.is_not_null(), attempt)
        if times.null_count() == raw.null_count():
            break
    has_no_century = (times < _FOUR_DIGITS) & ~raw.str.contains(r"^\s*\d{4}")  # 23-01-31
    return pl.select(pl.when(~has_no_century).then(times)).to_series() if has_no_century.any() else times


def _readings(raw: pl.Series, time_zone: str) -> Iterator[pl.Series]:
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


def _times_of_numbers(number: pl.Series, time_zone: str) -> pl.Series:
    """Whole numbers as days, or as time since 1970 where that is a moment from 1973 to 2103; others become null."""
    microseconds = pl.coalesce(
        pl.when((number >= _FIRST_SECOND * units) & (number < _END_SECOND * units)).then(
            number * (1_000_000 // units) if units <= 1_000_000 else number // (units // 1_000_000)
        )
        for units in _UNITS_PER_SECOND
    )
    since_1970 = pl.select(microseconds.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")).to_series()
    days = number.cast(pl.String).str.to_datetime("%Y%m%d", time_unit="us", strict=False)
    is_day = number.is_between(1_000_01_01, 9_999_12_31).fill_null(value=False)
    return _days_in_utc(days, time_zone).zip_with(is_day, since_1970)


def _days_in_utc(midnights: pl.Series, time_zone: str) -> pl.Series:
    """The first moments of days: an hour later where clocks skip midnight, as they did in São Paulo."""
    first = _in_utc(midnights, time_zone)
    return first.zip_with(first.is_not_null(), _in_utc(midnights + timedelta(hours=1), time_zone))


def _in_utc(times: pl.Series, time_zone: str) -> pl.Series:
    if not isinstance(times.dtype, pl.Datetime):
        return _nulls(t.TIME, len(times))
    if times.dtype.time_zone is None:
        times = times.dt.replace_time_zone(time_zone, ambiguous="earliest", non_existent="null")
    return times.dt.convert_time_zone("UTC").dt.cast_time_unit("us")
