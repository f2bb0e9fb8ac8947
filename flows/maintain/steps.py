"""The steps of `treadle maintain`: each looks at one kind of store, decides, and takes away where it has a token."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from prefect import task
from pydantic import BaseModel, ConfigDict

from treadle.flows.context import events
from treadle.flows.context.retries import RETRY_DELAYS, transient
from treadle.flows.context.workplace import Workplace, open_workplace

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from treadle.infra.databases.ledger import Ledger
    from treadle.tasks.retention import RetentionDecision, VersionSnapshot

GONE = ".gone-"
"""Begins the name of what is half taken away, and nobody may find any more."""


class FreedPart(BaseModel):
    """Things of one kind with one reason to go (`drop`), or to stay; `bytes` of their files, 0 where they have none."""

    model_config = ConfigDict(frozen=True)

    what: str
    count: int
    bytes: int
    why: str
    drop: bool = True


class Left(BaseModel):
    """What became of MLflow's runs; of those that stay the keys, and the data versions that they refer to."""

    model_config = ConfigDict(frozen=True)

    parts: tuple[FreedPart, ...]
    works: tuple[str, ...]
    data_versions: tuple[str, ...]


@task(
    name="models and runs",
    task_run_name="models and runs",
    retries=2,
    retry_delay_seconds=RETRY_DELAYS,
    retry_condition_fn=transient,
)
def clear_models(home: str, pipeline: str, token: int | None) -> Left:
    """Models that never were champion, with their runs; pages of monitor; runs that nobody finished."""
    from treadle.infra.tracking.cleanup import Cleanup
    from treadle.tasks import retention

    place = _opened(home, pipeline, token)
    ledger, attic = place.stores.ledger, Cleanup(place.settings, pipeline)
    versions = {record.run_id: record for record in ledger.versions(pipeline)}
    runs = {run.id: run for run in attic.runs()}
    told = [
        retention.TrackedRun(
            run.id,
            run.work,
            run.monitor,
            run.began,
            versions[run.id].version if run.id in versions else None,
            run.finished,
        )
        for run in runs.values()
    ]
    standing = _standing(ledger, pipeline, attic.named() if runs else frozenset())
    decisions = retention.decide_runs(place.config.retention, told, standing, datetime.now(UTC))
    sizes, trials = {}, 0
    for number, one in enumerate(going := [one for one in decisions if one.drop]):
        run = runs[one.name]
        sizes[one.name] = attic.size(run)
        trials += len(run.trials)
        if token is not None:
            ledger.renew_lease(pipeline, "train", token)  # a long way: who stood still meanwhile goes no further
            record = versions.get(run.id)
            if record is not None:
                ledger.retire(pipeline, record.version)
            attic.delete_run(run)
            events.emit("maintain", one.kind, done=number + 1, total=len(going))
    gone = {one.name for one in going}
    retired = {*ledger.retired(pipeline), *(versions[name].version for name in gone if name in versions)}
    stay = [run for run in runs.values() if run.id not in gone]
    needed = {record.data_version for record in versions.values() if record.version not in retired}
    needed |= {run.data_version for run in stay if run.id not in versions and not run.monitor}
    parts = _parts(decisions, sizes)
    if trials:
        parts.append(FreedPart(what="runs of trials", count=trials, bytes=0, why="their training run goes"))
    works = tuple(run.work for run in stay)
    return Left(parts=tuple(parts), works=works, data_versions=tuple(sorted(needed - {""})))


def _standing(ledger: Ledger, pipeline: str, named: frozenset[str]) -> VersionSnapshot:
    """Who may not be touched; a verdict waits as long as the model sits in the chair that it is about."""
    from treadle.tasks.retention import VersionSnapshot

    versions, moves = ledger.versions(pipeline), ledger.history(pipeline)
    now = moves[0].version_to if moves else None
    declined = ledger.declined(pipeline)
    better = [one for one in versions if one.decision == "PROMOTE" and one.version not in declined]
    return VersionSnapshot(
        versions=tuple(one.version for one in versions),
        retired=frozenset(ledger.retired(pipeline)),
        champions=frozenset(move.version_to for move in moves),
        waiting=frozenset(one.version for one in better if json.loads(one.result)["against"] == now),
        named=named,
    )


@task(
    name="studies", task_run_name="studies", retries=2, retry_delay_seconds=RETRY_DELAYS, retry_condition_fn=transient
)
def clear_studies(home: str, pipeline: str, token: int | None, works: Sequence[str]) -> list[FreedPart]:
    """Studies whose runs are gone."""
    from treadle.infra.databases import sqlite
    from treadle.infra.databases import studies as studies_
    from treadle.tasks import retention

    place = _opened(home, pipeline, token)
    file = sqlite.file_of(place.settings.tuning)
    if file is not None and not file.exists():
        return []
    with place.stores.studies() as storage:
        touched = studies_.touched(storage, pipeline)
        decisions = retention.unfinished(place.config.retention, "studies", touched, works, datetime.now(UTC))
        for one in decisions:
            if one.drop and token is not None:
                studies_.delete(storage, pipeline, one.name)
    return _parts(decisions, {})


