"""Nobody loses what they may come back to; everything else goes when it is old."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from treadle.tasks.retention import RetentionSpec, TrackedRun, VersionSnapshot, decide_runs, unfinished

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
SPEC = RetentionSpec(days=90, versions=2, spare_days=7)
STANDING = VersionSnapshot(
    versions=(6, 5, 4, 3, 2, 1, 0),
    retired=frozenset({0}),
    champions=frozenset({2, 3}),
    waiting=frozenset({4}),
    named=frozenset({"run of 1 named"}),
)


def run(id: str, days: float, version: int | None = None, *, monitor: bool = False) -> TrackedRun:
    return TrackedRun(id, id, monitor, NOW - timedelta(days=days), version)


@pytest.mark.parametrize(
    ("one", "drop", "why"),
    [
        (run("a", 91, 1), True, "never champion, and older than 90 days"),
        (run("a", 89, 1), False, "young"),
        (run("run of 1 named", 900, 1), False, "an alias or another registered model names it"),
        (run("a", 900, 2), False, "it is, or was, champion"),
        (run("a", 900, 4), False, "its verdict waits for a person"),
        (run("a", 900, 5), False, "one of the newest 2"),
        (run("a", 1, 0), True, "it was cleared away before, and not wholly"),
        (run("a", 8), True, "older than 7 days"),
        (run("a", 6), False, "young"),
        (replace(run("a", 900), finished=True), False, "it has finished, and this ledger does not know it"),
        (run("run of 1 named", 8), False, "an alias or another registered model names it"),
    ],
)
def test_a_trainings_run_goes_when_it_is_old_and_nobody_needs_it(one: TrackedRun, drop: bool, why: str) -> None:
    (decision,) = decide_runs(SPEC, [one], STANDING, NOW)
    assert (decision.name, decision.drop, decision.why) == (one.id, drop, why)


def test_of_monitors_pages_the_last_of_a_day_stays_and_of_two_days_all() -> None:
    ages = (0.1, 0.2, 1.3, 1.4, 3.1, 3.2, 3.3, 60, 91)
    found = decide_runs(SPEC, [run(str(days), days, monitor=True) for days in ages], STANDING, NOW)
    assert [one.name for one in found if one.drop] == ["3.2", "3.3", "91"]


def test_the_newest_page_of_monitor_stays_however_old() -> None:
    found = decide_runs(SPEC, [run("a", 500, monitor=True), run("b", 400, monitor=True)], STANDING, NOW)
    assert [(one.name, one.drop) for one in found] == [("a", True), ("b", False)]


def test_what_an_unfinished_training_left_goes_when_nobody_touched_it_for_days() -> None:
    touched = {"old": NOW - timedelta(days=8), "young": NOW - timedelta(days=6), "of a run": NOW - timedelta(days=80)}
    found = unfinished(SPEC, "studies", touched, ["of a run"], NOW)
    assert {one.name: (one.drop, one.why) for one in found} == {
        "old": (True, "older than 7 days"),
        "young": (False, "young"),
        "of a run": (False, "its run is kept"),
    }


VERSIONS = st.integers(1, 30)


@given(
    st.lists(st.tuples(st.floats(0, 1000), st.none() | VERSIONS, st.booleans()), max_size=40),
    st.frozensets(VERSIONS),
    st.frozensets(VERSIONS),
    st.frozensets(st.sampled_from([str(number) for number in range(40)])),
    st.builds(RetentionSpec, days=st.integers(1, 500), versions=st.integers(1, 20), spare_days=st.integers(1, 7)),
)
@example([(0.0, None, True), (2.0, None, True)], frozenset(), frozenset(), frozenset(), RetentionSpec(days=1))
def test_never_goes_what_is_needed_or_young_and_a_second_look_drops_nothing_more(
    found: list[tuple[float, int | None, bool]],
    champions: frozenset[int],
    waiting: frozenset[int],
    named: frozenset[str],
    spec: RetentionSpec,
) -> None:
    all_runs = [run(str(number), days, version, monitor=page) for number, (days, version, page) in enumerate(found)]
    versions = tuple(sorted({one.version for one in all_runs if one.version}, reverse=True))
    standing = VersionSnapshot(versions, frozenset(), champions, waiting, named)
    decided = {one.name: one for one in decide_runs(spec, all_runs, standing, NOW)}
    assert list(decided) == [one.id for one in all_runs]
    needed = champions | waiting | set(versions[: spec.versions])
    for one in all_runs:
        if decided[one.id].drop:
            assert NOW - one.began > timedelta(days=min(spec.days, 2 if one.monitor else spec.spare_days))
            assert one.monitor or (one.version not in needed and one.id not in named)
    left = [one for one in all_runs if not decided[one.id].drop]
    assert not any(one.drop for one in decide_runs(spec, left, standing, NOW))


@pytest.mark.parametrize("key", ["days", "versions", "spare_days", "history_days"])
def test_nothing_goes_at_once(key: str) -> None:
    with pytest.raises(ValidationError):
        RetentionSpec(**{key: 0})
