"""Blank text: empty, white space only, or the mark of databases for a value that is not there."""

import polars as pl

_NULL = r"\N"  # in exports of MySQL, Hive and PostgreSQL's COPY
_FIRST, _LAST = "!", "\x7f"  # ASCII text between these does not begin with white space


def is_blank(text: pl.Series) -> pl.Series:
    r"""Whether each text (n,) is empty, white space only or `\N`; null where it is null.

    Nearly every text begins with a printable ASCII character; when all do, the regular expression is skipped.

    >>> is_blank(pl.Series(["a", "", "  ", r"\N", None])).to_list()
    [False, True, True, True, None]
    """
    begins_well = text.is_between(pl.lit(_FIRST), pl.lit(_LAST))
    return (~begins_well if begins_well.all() else ~text.str.contains(r"\S")) | (text == _NULL)
