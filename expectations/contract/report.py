"""The result of a batch's validation, as numbers and sentences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import JsonValue


@dataclass(frozen=True, slots=True)
class RuleOutcome:
    """One rule on one batch: how many values (rows) it looked at, how many broke it, and the sentence if any did."""

    rule: str
    columns: tuple[str, ...]
    severity: str
    level: str
    passed: bool
    evaluated: int
    broken: int
    sentence: str
    result: dict[str, JsonValue]


@dataclass(frozen=True, slots=True)
class ValidationReport:
    """The result of a batch: rows_in = accepted + quarantined + duplicates.

    `refused` is why the whole batch was refused, empty where it was not; then all its rows count as quarantined.
    `equal_rows` counts, where there is no key, accepted rows that say what an earlier one says. `labelled` counts
    accepted rows with a target. `warnings` are sentences about everything that was found and did not refuse the batch.
    """

    suite: str
    digest: str
    rows_in: int
    accepted: int
    quarantined: int
    duplicates: int
    equal_rows: int
    labelled: int
    refused: str
    warnings: tuple[str, ...]
    outcomes: tuple[RuleOutcome, ...]

    @property
    def refusals(self) -> tuple[str, ...]:
        """The sentences of the rules that sent rows to quarantine."""
        return tuple(one.sentence for one in self.outcomes if not one.passed and one.severity == "critical")

    def document(self) -> dict[str, JsonValue]:
        """The report as JSON, for MLflow and for people's own tools."""
        return {
            "suite": self.suite,
            "suite_digest": self.digest,
            "success": not self.refused,
            "refused": self.refused,
            "rows_in": self.rows_in,
            "accepted": self.accepted,
            "quarantined": self.quarantined,
            "duplicates": self.duplicates,
            "equal_rows": self.equal_rows,
            "labelled": self.labelled,
            "warnings": list(self.warnings),
            "expectations": [
                {
                    "rule": outcome.rule,
                    "columns": list(outcome.columns),
                    "severity": outcome.severity,
                    "level": outcome.level,
                    "success": outcome.passed,
                    "evaluated": outcome.evaluated,
                    "broken": outcome.broken,
                    "sentence": outcome.sentence,
                    "result": outcome.result,
                }
                for outcome in self.outcomes
            ],
        }
