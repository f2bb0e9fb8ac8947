"""The steps of `treadle maintain`: each reads one kind of store, decides, and deletes where it has a token."""

from __future__ import annotations

import shutil
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from prefect import task
from pydantic import BaseModel, ConfigDict

from treadle.flows.champion.pending import waits_for_person
from treadle.flows.context import events
from treadle.flows.context.retries import retried_task
from treadle.flows.context.workplace import Workplace, open_workplace

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from treadle.infra.databases.ledger import Ledger
    from treadle.tasks.retention import RetentionDecision, VersionSnapshot

GONE = ".gone-"
"""Prefix of the name of a folder that is being deleted, under which no run looks for it."""


class FreedPart(BaseModel):
    """Things of one kind with one reason to delete (`drop`) or keep them; `bytes` of their files, 0 without files."""

    model_config = ConfigDict(frozen=True)

    what: str
    count: int
    bytes: int
    why: str
    drop: bool = True


class RemainingRuns(BaseModel):
    """What was deleted and kept of MLflow's runs; `works` and `data_versions` are those of the runs that remain."""

    model_config = ConfigDict(frozen=True)

    parts: tuple[FreedPart, ...]
    works: tuple[str, ...]
    data_versions: tuple[str, ...]


@retried_task("models and runs")
def clear_models(home: str, pipeline: str, token: int | None) -> RemainingRuns:
    """Delete models that never were champion, with their runs; old pages of monitor; unfinished runs."""
    from treadle.infra.tracking.cleanup import Cleanup
    from treadle.tasks import retention

    place = _opened(home, pipeline, token)
    ledger, cleanup = place.stores.ledger, Cleanup(place.settings, pipeline)
    versions = {record.run_id: record for record in ledger.versions(pipeline)}
    runs = {run.id: run for run in cleanup.runs()}
    tracked = [
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
    snapshot = _version_snapshot(ledger, pipeline, cleanup.named() if runs else frozenset())
    decisions = retention.decide_runs(place.config.retention, tracked, snapshot, datetime.now(UTC))
    sizes, trials = {}, 0
    for number, decision in enumerate(to_delete := [decision for decision in decisions if decision.drop]):
        run = runs[decision.name]
        sizes[decision.name] = cleanup.size(run)
        trials += len(run.trials)
        if token is not None:
            ledger.renew_lease(pipeline, "train", token)  # raises Fenced where the lease was taken over
            record = versions.get(run.id)
            if record is not None:
                ledger.retire(pipeline, record.version)
            cleanup.delete_run(run)
            events.emit("maintain", decision.kind, done=number + 1, total=len(to_delete))
    deleted = {decision.name for decision in to_delete}
    retired = {*ledger.retired(pipeline), *(versions[name].version for name in deleted if name in versions)}
    remaining = [run for run in runs.values() if run.id not in deleted]
    needed = {record.data_version for record in versions.values() if record.version not in retired}
    needed |= {run.data_version for run in remaining if run.id not in versions and not run.monitor}
    parts = _parts(decisions, sizes)
    if trials:
        parts.append(FreedPart(what="runs of trials", count=trials, bytes=0, why="their training run goes"))
    works = tuple(run.work for run in remaining)
    return RemainingRuns(parts=tuple(parts), works=works, data_versions=tuple(sorted(needed - {""})))


def _version_snapshot(ledger: Ledger, pipeline: str, named: frozenset[str]) -> VersionSnapshot:
    """The versions by what protects them; one that was found better is pending until the champion changes."""
    from treadle.tasks.retention import VersionSnapshot

    versions, moves = ledger.versions(pipeline), ledger.history(pipeline)
    champion = moves[0].version_to if moves else None
    declined = ledger.declined(pipeline)
    waiting = [one.version for one in versions if one.version not in declined and waits_for_person(one, champion)]
    return VersionSnapshot(
        versions=tuple(record.version for record in versions),
        retired=frozenset(ledger.retired(pipeline)),
        champions=frozenset(move.version_to for move in moves),
        waiting=frozenset(waiting),
        named=named,
    )


@retried_task("studies")
def clear_studies(home: str, pipeline: str, token: int | None, works: Sequence[str]) -> list[FreedPart]:
    """Delete studies whose runs are gone."""
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
        for decision in decisions:
            if decision.drop and token is not None:
                studies_.delete(storage, pipeline, decision.name)
    return _parts(decisions, {})


@retried_task("tables")
def clear_tables(home: str, pipeline: str, token: int | None, data_versions: Sequence[str]) -> list[FreedPart]:
    """Delete files of table versions that are no longer needed, and merge small files."""
    from treadle.infra import failpoint
    from treadle.infra.stores import versions

    place = _opened(home, pipeline, token)
    stores, days = place.stores, place.config.retention.spare_days
    pairs = [versions(data_version) for data_version in data_versions]
    keep = {"rows": [rows for rows, _ in pairs], "labels": [labels for _, labels in pairs]}
    parts = []
    for name in ("rows", "labels", "quarantine", "predictions"):
        spare = stores.tables.spare(name, keep.get(name, []), days)
        for what, files, why in (
            (f"files of {name}", spare.files, f"replaced more than {days} days ago, and in no version that is needed"),
            (f"checkpoints of {name}", spare.checkpoints, "no version that is needed is read from them"),
        ):
            if files:
                parts.append(FreedPart(what=what, count=len(files), bytes=_delete(files, token), why=why))
        with failpoint.around("maintain.compact"):
            fewer = stores.tables.compact(name, dry_run=token is None)
        if fewer:
            parts.append(FreedPart(what=f"small files of {name}", count=fewer, bytes=0, why="put together with others"))
    return parts


def _delete(files: Sequence[Path], token: int | None) -> int:
    """Delete the files where there is a token; returns their size in bytes."""
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
    """Delete the working files of trainings that were killed and not resumed."""
    from treadle.infra import failpoint
    from treadle.tasks import retention

    place = _opened(home, pipeline, token)
    folder = place.settings.state / "runs" / pipeline
    paths = sorted(folder.iterdir(), key=lambda path: not path.name.startswith(GONE)) if folder.is_dir() else []
    by_name = {path.name: path for path in paths}
    touched = {name: _touched(path) for name, path in by_name.items()}
    decisions = retention.unfinished(place.config.retention, "files of unfinished runs", touched, (), datetime.now(UTC))
    sizes = {decision.name: _size(by_name[decision.name]) for decision in decisions}
    for decision in decisions:
        if decision.drop and token is not None:
            path = by_name[decision.name]
            aside = path.with_name(f"{GONE}{decision.name.removeprefix(GONE)}")
            with failpoint.around("maintain.file"):
                path.rename(aside)  # first: a run that is resumed finds all of its files or none
            shutil.rmtree(aside) if aside.is_dir() else aside.unlink()
    return _parts(decisions, sizes)


@task(name="history", task_run_name="history")
def clear_history(home: str, pipeline: str, dry_run: bool) -> list[FreedPart]:
    """Delete runs on Prefect's pages that ended more than `history_days` ago."""
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
    """The opened pipeline; raises Fenced where another process has taken over its lease."""
    place = open_workplace(home, pipeline)
    if token is not None:
        place.stores.ledger.renew_lease(pipeline, "train", token)
    return place


def _parts(decisions: Iterable[RetentionDecision], sizes: dict[str, int]) -> list[FreedPart]:
    """Decisions added up by kind, `drop` and reason; `sizes` is in bytes by name."""
    counts: Counter[tuple[str, bool, str]] = Counter()
    volumes: Counter[tuple[str, bool, str]] = Counter()
    for decision in decisions:
        counts[decision.kind, decision.drop, decision.why] += 1
        volumes[decision.kind, decision.drop, decision.why] += sizes.get(decision.name, 0)
    return [
        FreedPart(what=what, count=count, bytes=volumes[what, drop, why], why=why, drop=drop)
        for (what, drop, why), count in counts.items()
    ]


def _touched(path: Path) -> datetime:
    """When the file, or anything in the folder, was changed last."""
    moments = [file.stat().st_mtime for file in (path, *path.rglob("*"))]
    return datetime.fromtimestamp(max(moments), UTC)


def _size(path: Path) -> int:
    return sum(file.stat().st_size for file in (path, *path.rglob("*")) if file.is_file())
