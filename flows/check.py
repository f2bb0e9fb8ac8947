"""`treadle check`: do config, suite and data fit together? In about a second, without importing Great Expectations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict

from tasks.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from expectations.contract import Suite
    from infra.settings import Settings
    from tasks.config import PipelineConfig
    from tasks.dataset import Kind, RawTable, Schema

TEMPORAL: tuple[Kind, ...] = ("date", "timestamp")
NUMERIC: tuple[Kind, ...] = ("integer", "number")


class Finding(BaseModel):
    """Something that does not fit (`problem`), or that may surprise (`warning`), and the way out."""

    model_config = ConfigDict(frozen=True)

    level: Literal["problem", "warning"]
    where: str
    message: str
    way_out: str = ""


class CheckResult(BaseModel):
    """What was compared, and what was found; no problem means that `ingest` and `train` may start."""

    model_config = ConfigDict(frozen=True)

    pipeline: str
    config: str
    suite: str
    columns: int
    expectations: int
    files: int
    looked_at: str
    findings: tuple[Finding, ...]

    def exit_code(self) -> int:
        """2 where something does not fit, else 0."""
        return 2 if any(finding.level == "problem" for finding in self.findings) else 0


def run(settings: Settings, config: PipelineConfig) -> CheckResult:
    """Compare the config with the suite, and the suite with the newest file of the source.

    A suite that cannot be read is a finding, not an error.
    """
    from expectations.contract import load
    from infra import sources

    path = settings.home / "expectations" / f"{config.name}.json"
    files = sources.find(settings.home, config.data.source)
    findings: list[Finding] = []
    suite: Suite | None = None
    try:
        suite = load(path)
    except DataError as error:
        findings.append(Finding(level="problem", where=path.name, message=error.message, way_out=error.way_out))
    newest = max(files, key=lambda file: file.stat().st_mtime, default=None)
    if suite is not None:
        findings += _config_and_suite(config, suite.schema)
        findings += _suite_and_data(settings, config, suite.schema, newest)
    return CheckResult(
        pipeline=config.name,
        config=str(settings.home / "pipelines" / f"{config.name}.toml"),
        suite=str(path),
        columns=len(suite.schema.columns) if suite else 0,
        expectations=len(suite.expectations) if suite else 0,
        files=len(files),
        looked_at=newest.name if newest else "",
        findings=tuple(findings),
    )


def _problem(where: str, message: str, way_out: str) -> Finding:
    return Finding(level="problem", where=where, message=message, way_out=way_out)


def _config_and_suite(config: PipelineConfig, schema: Schema) -> Iterator[Finding]:
    """Every column that the config names must be in the suite, of a kind that can play its part."""
    from tasks.dataset import nearest

    data = config.data
    roles = [("data.target", data.target), ("data.time", data.time), ("split.group", config.split.group)]
    roles += [("data.key", name) for name in data.key]
    roles += [("data.categories", name) for name in data.categories]
    roles += [("data.drop", name) for name in data.drop]
    roles += [("model.monotone", name) for name in config.model.monotone]
    roles += [("gate.slices", name) for name in config.gate.slices]
    wanted: dict[str, tuple[Kind, ...]] = {
        "data.time": (*TEMPORAL, *NUMERIC),
        "data.categories": ("integer", "text"),
        "model.monotone": (*NUMERIC, *TEMPORAL, "boolean"),
    }
    if data.task == "regression":
        wanted["data.target"] = NUMERIC
    for key, name in roles:
        if not name:
            continue
        if name not in schema.names:
            close = nearest(name, schema.names)
            way_out = f"did you mean {close!r}?" if close else f"its columns: {', '.join(schema.names)}"
            yield _problem(key, f"the suite has no column {name!r}", way_out)
        elif key in wanted and schema.column(name).kind not in wanted[key]:
            kind = schema.column(name).kind
            yield _problem(key, f"column {name!r} holds {kind}", f"allowed here: {', '.join(wanted[key])}")
    yield from _positive(config, schema)


def _positive(config: PipelineConfig, schema: Schema) -> Iterator[Finding]:
    """The positive class must be written as the target's kind has it: true is not 'true', nor 1."""
    data = config.data
    if data.positive is None or data.target not in schema.names:
        return
    fitting = {"boolean": bool, "text": str, "integer": int, "number": int | float}
    kind = schema.column(data.target).kind
    fits = isinstance(data.positive, fitting.get(kind, object))
    if not fits or (kind in NUMERIC and isinstance(data.positive, bool)):
        yield _problem(
            "data.positive", f"{data.positive!r} is no {kind}, as {data.target!r} is", f"write it as a {kind} value"
        )


def _suite_and_data(
    settings: Settings, config: PipelineConfig, schema: Schema, newest: Path | None
) -> Iterator[Finding]:
    """The newest file must be readable and have the suite's columns (the target may be absent: rows to be scored)."""
    from tasks.dataset import nearest

    if newest is None:
        told = config.data.source if isinstance(config.data.source, str) else ", ".join(config.data.source)
        yield Finding(
            level="warning", where="data.source", message=f"no file waits in {told}", way_out="put a table there"
        )
        return
    try:
        columns = _columns(settings, newest)
    except DataError as error:
        yield _problem(newest.name, error.message, error.way_out)
        return
    for name in schema.names:
        if name not in columns and name != config.data.target:
            close = nearest(name, [column for column in columns if column not in schema.names])
            way_out = f"rename {close!r} there?" if close else "take it out of the suite, or send it"
            yield _problem(newest.name, f"has no column {name!r}", way_out)
    extra = [column for column in columns if column not in schema.names]
    if extra:
        yield Finding(
            level="warning",
            where=newest.name,
            message=f"columns that the suite does not know are left out: {', '.join(extra)}",
            way_out="give them a type in the suite, if they matter",
        )


def _columns(settings: Settings, path: Path) -> tuple[str, ...]:
    """The file's column names; raises DataError where it cannot be read."""
    from infra import sources, tables

    with tables.connect(settings.state / "duckdb") as con:
        raw: RawTable = sources.open_raw(con, path, "check")
        return raw.names
