"""What validation found: one outcome per expectation, one report per table."""

from dataclasses import dataclass
from pathlib import Path

from everstay.errors import DataRejected
from everstay.validation.suites import CRITICAL, WARNING


@dataclass(frozen=True)
class ExpectationOutcome:
    """One expectation over the whole table.

    Attributes:
        expectation: in plain words.
        column: what it is about; several are joined by a comma.
        severity: `critical` or `warning`.
        success: whether enough rows are as expected.
        rows: those it applies to; for an aggregate, all rows of the table.
        unexpected_rows: those that are not as expected; 0 for an aggregate.
        share: unexpected rows / rows; 0 without rows.
        examples: a few unexpected rows in words; for an aggregate, its value and what is behind it.
        advice: what to do when it fails; may be empty.
    """

    expectation: str
    column: str
    severity: str
    success: bool
    rows: int
    unexpected_rows: int
    share: float
    examples: tuple[str, ...]
    advice: str = ""

    def describe(self) -> str:
        """One line: what was expected, how many rows are not so, examples, what to do."""
        count = f"{self.unexpected_rows:,} of {self.rows:,} rows ({self.share:.2%})" if self.unexpected_rows else ""
        found = "; ".join(filter(None, (count, *self.examples)))
        told = f"{self.column}: {self.expectation} ({found})" if found else f"{self.column}: {self.expectation}"
        return told if self.success or not self.advice else f"{told}; {self.advice}"


@dataclass(frozen=True)
class ValidationReport:
    """All outcomes of one table.

    Attributes:
        table: name.
        rows: of the whole table.
        outcomes: in the order of the suite.
    """

    table: str
    rows: int
    outcomes: tuple[ExpectationOutcome, ...]

    @property
    def failures(self) -> tuple[ExpectationOutcome, ...]:
        """Failed expectations of severity critical."""
        return tuple(one for one in self.outcomes if not one.success and one.severity == CRITICAL)

    @property
    def warnings(self) -> tuple[ExpectationOutcome, ...]:
        """Failed expectations of severity warning."""
        return tuple(one for one in self.outcomes if not one.success and one.severity == WARNING)

    def raise_for_failures(self, written_to: Path | None = None) -> None:
        """Stop here when a critical expectation failed.

        Args:
            written_to: the page of `write_report`, named in the message.

        Raises:
            DataRejected: names each failed expectation, how many rows, and examples.
        """
        if not self.failures:
            return
        lines = "\n".join(f"  {failure.describe()}" for failure in self.failures)
        place = f"\nThe whole report: {written_to}" if written_to else ""
        summary = f"table {self.table} ({self.rows:,} rows) fails {len(self.failures)} critical expectation(s)"
        raise DataRejected(f"{summary}:\n{lines}{place}")
