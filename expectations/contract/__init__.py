"""What data must look like: a suite file, and a batch taken through it by Great Expectations on DuckDB."""

from __future__ import annotations

from treadle.expectations.contract.labels import LabelValidation, validate_labels
from treadle.expectations.contract.report import RuleOutcome, ValidationReport
from treadle.expectations.contract.staging import reopen
from treadle.expectations.contract.suite import Expectation, Suite, load_suite, parse
from treadle.expectations.contract.validation import Validation, rows_with_warnings, validate

__all__ = [
    "Expectation",
    "LabelValidation",
    "RuleOutcome",
    "Suite",
    "Validation",
    "ValidationReport",
    "load_suite",
    "parse",
    "reopen",
    "rows_with_warnings",
    "validate",
    "validate_labels",
]
