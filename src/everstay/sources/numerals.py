"""Numbers in a foreign column: typed ones, and text with a decimal point or comma."""

import polars as pl

POINT, COMMA = ".", ","
_WITH_COMMA = r"^[+-]?(?:[1-9]\d{0,2}(?:\.\d{3})+|\d*)(?:,\d*)?(?:[eE][+-]?\d+)?$"  # points part thousands


def numbers(raw: pl.Series, decimal: str = POINT) -> pl.Series:
    """Finite numbers (n,) as floats; what is none, such as a time or a word, is null.

    Args:
        raw: (n,) plain values.
        decimal: the mark of fractions in text, `.` or `,`.

    >>> numbers(pl.Series(["-3,5", "1.234,50", "12.5"]), ",").to_list()
    [-3.5, 1234.5, None]
    """
    if raw.dtype.is_temporal():
        return pl.repeat(None, len(raw), dtype=pl.Float64, eager=True)
    if raw.dtype == pl.String:
        text = raw.str.strip_chars()
        raw = _with_point(text) if decimal == COMMA else text
    number = raw.cast(pl.Float64, strict=False)
    return pl.select(pl.when(number.is_finite()).then(number)).to_series()


def whole_numbers(raw: pl.Series, decimal: str = POINT) -> pl.Series:
    """Whole numbers (n,) of 64 bits, also those written as 3.0; others are null."""
    if raw.dtype.is_integer():
        return raw.cast(pl.Int64, strict=False)
    number = numbers(raw, decimal)
    return pl.select(pl.when(number == number.round()).then(number)).to_series().cast(pl.Int64, strict=False)


def measures(raw: pl.Series, decimal: str = POINT) -> pl.Series:
    """Numbers (n,), whole or not, that round to whole ones of 32 bits; others are null."""
    number = numbers(raw, decimal)
    is_countable = number.round().cast(pl.Int32, strict=False).is_not_null()
    return pl.select(pl.when(is_countable).then(number)).to_series()


def _with_point(text: pl.Series) -> pl.Series:
    """Numbers with a decimal comma as Polars reads them; other text is null."""
    plain = text.str.replace_all(".", "", literal=True).str.replace(COMMA, POINT, literal=True)
    return pl.select(pl.when(text.str.contains(_WITH_COMMA)).then(plain)).to_series()
