"""`treadle init DATA --target COLUMN`: write a config and a starter suite for a table, for a person to review.

Reads all rows, decides, writes its reasons into the files, and never overwrites a file.
"""

from __future__ import annotations

import json
import tomllib
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from treadle.flows.context import events
from treadle.tasks.config.spec import MISSING, PipelineConfig, schema_text
from treadle.tasks.errors import DataError, TargetError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from duckdb import DuckDBPyConnection

    from treadle.infra.settings import Settings
    from treadle.tasks.dataset import RawTable
    from treadle.tasks.dataset.profile import Profile
    from treadle.tasks.dataset.proposal import Proposal

INBOX = "data/inbox"
ASK = "ask when it is written; if that is after the prediction, put it into drop"


class Dropped(BaseModel):
    """A column that the model may not see, and why."""

    model_config = ConfigDict(frozen=True)

    column: str
    why: str


class InitResult(BaseModel):
    """The files that were written, and the decisions; the reasons are in the files. `telling`: the feature columns."""

    model_config = ConfigDict(frozen=True)

    pipeline: str
    home: str
    config: str
    suite: str
    inbox: str
    rows: int
    columns: int
    telling: tuple[str, ...]
    expectations: int
    target: str
    task: str
    positive: str | bool | int | float | None
    key: tuple[str, ...]
    time: str
    order: str
    split: str
    group: str
    categories: tuple[str, ...]
    drop: tuple[Dropped, ...]
    remarks: tuple[str, ...]

    def exit_code(self) -> int:
        """Always 0: errors are raised."""
        return 0


def run_init(
    settings: Settings,
    data: Path,
    target: str,
    *,
    name: str = "",
    time: str = "",
    key: Sequence[str] = (),
    task: str | None = None,
) -> InitResult:
    """Write config and suite of a new pipeline for the table `data` (file, folder or glob) in the settings' home.

    Raises UsageError where the pipeline exists already or an option does not fit the table, TargetError for a target
    that cannot be learned, DataError for a table that cannot be read.
    """
    from treadle.expectations import starter
    from treadle.expectations.contract import parse
    from treadle.flows.project import init_sample
    from treadle.infra import tables
    from treadle.tasks.config.draft import draft
    from treadle.tasks.dataset.chronology import remark_time_telling, take_file_order
    from treadle.tasks.dataset.infer import infer
    from treadle.tasks.dataset.profile import profile
    from treadle.tasks.dataset.proposal import Wanted

    paths = _pipeline_paths(settings.home, data, name)
    files = _files(data)
    with _scratch(settings.state) as folder, tables.connect(folder) as con:
        raw = _open(con, files)
        events.emit("init", f"looking at {_shown(files)}")
        table = profile(con, raw, MISSING)
        if table.rows == 0:
            raise DataError(f"{_shown(files)} has a header but no rows", "use a table with rows")
        proposal = infer(con, table, target, Wanted(task=task or "", key=tuple(key), time=time))
        if not proposal.informative_columns:
            reasons = (
                "; ".join(f"{column}: {why}" for column, why in proposal.drop.items()) or "the rest only names rows"
            )
            raise TargetError(f"no column can predict {target!r} ({reasons})", "use a table with more columns")
        late = f"{INBOX}/{paths.labels.name}/*"
        text = draft(paths.name, _shown(files), paths.sources(data), table, proposal, late)
        sample = init_sample.take_sample(con, table, proposal, _config(text))
    if sample is not None:
        take_file_order(proposal, init_sample.order_of(sample, table, proposal), sample.part.y)
        remark_time_telling(proposal, init_sample.time_telling(sample, proposal))
        suspects = init_sample.suspects_of(sample)
        proposal.remarks += [f"{one.column}: {one.suspicion} ({one.evidence}); {ASK}" for one in suspects]
        text = draft(paths.name, _shown(files), paths.sources(data), table, proposal, late)
    _config(text)
    suite = starter.starter(paths.name, table, proposal)
    parse(suite, str(paths.suite))
    paths.write(text, starter.suite_text(suite))
    return _result(paths, table, proposal, len(parse(suite).expectations))


def _config(text: str) -> PipelineConfig:
    return PipelineConfig.model_validate_json(json.dumps(tomllib.loads(text)))


