"""What data must look like: a suite file, and a batch taken through it by Great Expectations on DuckDB."""

from __future__ import annotations

from expectations.contract.labels import LabelValidation, validate_labels
from expectations.contract.report import Outcome, ValidationReport
from expectations.contract.staging import reopen
from expectations.contract.suite import Expectation, Suite, load, parse
from expectations.contract.validation import Validation, answer, validate

__all__ = [
    "Expectation",
    "LabelValidation",
    "Outcome",
    "Suite",
    "Validation",
    "ValidationReport",
    "answer",
    "load",
    "parse",
    "reopen",
    "validate",
    "validate_labels",
]
