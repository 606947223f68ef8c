"""Public sequence files: a line is a user, then the user's items from the first to the last, in whole numbers.

They are judged by leave-one-out: the last item is the test's target, the one before it the validation's. Lines tell an
order but no time, so each item is an order of its own and one day older than the one after it.
"""

from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from everstay import tables as t
from everstay.errors import SourceError
from everstay.features.sequences import (
    HISTORY_DAYS_AGO,
    HISTORY_ITEM,
    HISTORY_ORDER,
    HISTORY_QUANTITY,
    TARGET_ITEM,
)
from everstay.recommender.rows import BasketRows

VALIDATION, TEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2000, 1, 2, tzinfo=UTC)
"""As-ofs that stand for the places of the targets."""

_LEFT_OUT = {VALIDATION: 2, TEST: 1}
_JUDGED_FROM = 3  # items: one to learn from, two targets


def read_sequence_rows(file: Path) -> BasketRows:
    """Read a sequence file as histories and next items; users with fewer than three items are learned from only.

    Args:
        file: `user item item ...` per line, separated by single blanks; every user once.

    Raises:
        SourceError: the file is missing or empty, or a line is not like that; names file and row.
    """
    sequences = _read_lines(file)
    return BasketRows(_rows(sequences, VALIDATION), _rows(sequences, TEST))


def _read_lines(file: Path) -> pl.DataFrame:
    """`USER_ID` and `items` (list of text), in the file's order."""
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise SourceError(f"{file} cannot be read: {error.strerror}") from None
    lines = pl.DataFrame({"line": text.removesuffix("\n").split("\n")})
    words = pl.col("line").str.strip_suffix("\r").str.split(" ")
    sequences = lines.select(words.list.first().alias(t.USER_ID), words.list.slice(1).alias("items"), "line")
    _refuse(
        file, sequences, pl.col("items").list.len() == 0, "has no item: write a user, then items, one blank between"
    )
    is_number = pl.element().str.contains(r"^[0-9]+$")
    numbers = pl.concat_list(t.USER_ID, "items").list.eval(is_number).list.all()
    _refuse(file, sequences, ~numbers, "is not whole numbers with one blank between: correct or delete the line")
    _refuse(file, sequences, ~pl.col(t.USER_ID).is_first_distinct(), "is a second line of its user: join the two")
    return sequences.drop("line")


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
    return sequences.select(
        t.USER_ID,
        pl.lit(as_of, t.TIME).alias(t.AS_OF),
        items.list.slice(0, seen).alias(HISTORY_ITEM),
        pl.int_ranges(seen, 0, -1).cast(pl.List(pl.Float32)).alias(HISTORY_DAYS_AGO),
        pl.int_ranges(seen - 1, -1, -1).cast(pl.List(pl.UInt32)).alias(HISTORY_ORDER),
        pl.int_ranges(0, seen).list.eval(pl.lit(1.0, pl.Float32)).alias(HISTORY_QUANTITY),
        target.alias(TARGET_ITEM),
    )
