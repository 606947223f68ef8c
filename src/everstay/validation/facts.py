"""Boolean facts about rows that define classes; each is computed once, however many expectations share it."""

from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl

from everstay.validation.batches import as_text

FEW_WORDS = 16
"""Up to this many comparisons, which are of codes or shared, are faster than a look-up of texts."""

SMALL_NUMBERS = (pl.Int8, pl.Int16, pl.Int32, pl.UInt8, pl.UInt16, pl.UInt32, pl.Float32, pl.Float64)
"""Types whose values keep their order as 64-bit floats, which they become in a batch with nulls."""


class Facts:
    """Facts asked for so far, by name; a fact is a Boolean column of `compute`, null where a value is missing."""

    def __init__(self, schema: Mapping[str, pl.DataType]) -> None:
        self.schema = schema
        self._named: dict[str, pl.Expr] = {}

    def holds_text(self, column: str) -> bool:
        """Whether a column holds texts, coded or not."""
        return isinstance(self.schema[column], pl.String | pl.Categorical | pl.Enum)

    def compute(self, frame: pl.DataFrame) -> pl.DataFrame:
        """All facts of all rows."""
        return frame.lazy().select(**self._named).collect()

    def is_missing(self, column: str) -> pl.Expr:
        """Whether a value is null or NaN; never null itself."""
        value = pl.col(column)
        missing = value.is_null()
        if self.schema[column].is_float():
            missing = missing | value.is_nan().fill_null(False)
        return self._name(f"{column} is missing", missing)

    def equals(self, column: str, word: str) -> pl.Expr:
        """Whether a text is this one; never null."""
        return self._name(f"{column} is {word}", pl.col(column).eq_missing(pl.lit(word)))

    def is_in(self, column: str, words: Iterable[str]) -> pl.Expr:
        """Whether a text, or a list joined to one, is among these."""
        words = sorted(words)
        if isinstance(self.schema[column], pl.Categorical) and 0 < len(words) <= FEW_WORDS:
            fact = pl.any_horizontal(pl.col(column) == word for word in words)  # of codes; no text is made of them
        else:
            value = as_text(column) if isinstance(self.schema[column], pl.List) else pl.col(column).cast(pl.String)
            fact = value.is_in(words)
        return self._name(f"{column} in {words}", fact)

    def compare(self, column: str, sign: str, other: Any) -> pl.Expr:
        """Whether a value is `<`, `==` or `>` a number, a time, or another column of its type (an expression)."""
        value = pl.col(column)
        if self.schema[column].is_numeric():
            value = value.cast(pl.Float64)
        right = other if isinstance(other, pl.Expr) else pl.lit(other)
        holds = {"<": value < right, "==": value == right, ">": value > right}[sign]
        return self._name(f"{column} {sign} {other}", holds)

    def _name(self, name: str, fact: pl.Expr) -> pl.Expr:
        self._named.setdefault(name, fact)
        return pl.col(name)