@task(name="tables", task_run_name="tables", retries=2, retry_delay_seconds=RETRY_DELAYS, retry_condition_fn=transient)
def clear_tables(home: str, pipeline: str, token: int | None, data_versions: Sequence[str]) -> list[FreedPart]:
    """Files of versions that nobody refers to; many small files become few."""
    from treadle.infra import failpoint
    from treadle.infra.stores import versions

    place = _opened(home, pipeline, token)
    stores, days = place.stores, place.config.retention.spare_days
    pairs = [versions(one) for one in data_versions]
    keep = {"rows": [rows for rows, _ in pairs], "labels": [labels for _, labels in pairs]}
    parts = []
    for name in ("rows", "labels", "quarantine", "predictions"):
        spare = stores.tables.spare(name, keep.get(name, []), days)
        for what, files, why in (
            (f"files of {name}", spare.files, f"replaced more than {days} days ago, and in no version that is needed"),
            (f"checkpoints of {name}", spare.checkpoints, "no version that is needed is read from them"),
        ):
            if files:
                parts.append(FreedPart(what=what, count=len(files), bytes=_take(files, token), why=why))
        with failpoint.around("maintain.compact"):
            fewer = stores.tables.compact(name, dry_run=token is None)
        if fewer:
            parts.append(FreedPart(what=f"small files of {name}", count=fewer, bytes=0, why="put together with others"))
    return parts


def _take(files: Sequence[Path], token: int | None) -> int:
    """The bytes of the files, and without them the disk, where there is a token."""
    from treadle.infra import failpoint

    size = 0
    for file in files:
        size += file.stat().st_size
        if token is not None:
            with failpoint.around("maintain.file"):
                file.unlink()
    return size


@task(name="unfinished work", task_run_name="unfinished work")
def clear_leftovers(home: str, pipeline: str, token: int | None) -> list[FreedPart]:
    """What trainings kept on their way that were killed, and that nobody went on with."""
    from treadle.infra import failpoint
    from treadle.tasks import retention

    place = _opened(home, pipeline, token)
    folder = place.settings.state / "runs" / pipeline
    there = sorted(folder.iterdir(), key=lambda path: not path.name.startswith(GONE)) if folder.is_dir() else []
    found = {path.name: path for path in there}
    touched = {name: _touched(path) for name, path in found.items()}
    decisions = retention.unfinished(place.config.retention, "files of unfinished runs", touched, (), datetime.now(UTC))
    sizes = {one.name: _size(found[one.name]) for one in decisions}
    for one in decisions:
        if one.drop and token is not None:
            path = found[one.name]
            aside = path.with_name(f"{GONE}{one.name.removeprefix(GONE)}")
            with failpoint.around("maintain.file"):
                path.rename(aside)  # whoever takes it up again finds all or nothing
            shutil.rmtree(aside) if aside.is_dir() else aside.unlink()
    return _parts(decisions, sizes)


@task(name="history", task_run_name="history")
def clear_history(home: str, pipeline: str, dry_run: bool) -> list[FreedPart]:
    """Runs on Prefect's pages that ended long ago."""
    from treadle.flows.project.deployment_plans import TAG, WORKS
    from treadle.infra.orchestrator import connected
    from treadle.infra.orchestrator.history import ended, forget

    place = open_workplace(home, pipeline)
    days = place.config.retention.history_days
    with connected() as client:
        flows = (*WORKS, "score a file")
        runs = ended(client, place.settings, pipeline, TAG, flows, datetime.now(UTC) - timedelta(days=days))
        if not dry_run:
            forget(client, runs)
    why = f"ended more than {days} days ago"
    return [FreedPart(what="runs on Prefect's pages", count=len(runs), bytes=0, why=why)] if runs else []


def _opened(home: str, pipeline: str, token: int | None) -> Workplace:
    """The pipeline; raises Fenced where another process has its lease by now."""
    place = open_workplace(home, pipeline)
    if token is not None:
        place.stores.ledger.renew_lease(pipeline, "train", token)
    return place


def _parts(decisions: Iterable[RetentionDecision], sizes: dict[str, int]) -> list[FreedPart]:
    """Decisions added up by what, fate and reason."""
    counts: Counter[tuple[str, bool, str]] = Counter()
    volumes: Counter[tuple[str, bool, str]] = Counter()
    for one in decisions:
        counts[one.kind, one.drop, one.why] += 1
        volumes[one.kind, one.drop, one.why] += sizes.get(one.name, 0)
    return [
        FreedPart(what=what, count=count, bytes=volumes[what, drop, why], why=why, drop=drop)
        for (what, drop, why), count in counts.items()
    ]


def _touched(path: Path) -> datetime:
    """When something in a folder was changed last."""
    moments = [one.stat().st_mtime for one in (path, *path.rglob("*"))]
    return datetime.fromtimestamp(max(moments), UTC)


def _size(path: Path) -> int:
    return sum(one.stat().st_size for one in (path, *path.rglob("*")) if one.is_file())
