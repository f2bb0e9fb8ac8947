from __future__ import annotations

import json
import sys
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from tests.audit.__main__ import in_processes, main
from tests.audit.topics import Measured, measure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path


def here(names: Sequence[str], scale: int, seed: int) -> Iterator[Measured]:
    """The topics one after the other in this process."""
    return (measure(name, scale, seed) for name in names)


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[tuple[str, str, float, float]]]:
    """Topics by name with the figures that they yield."""
    known: dict[str, list[tuple[str, str, float, float]]] = {}

    def rows_of(name: str) -> Callable[[int, int], Iterator[tuple[str, str, float, float]]]:
        def rows(scale: int, seed: int) -> Iterator[tuple[str, str, float, float]]:
            for experiment, figure, measured, limit in known[name]:
                if figure == "raises":
                    raise RuntimeError("the world ended")
                yield experiment, f"{figure} at {scale} and {seed}", measured, limit

        return rows

    for name in ("first", "second"):
        module = ModuleType(f"tests.audit.{name}")
        module.rows = rows_of(name)  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, f"tests.audit.{name}", module)
    return known


@pytest.mark.parametrize(
    ("first", "second", "code"),
    [
        ([("equal", "promoted", 0.04, 0.05)], [("equal", "alarms", 0.05, 0.05)], 0),
        ([("equal", "promoted", 0.06, 0.05)], [("equal", "alarms", 0.01, 0.05)], 1),
        ([("equal", "promoted", float("nan"), 0.05)], [("equal", "alarms", 0.01, 0.05)], 1),
        ([("equal", "promoted", 0.01, 0.05), ("", "raises", 0, 0)], [("equal", "alarms", 0.01, 0.05)], 1),
        ([], [("equal", "alarms", 0.01, 0.05)], 1),
    ],
    ids=["within", "above", "not a number", "a topic fails", "a topic measures nothing"],
)
def test_an_audit_fails_where_a_limit_is_exceeded_or_a_topic_says_nothing(
    planted: dict[str, list[tuple[str, str, float, float]]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    first: list[tuple[str, str, float, float]],
    second: list[tuple[str, str, float, float]],
    code: int,
) -> None:
    planted |= {"first": first, "second": second}
    output = tmp_path / "build" / "audit.json"
    arguments = ["--scale", "3", "--seed", "7"]
    assert main(arguments, known=lambda: ["first", "second"], run=here, output=output) == code
    kept = json.loads(output.read_text(encoding="utf-8"))
    kept_ok = [figure["ok"] for figure in kept["figures"]]
    assert (code == 0) == (all(kept_ok) and not kept["failed"])
    assert {figure["topic"] for figure in kept["figures"]} == {name for name in planted if planted[name]}
    printed = capsys.readouterr().out
    assert "alarms at 3 and 7" in printed
    assert ("NO" in printed) == (not all(kept_ok))


def test_only_runs_the_topics_that_are_named(
    planted: dict[str, list[tuple[str, str, float, float]]], tmp_path: Path
) -> None:
    planted |= {"first": [("equal", "promoted", 0.06, 0.05)], "second": [("equal", "alarms", 0.01, 0.05)]}
    output = tmp_path / "audit.json"
    assert main(["--only", "second"], known=lambda: ["first", "second"], run=here, output=output) == 0
    with pytest.raises(SystemExit):
        main(["--only", "third"], known=lambda: ["first", "second"], run=here, output=output)


def test_a_topic_runs_in_a_process_of_its_own() -> None:
    (measured,) = in_processes(["no_such_topic"], 1, 0)
    assert "ModuleNotFoundError" in measured.failure
    assert measured.figures == ()
