"""`treadle check`: do config, suite and data fit together? In about a second, without importing Great Expectations."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict

from treadle.tasks.commands import advice_line
from treadle.tasks.errors import ConfigError, ServiceError, UnreadableFile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from treadle.expectations.contract import Suite
    from treadle.infra.settings import Settings
    from treadle.tasks.config.spec import PipelineConfig
    from treadle.tasks.dataset import RawTable, Schema


class CheckFinding(BaseModel):
    """Something that does not fit (`problem`) or may be unintended (`warning`), and the fix."""

    model_config = ConfigDict(frozen=True)

    level: Literal["problem", "warning"]
    where: str
    message: str
    fix: str = ""


class CheckResult(BaseModel):
    """What was compared, and the findings; without a problem `ingest` and `train` can start."""

    model_config = ConfigDict(frozen=True)

    pipeline: str
    config: str
    suite: str
    columns: int
    expectations: int
    files: int
    looked_at: str
    findings: tuple[CheckFinding, ...]

    def exit_code(self) -> int:
        """2 where something does not fit, else 0."""
        return 2 if any(finding.level == "problem" for finding in self.findings) else 0


def run_check(settings: Settings, config: PipelineConfig) -> CheckResult:
    """Compare the config with the suite and the champion, and the suite with the newest file of the source.

    A suite that cannot be read is a finding, not an error.
    """
    from treadle.expectations.contract import load_suite
    from treadle.infra import sources
    from treadle.tasks.config.columns import misfits

    path = settings.home / "expectations" / f"{config.name}.json"
    files = sources.find_files(settings.home, config.data.source)
    findings: list[CheckFinding] = []
    suite: Suite | None = None
    try:
        suite = load_suite(path)
    except ConfigError as error:
        findings.append(
            CheckFinding(
                level="problem",
                where=path.name,
                message=error.message,
                fix=advice_line(error.advice, config.name),
            )
        )
    newest = max(files, key=lambda file: file.stat().st_mtime, default=None)
    if suite is not None:
        findings += [_problem(*misfit) for misfit in misfits(config, suite.schema)]
        findings += _loss(settings, config)
        if not any(finding.where == "data.positive" for finding in findings):
            findings += _classes(config, suite)
        findings += _weights(config, suite)
        findings += _suite_and_data(settings, config, suite.schema, newest)
    findings += _champion(settings, config)
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


def _champion(settings: Settings, config: PipelineConfig) -> Iterator[CheckFinding]:
    """A champion that uses a column which the config forbids or drops; nothing where the ledger does not answer."""
    from treadle.flows.champion.forbidden import champion_use
    from treadle.infra import stores

    use = None
    with suppress(ServiceError):
        use = champion_use(stores.open(settings, config.name), config)
    if use is not None:
        where = "data.forbid" if use.forbidden else "data.drop"
        fix = advice_line(use.advice(), config.name)
        yield CheckFinding(level="warning", where=where, message=use.sentence(), fix=fix)


def _loss(settings: Settings, config: PipelineConfig) -> Iterator[CheckFinding]:
    """A custom objective whose file or function is missing."""
    from treadle.flows.context.loss_module import load_loss

    try:
        load_loss(settings.home, config.model.objective)
    except ConfigError as error:
        yield _problem(error.key, error.message, error.fix)


def _problem(where: str, message: str, fix: str) -> CheckFinding:
    return CheckFinding(level="problem", where=where, message=message, fix=fix)


def _classes(config: PipelineConfig, suite: Suite) -> Iterator[CheckFinding]:
    """Where the suite knows the target's classes, the positive one must be among them."""
    positive = config.data.positive
    for expectation in suite.expectations:
        classes = expectation.arguments.get("value_set")
        about = expectation.type == "expect_column_values_to_be_in_set" and expectation.columns == (config.data.target,)
        if about and isinstance(classes, list) and positive is not None and positive not in classes:
            shown = ", ".join(repr(one) for one in classes)
            yield _problem(
                "data.positive",
                f"the suite does not allow {positive!r} in {config.data.target!r}",
                f"its classes: {shown}",
            )


def _weights(config: PipelineConfig, suite: Suite) -> Iterator[CheckFinding]:
    """A suite that lets rows in whose weight would end training."""
    weight = config.data.weight
    if weight not in suite.schema.names:
        return
    of_every_row = [
        one for one in suite.expectations if one.columns == (weight,) and one.severity == "critical" and one.mostly == 1
    ]
    least = [one.arguments.get("min_value") for one in of_every_row if one.type.endswith("_values_to_be_between")]
    missing = {
        "expect_column_values_to_not_be_null": any(one.type.endswith("_to_not_be_null") for one in of_every_row),
        "expect_column_values_to_be_between, min_value 0": any(
            isinstance(value, int | float) and value >= 0 for value in least
        ),
    }
    if lacking := [name for name, there in missing.items() if not there]:
        yield CheckFinding(
            level="warning",
            where="data.weight",
            message=f"the suite lets in rows whose {weight!r} is no weight, and training ends on such a row",
            fix=f"add to the suite, critical: {'; '.join(lacking)}",
        )


def _suite_and_data(
    settings: Settings, config: PipelineConfig, schema: Schema, newest: Path | None
) -> Iterator[CheckFinding]:
    """The newest file must be readable and have the suite's columns (the target may be absent: rows to be scored)."""
    from treadle.tasks.dataset import nearest

    if newest is None:
        source = config.data.source if isinstance(config.data.source, str) else ", ".join(config.data.source)
        yield CheckFinding(
            level="warning", where="data.source", message=f"no file waits in {source}", fix="put a table there"
        )
        return
    try:
        columns = _columns(settings, newest)
    except UnreadableFile as error:
        yield _problem(newest.name, error.reason, advice_line(error.advice, config.name))
        return
    for name in schema.names:
        if name not in columns and name != config.data.target:
            close = nearest(name, [column for column in columns if column not in schema.names])
            fix = f"rename {close!r} there?" if close else "remove it from the suite, or add it to the file"
            yield _problem(newest.name, f"has no column {name!r}", fix)
    extra = [column for column in columns if column not in schema.names]
    if extra:
        yield CheckFinding(
            level="warning",
            where=newest.name,
            message=f"columns that are not in the suite are left out: {', '.join(extra)}",
            fix="give them a type in the suite to include them",
        )


def _columns(settings: Settings, path: Path) -> tuple[str, ...]:
    """The file's column names; raises DataError where it cannot be read."""
    from treadle.infra import sources, tables

    with tables.connect(settings.state / "duckdb") as con:
        raw: RawTable = sources.open_raw(con, path, "check")
        return raw.names
