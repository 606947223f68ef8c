"""Public sequence files: a line is a user, then the user's items in order, separated by single blanks or tabs.

Evaluation is leave-one-out: the last item is the test's target, the one before it the validation's. Lines give the
sequence but no times, so each item is an order of its own and one day older than the one after it.
"""

import gzip
import zlib
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from everstay import tables as t
from everstay.errors import SourceError
from everstay.features.sequences import (
    HISTORY_DAYS_AGO,
    HISTORY_DISCOUNT,
    HISTORY_ITEM,
    HISTORY_ORDER,
    HISTORY_PRICE,
    TARGET_ITEM,
)
from everstay.recommender.rows import BasketRows

VALIDATION, TEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2000, 1, 2, tzinfo=UTC)
"""As-ofs that stand for the positions of the targets."""

_LEFT_OUT = {VALIDATION: 2, TEST: 1}
_JUDGED_FROM = 3  # items: one to learn from, and two targets
_GZIP = b"\x1f\x8b"  # magic number
_NUMBER, _WORD = r"^[0-9]+$", r"""^[^\s,;"'\p{Cc}\x{FFFD}]+$"""
_STRAYS = 10  # lines with a letter, or one in a hundred, that are mistakes in a file of whole numbers


def read_sequence_rows(file: Path) -> BasketRows:
    """Read a sequence file as histories and next items; users with fewer than three items are for training only.

    Args:
        file: `user item item ...` per line, separated by single blanks or tabs; every user once. May be gzipped. Ids
            are whole numbers or, where enough lines have letters (most of them, or more than ten and one in a hundred),
            words without blanks, commas, semicolons and quotation marks.

    Raises:
        SourceError: the file is missing or empty, a line is malformed (the message names file and row), or no user can
            be evaluated.
    """
    sequences = _read_lines(file)
    if not (sequences["items"].list.len() >= _JUDGED_FROM).any():
        raise SourceError(f"{file}: no user has {_JUDGED_FROM} items, so nobody can be judged by the last two")
    return BasketRows(_rows(sequences, VALIDATION), _rows(sequences, TEST))


def _read_lines(file: Path) -> pl.DataFrame:
    """`USER_ID` and `items` (list of text), in the file's order."""
    lines = pl.DataFrame({"line": _read_text(file).rstrip().split("\n")})
    words = pl.col("line").str.strip_chars_end().str.replace_all("\t", " ", literal=True).str.split(" ")
    sequences = lines.select(words.list.first().alias(t.USER_ID), words.list.slice(1).alias("items"), "line")
    _refuse(
        file,
        sequences,
        pl.col("items").list.len() == 0,
        "has no item: write a user, then items, separated by single spaces",
    )
    pattern, known = _NUMBER, "whole numbers"
    if _are_words(sequences["line"]):
        pattern, known = _WORD, "ids of letters, digits and signs (no comma, semicolon or quotation mark)"
    fit = pl.concat_list(t.USER_ID, "items").list.eval(pl.element().str.contains(pattern)).list.all()
    _refuse(file, sequences, ~fit, f"is not {known} separated by single spaces: correct or delete the line")
    _refuse(file, sequences, ~pl.col(t.USER_ID).is_first_distinct(), "is a second line of this user: merge the two")
    return sequences.drop("line")


def _are_words(lines: pl.Series) -> bool:
    """Whether ids are words: most lines have a letter, or too many to be mistakes."""
    count = int(lines.str.contains(r"\p{L}").sum())
    return count > min(len(lines) / 2, max(_STRAYS, len(lines) / 100))


def _read_text(file: Path) -> str:
    try:
        content = file.read_bytes()
        if content.startswith(_GZIP):
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise SourceError(f"{file} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    return content.decode("utf-8-sig", errors="replace")


def _refuse(file: Path, sequences: pl.DataFrame, is_bad: pl.Expr, what: str) -> None:
    bad = sequences.with_row_index("row", offset=1).filter(is_bad)
    if bad.height:
        more = f" ({bad.height:,} such rows)" if bad.height > 1 else ""
        raise SourceError(f"{file}, row {bad['row'][0]}: '{bad['line'][0][:60]}' {what}{more}")


def _rows(sequences: pl.DataFrame, as_of: datetime) -> pl.DataFrame:
    """Rows as `features.buckets.compute_baskets` gives them."""
    items, length = pl.col("items"), pl.col("items").list.len().cast(pl.Int64)
    is_judged = length >= _JUDGED_FROM
    seen = pl.when(is_judged).then(length - _LEFT_OUT[as_of]).otherwise(length)
    target = pl.when(is_judged).then(items.list.slice(seen, 1))
    nothing = pl.int_ranges(0, seen).list.eval(pl.lit(0.0, pl.Float32))  # there are no prices
    return sequences.select(
        t.USER_ID,
        pl.lit(as_of, t.TIME).alias(t.AS_OF),
        items.list.slice(0, seen).alias(HISTORY_ITEM),
        pl.int_ranges(seen, 0, -1).cast(pl.List(pl.Float32)).alias(HISTORY_DAYS_AGO),
        pl.int_ranges(seen - 1, -1, -1).cast(pl.List(pl.UInt32)).alias(HISTORY_ORDER),
        *(nothing.alias(name) for name in (HISTORY_PRICE, HISTORY_DISCOUNT)),
        target.alias(TARGET_ITEM),
    )
