"""What a command prints of its result: refusals last, predictions on a terminal or into a pipe, whole commands."""

from __future__ import annotations

import io
import os
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from treadle.flows.cli import promote, score, up
from treadle.flows.cli.runtime.screen import Screen
from treadle.flows.cli.runtime.terminal import Terminal
from treadle.flows.score import ScoreResult
from treadle.flows.service.up import UpResult
from treadle.infra import settings as settings_
from treadle.tasks.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

ADDRESSES = {"home": "/h", "prefect": "http://p", "mlflow": "http://m"}


class Tty(io.StringIO):
    """A stdout that is a terminal without a width."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("already", "detached"), [(True, False), (False, True)], ids=["already up", "detached"])
def test_up_says_last_which_pipeline_was_refused_and_fails(already: bool, detached: bool) -> None:
    result = UpResult(
        **ADDRESSES, already=already, detached=detached, changes=("a",), refused={"claims": "data.foo: unknown key"}
    )
    out = io.StringIO()
    up.show_up(result, Screen(out))
    assert out.getvalue().splitlines()[-2:] == [
        "not deployed: claims: data.foo: unknown key",
        "next: all that is wrong with it: treadle check -p claims",
    ]
    assert result.exit_code() == 2
    assert result.model_copy(update={"refused": {}}).exit_code() == 0


def answered(rows: int) -> ScoreResult:
    return ScoreResult(
        pipeline="claims",
        version=3,
        digest="0123456789abcdef",
        rows=rows,
        batches=(),
        skipped=0,
        output=None,
        warnings=("2 rows break the contract",),
        ingest=None,
    )


@pytest.fixture
def predictions(tmp_path: Path) -> Path:
    file = tmp_path / "predictions.csv"
    rows = [f'"T{number}",0.{number:04d}12345678,"a, b"\n' for number in range(score.MOST_ROWS + 5)]
    file.write_text('"id","probability","_warning"\n' + "".join(rows), encoding="utf-8")
    return file


def test_predictions_go_into_a_pipe_as_csv_and_what_is_said_of_them_does_not(predictions: Path) -> None:
    terminal = Terminal(io.StringIO(), io.StringIO())
    score.print_predictions(predictions, answered(55), Screen(terminal.out), terminal)
    assert terminal.out.getvalue() == predictions.read_text(encoding="utf-8")  # type: ignore[attr-defined]
    said = terminal.err.getvalue()  # type: ignore[attr-defined]
    assert "55 rows scored by version 3 (0123456789ab)" in said
    assert "2 rows break the contract" in said


def test_a_terminal_shows_the_first_predictions_as_a_table(predictions: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = Tty()
    monkeypatch.setattr("os.get_terminal_size", lambda _: os.terminal_size((120, 40)))
    monkeypatch.setattr(out, "fileno", lambda: 1)
    terminal = Terminal(out, io.StringIO())
    score.print_predictions(predictions, answered(55), Screen(out), terminal)
    shown = out.getvalue()
    assert "T49" in shown
    assert "T50" not in shown
    assert "0.004912" in shown
    assert "a, b" in shown
    assert "these are the first 50 rows; --output predictions.csv writes all" in shown


@pytest.mark.parametrize(("decline", "command"), [(False, "2"), (True, "2 --decline")])
def test_promote_without_a_reason_prints_the_whole_command(
    home: Path, monkeypatch: pytest.MonkeyPatch, decline: bool, command: str
) -> None:
    monkeypatch.setattr(settings_, "here", lambda: settings_.at(home))
    monkeypatch.setattr(promote, "carry_out", lambda _terminal, _name, action, *_, **__: action())
    with pytest.raises(UsageError) as caught:
        promote.promote_command(SimpleNamespace(obj=None), version=2, decline=decline)  # type: ignore[arg-type]
    assert caught.value.fix == f"treadle promote {command} --reason 'WHY'"
