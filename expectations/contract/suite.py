"""The suite file: GX's own JSON, read without GX, which takes seconds to import.

    {"name": "flights", "expectations": [{"type": ..., "kwargs": {...}, "severity": ..., "notes": ..., "meta": ...}]}

A pipeline's columns are those with an `expect_column_values_to_be_of_type`, in the file's order. Its `type_` is a
DuckDB type; `meta.format` says how dates are written in text or in whole numbers.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from treadle.tasks.dataset.schema import Column, ColumnKind, Schema, nearest
from treadle.tasks.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

TYPE = "expect_column_values_to_be_of_type"
NOT_NULL = "expect_column_values_to_not_be_null"
UNIQUE = "expect_column_values_to_be_unique"
UNIQUE_TOGETHER = "expect_compound_columns_to_be_unique"

_KINDS: dict[ColumnKind, tuple[str, ...]] = {
    "boolean": ("BOOLEAN", "BOOL"),
    "integer": ("BIGINT", "INTEGER", "INT", "SMALLINT", "TINYINT", "HUGEINT"),
    "number": ("DOUBLE", "FLOAT", "REAL", "DECIMAL", "NUMERIC"),
    "text": ("VARCHAR", "TEXT", "STRING", "CHAR"),
    "date": ("DATE",),
    "timestamp": ("TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ", "TIMESTAMP", "DATETIME"),
}

Severity = Literal["critical", "warning", "info"]


class Expectation(BaseModel):  # type: ignore[no-redef]  # the plugin has a `**kwargs` of its own
    """One expectation as the file has it; `critical` refuses, `warning` and `info` only report."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    type: str = Field(min_length=1)
    arguments: dict[str, JsonValue] = Field(alias="kwargs", default_factory=dict)
    severity: Severity = "critical"
    meta: dict[str, JsonValue] | None = None
    notes: str | list[str] | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it is about; none for the table as a whole."""
        if self.type.startswith("expect_table_"):
            return ()
        names: list[JsonValue] = [self.arguments.get(key) for key in ("column", "column_A", "column_B")]
        listed = self.arguments.get("column_list")
        names += listed if isinstance(listed, list) else []
        return tuple(name for name in names if isinstance(name, str))

    @property
    def mostly(self) -> float:
        """The share of values that must pass; 1 where the file does not say."""
        mostly = self.arguments.get("mostly", 1)
        return float(mostly) if isinstance(mostly, int | float) else 1.0


@dataclass(frozen=True, slots=True)
class Suite:
    """A contract: the typed columns, what is expected of them, and the sha256 of the file's canonical JSON."""

    name: str
    schema: Schema
    expectations: tuple[Expectation, ...]
    digest: str

    @property
    def required(self) -> tuple[str, ...]:
        """The columns that may not be missing throughout: those with a critical not-null expectation."""
        names = (
            e.columns[0] for e in self.expectations if e.type == NOT_NULL and e.severity == "critical" and e.columns
        )
        return tuple(dict.fromkeys(names))


def load_suite(path: Path) -> Suite:
    """Read a suite file.

    Raises ConfigError for a file that is missing, is no JSON, is no suite, or contradicts itself; whether GX knows an
    expectation shows when it is evaluated.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ConfigError(
            f"{path}: there is no such suite",
            "take it back from where you keep it, or begin another: treadle init DATA --target COLUMN --name NEW",
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error})") from error
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigError(f"{path}:{error.lineno}: not JSON ({error.msg})", "correct the line") from error
    return parse(document, str(path))


def parse(document: JsonValue, where: str = "suite") -> Suite:
    """The suite that `document` describes; `where` is named in errors (ConfigError)."""
    if not isinstance(document, dict) or not isinstance(listed := document.get("expectations"), list) or not listed:
        raise ConfigError(
            f"{where}: no suite: it has no list of expectations", "see docs of Great Expectations' suites"
        )
    expectations = tuple(_expectation(item, f"{where}: expectation {number}") for number, item in enumerate(listed, 1))
    schema = _schema(expectations, where)
    for number, expectation in enumerate(expectations, 1):
        for name in expectation.columns:
            if name not in schema.names:
                close = nearest(name, schema.names)
                raise ConfigError(
                    f"{where}: expectation {number} is about column {name!r}, which has no {TYPE}",
                    f"did you mean {close!r}?" if close else "say its type first",
                )
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return Suite(
        name=str(document.get("name", "")),
        schema=schema,
        expectations=expectations,
        digest=hashlib.sha256(canonical.encode()).hexdigest(),
    )


def _expectation(item: JsonValue, where: str) -> Expectation:
    try:
        return Expectation.model_validate(item)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{where}: {place or 'it'}: {first['msg']}", "correct it in the suite file") from error


def _schema(expectations: tuple[Expectation, ...], where: str) -> Schema:
    columns = [_column(expectation, where) for expectation in expectations if expectation.type == TYPE]
    if not columns:
        raise ConfigError(f"{where}: no column has a type", f"every column needs an {TYPE}")
    try:
        return Schema(columns=tuple(columns))
    except ValidationError as error:
        raise ConfigError(f"{where}: {error.errors()[0]['msg']}", f"one {TYPE} for each column") from error


def _column(expectation: Expectation, where: str) -> Column:
    name = str(expectation.arguments.get("type_", "")).upper().split("(")[0].strip()
    if not expectation.columns:
        raise ConfigError(f"{where}: an {TYPE} names no column")
    for kind, names in _KINDS.items():
        if name in names:
            form = (expectation.meta or {}).get("format", "")
            return Column(name=expectation.columns[0], kind=kind, format=str(form or ""))
    allowed = ", ".join(names[0] for names in _KINDS.values())
    raise ConfigError(f"{where}: column {expectation.columns[0]!r}: unknown type {name!r}", f"allowed: {allowed}")
