"""Validation: the suites in `expectations/` against a table, part by part, and what a person is told about it."""

from everstay.validation.page import to_markdown, write_report
from everstay.validation.report import ExpectationOutcome, ValidationReport
from everstay.validation.run import validate
from everstay.validation.suites import load_suite

__all__ = ["ExpectationOutcome", "ValidationReport", "load_suite", "to_markdown", "validate", "write_report"]