class PipelinePaths:
    """The paths of a pipeline's files in a home."""

    def __init__(self, home: Path, name: str) -> None:
        self.home, self.name = home, name
        self.config = home / "pipelines" / f"{name}.toml"
        self.suite = home / "expectations" / f"{name}.json"
        self.inbox = home / INBOX / name
        self.labels = home / INBOX / f"{name}_labels"

    def sources(self, data: Path) -> list[str]:
        """The value of `[data].source`: the table, relative to the home where it is inside, and the inbox."""
        inbox = f"{INBOX}/{self.name}/*"
        absolute = Path(data).expanduser().absolute()
        home = self.home.resolve()
        table = absolute.resolve() if absolute.exists() else absolute
        if table.is_relative_to(home / INBOX / self.name):
            return [inbox]
        return [table.relative_to(home).as_posix() if table.is_relative_to(home) else str(table), inbox]

    def write(self, config: str, suite: str) -> None:
        """Create inboxes, schema and suite, then the config: a kill before it leaves no pipeline behind.

        An existing suite of the same text was left by a kill. Raises UsageError where its text differs, or a file
        cannot be written.
        """
        from treadle.infra import failpoint
        from treadle.infra.files.atomic import write_atomically

        if self.suite.exists() and self.suite.read_text(encoding="utf-8") != suite:
            raise _taken(self.suite, self.name)
        try:
            self.inbox.mkdir(parents=True, exist_ok=True)
            if "\n[labels]\n" in config:
                self.labels.mkdir(exist_ok=True)
            with failpoint.around("init.schema"):
                write_atomically(self.config.with_name("pipeline.schema.json"), schema_text())
            with failpoint.around("init.suite"):
                write_atomically(self.suite, suite)
            with failpoint.around("init.config"):
                write_atomically(self.config, config)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise UsageError(f"{error.filename or self.home} cannot be written: {reason}", "check its rights") from None


def _pipeline_paths(home: Path, data: Path, name: str) -> PipelinePaths:
    """The new pipeline's paths; raises UsageError where the name is invalid or the pipeline exists."""
    from treadle.tasks.dataset import names

    if name and names.safe(name) != name:
        raise UsageError(
            f"--name {name!r}: a name has lower-case letters, digits, - and _", f"try --name {names.safe(name)}"
        )
    from_data = data.parent.name if any(mark in data.name for mark in "*?[") else data.name.lstrip(".").split(".")[0]
    paths = PipelinePaths(home, name or names.safe(from_data or data.resolve().name))
    if paths.config.exists():
        raise _taken(paths.config, paths.name)
    return paths


def _taken(path: Path, name: str) -> UsageError:
    return UsageError(
        f"{path} exists already; init never overwrites",
        f"choose another --name, move it away, or continue with it: treadle train -p {name}",
    )


def _files(data: Path) -> list[Path]:
    from treadle.infra import sources

    files = sources.find_files(Path.cwd(), "", [data]) if data.exists() else sources.find_files(Path.cwd(), str(data))
    if not files:
        what = "holds no CSV or Parquet file" if data.is_dir() else "there is no such file or folder"
        raise UsageError(f"{data}: {what}", "name a table: treadle init DATA --target COLUMN")
    return files


def _open(con: DuckDBPyConnection, files: Sequence[Path]) -> RawTable:
    """The files as one table; columns that some of them lack are empty there."""
    from treadle.infra import sources
    from treadle.tasks.dataset import RawTable, quote

    raws = [sources.open_raw(con, path, f"init{number}") for number, path in enumerate(files)]
    if len(raws) == 1:
        return raws[0]
    parts, start = [], 0
    for raw in raws:
        parts.append(f"SELECT * REPLACE (_ordinal + {start} AS _ordinal) FROM {quote(raw.view)}")
        start += int(con.execute(f"SELECT count(*) FROM {quote(raw.view)}").fetchone()[0])
    con.execute(f"CREATE OR REPLACE VIEW init_all AS {' UNION ALL BY NAME '.join(parts)}")
    described = con.execute("DESCRIBE init_all").fetchall()
    columns = tuple((str(row[0]), str(row[1])) for row in described if row[0] != "_ordinal")
    return RawTable(view="init_all", columns=columns, batch_id="init")


@contextmanager
def _scratch(state: Path) -> Iterator[Path]:
    """A folder where DuckDB may spill: in the home's state, or a temporary one where the home has no state yet."""
    if state.is_dir():
        yield state / "duckdb"
        return
    with TemporaryDirectory(prefix="treadle-") as folder:
        yield Path(folder)


def _shown(files: Sequence[Path]) -> str:
    return files[0].name if len(files) == 1 else f"{len(files)} files ({files[0].name} to {files[-1].name})"


def _result(paths: PipelinePaths, table: Profile, proposal: Proposal, expectations: int) -> InitResult:
    goal = proposal.aim
    return InitResult(
        pipeline=paths.name,
        home=str(paths.home),
        config=str(paths.config),
        suite=str(paths.suite),
        inbox=str(paths.inbox),
        rows=table.rows,
        telling=proposal.informative_columns,
        columns=len(table.columns),
        expectations=expectations,
        target=goal.target,
        task=goal.task,
        positive=goal.positive,
        key=proposal.key,
        time=proposal.time,
        order=proposal.order,
        split=proposal.strategy,
        group=proposal.group,
        categories=tuple(proposal.categories),
        drop=tuple(Dropped(column=column, why=why) for column, why in proposal.drop.items()),
        remarks=tuple(proposal.remarks),
    )
