"""What a feature is: declared once, with name, unit, window, one line of meaning, and its value over exact sums."""

from dataclasses import dataclass

import polars as pl


@dataclass(frozen=True, eq=False)
class Feature:
    """One declared feature.

    Attributes:
        name: column, with its window.
        unit: of the value.
        window_days: days before the as-of that it looks at; None: the whole history.
        meaning: in words, with the condition under which it is null.
        value: over the columns of `user_sums`.
    """

    name: str
    unit: str
    window_days: int | None
    meaning: str
    value: pl.Expr

    @property
    def sums(self) -> list[str]:
        """The sums that it is computed from."""
        return self.value.meta.root_names()


def divide(part: pl.Expr, whole: pl.Expr | int) -> pl.Expr:
    """`part / whole`, rounded once.

    Polars divides by a constant through its reciprocal, so that a bucket of one user gives other bits than one of two.
    A divisor that is formally a column, though of equal values, is not replaced by its reciprocal.
    """
    return part / (part * 0 + whole)


def ratio(part: pl.Expr, whole: pl.Expr) -> pl.Expr:
    """Quotient, null where the divisor is zero."""
    return pl.when(whole != 0).then(divide(part, whole))


def trend(recent: pl.Expr, both: pl.Expr) -> pl.Expr:
    """A window compared with the one before it, from -1 to 1: (in the window - in the one before) / (in both)."""
    return ratio(2 * recent - both, both)


def in_window(name: str, days: int) -> pl.Expr:
    """A sum over the window of `days`."""
    return pl.col(f"{name}_{days}d")
