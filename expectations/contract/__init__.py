"""What data must look like: a suite file, and a batch taken through it by Great Expectations on DuckDB."""

from __future__ import annotations

from treadle.expectations.contract.labels import LabelValidation, validate_labels
from treadle.expectations.contract.report import Outcome, ValidationReport
from treadle.expectations.contract.staging import reopen
from treadle.expectations.contract.suite import Expectation, Suite, load, parse
from treadle.expectations.contract.validation import Validation, answer, validate

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
