"""One foreign column as ours: the values that fit our dtype, and a message for each one that does not."""

from collections.abc import Callable

import polars as pl

from everstay import tables as t
from everstay.blanks import is_blank
from everstay.settings import MappedSource
from everstay.sources.numerals import COMMA, POINT, measures, numbers, whole_numbers
from everstay.sources.times import is_in_calendar, times

IDS = (t.EVENT_ID, t.USER_ID, t.ITEM_ID, t.ORDER_ID, t.SESSION_ID, t.CAMPAIGN_ID)
"""Id columns: a number in one is an identifier, however it is written."""

_SHOWN_CHARACTERS = 80
_YES, _NO = ("true", "t", "yes", "y", "1"), ("false", "f", "no", "n", "0")


def read_column(raw: pl.Series, name: str, settings: MappedSource, decimal: str = POINT) -> tuple[pl.Series, pl.Series]:
    """Turn a column of any dtype into ours.

    A null or blank value is null and no problem here.

    Args:
        raw: (n,) values as the file has them.
        name: our column, declared in `tables`.
        settings: how times are written, and whether a quantity may have a fraction.
        decimal: the mark of fractions in text, `.` or `,`.

    Returns:
        (n,) values in our dtype (floats for a quantity that may have a fraction), null where they do not fit; (n,)
        words such as "amount: 'x' is not a number", null where nothing is wrong.

    >>> value, problem = read_column(pl.Series(["2", "two"]), t.AMOUNT, MappedSource())
    >>> value.to_list(), problem.to_list()
    ([2.0, None], [None, "amount: 'two' is not a number"])
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
    convert, wanted = _conversion(name, settings, decimal)
    value = convert(raw).rename(name)
    return value, _problems(shown, value, f"{name}: ", f" is not {wanted}")


def printable(raw: pl.Series) -> pl.Series:
    """Values (n,) of any dtype; dates and times as numbers if any is outside the calendar (a database's `infinity`)."""
    return raw if is_in_calendar(raw).all() else raw.to_physical()


def _dtype(name: str) -> pl.DataType | type[pl.DataType]:
    tables = (t.EVENTS, t.ITEMS, t.USERS, t.TREATMENTS)
    return next(table.columns[name] for table in tables if name in table.columns)


def _conversion(name: str, settings: MappedSource, decimal: str) -> tuple[Callable[[pl.Series], pl.Series], str]:
    """The function that converts a column, and words for what its values should be."""
    dtype = _dtype(name)
    if dtype == t.TIME:
        zone, formats = settings.time_zone, settings.time_formats
        form = f"written as {' or '.join(formats)}" if formats else "(write 2017-01-31 18:05:00, or set time_formats)"
        return lambda raw: times(raw, zone, formats, decimal), f"a time in {zone} {form}"
    if dtype == pl.Boolean:
        return _booleans, "true or false"
    if dtype == pl.String:
        return (lambda raw: _ids(raw, decimal)) if name in IDS else _texts, "text"
    if name == t.QUANTITY and settings.fractional_quantity == "one_piece":
        return lambda raw: measures(raw, decimal), "a number of pieces"
    if name == t.QUANTITY:
        wanted = "a whole number up to a million; for goods by weight, set fractional_quantity to one_piece"
        return lambda raw: whole_numbers(raw, decimal).cast(dtype, strict=False), wanted
    wanted = "a number with a decimal comma" if decimal == COMMA else "a number"
    return lambda raw: numbers(raw, decimal).cast(dtype), wanted


def _nulls(dtype: pl.DataType | type[pl.DataType], count: int) -> pl.Series:
    return pl.Series([None], dtype=dtype).new_from_index(0, count)


def _problems(raw: pl.Series, value: pl.Series, before: str, after: str) -> pl.Series:
    is_wrong = raw.is_not_null() & value.is_null()
    if not is_wrong.any():
        return _nulls(pl.String, len(raw))
    shown = raw.cast(pl.String).str.slice(0, _SHOWN_CHARACTERS)
    words = pl.lit(before + "'") + shown + pl.lit("'" + after)
    return pl.select(pl.when(is_wrong).then(words)).to_series()


def _ids(raw: pl.Series, decimal: str) -> pl.Series:
    """Text with the `.0` of whole numbers removed: `17850.0` in a CSV is the id `17850` of another file."""
    text = _texts(raw)
    if raw.dtype == pl.String and text.str.ends_with(f"{decimal}0").any():
        return text.str.replace(rf"^(-?\d+)[{decimal}]0$", "$1")
    return text


def _texts(raw: pl.Series) -> pl.Series:
    """Text as it is; whole floats and decimals without their fraction, as pandas makes floats of ids with nulls."""
    text = raw.cast(pl.String)
    if not (raw.dtype.is_float() or raw.dtype.is_decimal()):
        return text
    whole = raw.cast(pl.Int64, strict=False)
    return whole.cast(pl.String).zip_with((whole == raw).fill_null(value=False), text)


def _booleans(raw: pl.Series) -> pl.Series:
    word = raw.cast(pl.String).str.strip_chars().str.to_lowercase()
    return pl.select(pl.when(word.is_in(_YES)).then(True).when(word.is_in(_NO)).then(False)).to_series()
