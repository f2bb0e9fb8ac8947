"""Which runs, models and files of a pipeline are deleted: pure decisions, each with its reason.

Kept are models that were or may become champion, with all that they refer to, and everything young.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from treadle.tasks.schedule import Cron

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

EVERY_PAGE = timedelta(days=2)
"""Every page of `treadle monitor` is kept until this age, then the last of each day."""


class RetentionSpec(BaseModel):
    """How long unreferenced runs, models and files are kept."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    days: int = Field(
        90, ge=1, description="models that never were champion, with run, trials and report; monitor runs"
    )
    versions: int = Field(10, ge=1, description="so many of the newest versions are kept, however old")
    spare_days: int = Field(
        7, ge=1, le=7, description="table files that were replaced; what an unfinished training left"
    )
    history_days: int = Field(30, ge=1, description="runs on Prefect's pages")
    schedule: Cron = Field(default="0 4 * * 0", description="when the server clears up, as cron has it; empty: never")


@dataclass(frozen=True, slots=True)
class TrackedRun:
    """A run of training or `monitor` in MLflow; `work` is its key there, `began` its start.

    `version` is the model that the ledger has of it; None of a training that did not come so far, or, where it has
    `finished`, of one that another ledger knows.
    """

    id: str
    work: str
    monitor: bool
    began: datetime
    version: int | None = None
    finished: bool = False


@dataclass(frozen=True, slots=True)
class VersionSnapshot:
    """Versions that may not be deleted: all, newest first; those that were champion, or wait for promotion.

    `named` are runs that an alias or another registered model refers to, `retired` versions of which some may be gone.
    """

    versions: tuple[int, ...]
    retired: frozenset[int]
    champions: frozenset[int]
    waiting: frozenset[int]
    named: frozenset[str]


@dataclass(frozen=True, slots=True)
class RetentionDecision:
    """Whether something goes, and why; `kind` says what it is, in the words of people."""

    kind: str
    name: str
    drop: bool
    why: str


def decide_runs(
    spec: RetentionSpec, found: Sequence[TrackedRun], snapshot: VersionSnapshot, now: datetime
) -> tuple[RetentionDecision, ...]:
    """The decision about each run."""
    pages = [run for run in found if run.monitor]
    last: dict[date, TrackedRun] = {}
    for run in sorted(pages, key=lambda run: run.began):
        last[run.began.date()] = run
    newest = max(pages, key=lambda run: run.began, default=None)
    kept = {run.id for run in last.values()}
    return tuple(
        _page(spec, run, now, newest is run, run.id in kept) if run.monitor else _training(spec, run, snapshot, now)
        for run in found
    )


def _page(spec: RetentionSpec, run: TrackedRun, now: datetime, newest: bool, last: bool) -> RetentionDecision:
    kind, age = "runs of monitor", now - run.began
    if newest:
        return RetentionDecision(kind, run.id, False, "the newest")
    if age > timedelta(days=spec.days):
        return RetentionDecision(kind, run.id, True, f"older than {spec.days} days")
    if age > EVERY_PAGE and not last:
        return RetentionDecision(kind, run.id, True, f"not the last of its day, and older than {EVERY_PAGE.days} days")
    return RetentionDecision(kind, run.id, False, "young")


def _training(spec: RetentionSpec, run: TrackedRun, snapshot: VersionSnapshot, now: datetime) -> RetentionDecision:
    kind = "models" if run.version is not None else "unfinished runs"
    if run.version in snapshot.retired:
        return RetentionDecision(kind, run.id, True, "it was cleared away before, and not wholly")
    why = _needed(spec, run, snapshot)
    if why:
        return RetentionDecision(kind, run.id, False, why)
    days, what = (spec.spare_days, "") if run.version is None else (spec.days, "never champion, and ")
    old = now - run.began > timedelta(days=days)
    return RetentionDecision(kind, run.id, old, f"{what}older than {days} days" if old else "young")


def _needed(spec: RetentionSpec, run: TrackedRun, snapshot: VersionSnapshot) -> str:
    if run.version in snapshot.champions:
        return "it is, or was, champion"
    if run.id in snapshot.named:
        return "an alias or another registered model names it"
    if run.version is None and run.finished:
        return "it has finished, and this ledger does not know it"
    if run.version in snapshot.waiting:
        return "its verdict waits for a person"
    if run.version in snapshot.versions[: spec.versions]:
        return f"one of the newest {spec.versions}"
    return ""


def unfinished(
    spec: RetentionSpec, kind: str, touched: Mapping[str, datetime], needed: Iterable[str], now: datetime
) -> tuple[RetentionDecision, ...]:
    """Decisions about what an unfinished training left, by its name and the time of its last change."""
    kept, days = set(needed), spec.spare_days

    def decided(name: str, at: datetime) -> RetentionDecision:
        if name in kept:
            return RetentionDecision(kind, name, False, "its run is kept")
        old = now - at > timedelta(days=days)
        return RetentionDecision(kind, name, old, f"older than {days} days" if old else "young")

    return tuple(decided(name, at) for name, at in touched.items())
