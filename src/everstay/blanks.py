"""Blank text: empty or white space only."""

import polars as pl

_FIRST, _LAST = "!", "\x7f"  # ASCII text between these does not begin with white space


def is_blank(text: pl.Series) -> pl.Series:
    """Whether each text (n,) is empty or white space only; null where it is null.

    Nearly every text begins with a printable ASCII character; when all do, the regular expression is skipped.

    >>> is_blank(pl.Series(["a", "", "  ", None])).to_list()
    [False, True, True, None]
    """
    begins_well = text.is_between(pl.lit(_FIRST), pl.lit(_LAST))
    return ~begins_well if begins_well.all() else ~text.str.contains(r"\S")
