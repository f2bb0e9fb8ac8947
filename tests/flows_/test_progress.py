"""What is shown while a flow works."""

from __future__ import annotations

import io
import logging
from datetime import UTC, datetime

import pytest
from rich.console import Console

from treadle.flows.cli.runtime.formatting import format_clock
from treadle.flows.cli.runtime.progress import showing_progress
from treadle.flows.context import events
from treadle.flows.context.events import Event


def test_nobody_need_listen() -> None:
    events.emit("ingest", "a.csv")


def test_a_listener_hears_events_of_its_block_only() -> None:
    heard: list[Event] = []
    with events.listening(heard.append):
        events.emit("tune", "trial 1", done=1, total=4, seconds_left=3.0)
    events.emit("tune", "trial 2")
    assert heard == [Event("tune", "trial 1", 1, 4, 3.0)]


def test_elsewhere_than_on_a_terminal_an_event_is_a_line() -> None:
    out = io.StringIO()
    with showing_progress(Console(file=out), "train"):
        events.emit("tune", "trial 1: [0.7]", done=1, total=4, seconds_left=65)
        logging.getLogger("treadle.orchestrator").warning("a notice")
    logging.getLogger("treadle").warning("afterwards")
    first, second = out.getvalue().splitlines()
    assert first.endswith("tune 1/4: trial 1: [0.7] (1:05 left)")
    assert second.endswith("a notice")


def test_what_is_read_days_later_has_the_date_the_time_of_day_and_the_offset() -> None:
    out = io.StringIO()
    before = datetime.now(UTC).replace(microsecond=0)
    with showing_progress(Console(file=out), "up", bar=False, dated=True):
        events.emit("up", "ready")
    (line,) = out.getvalue().splitlines()
    told, _, said = line.removeprefix("[").partition("] ")
    moment = datetime.fromisoformat(told)
    assert moment.utcoffset() is not None
    assert before <= moment <= datetime.now(UTC)
    assert said == "up: ready"


def test_on_a_terminal_finished_steps_stay_and_trials_only_move_the_bar() -> None:
    out = io.StringIO()
    with showing_progress(Console(file=out, force_terminal=True, width=100, color_system=None), "train"):
        events.emit("ingest", "a.csv", done=0, total=2)
        events.emit("ingest", "a.csv: 3 rows", done=1, total=2)
        events.emit("train", "reading rows@3")
        events.emit("tune", "trial 1: 0.7", done=1, total=4, seconds_left=65)
    shown = out.getvalue()
    assert "ingest: a.csv: 3 rows\n" in shown
    assert "train: reading rows@3\n" in shown
    assert "tune: trial 1" not in shown
    assert "1:05 left" in shown


def test_a_command_that_runs_commands_with_bars_of_their_own_gets_lines_on_a_terminal_too() -> None:
    out = io.StringIO()
    with showing_progress(Console(file=out, force_terminal=True, width=100, color_system=None), "demo", bar=False):
        events.emit("stage", "joining")
    assert out.getvalue().endswith("stage: joining\n")
    assert "\x1b" not in out.getvalue()


@pytest.mark.parametrize(("seconds", "shown"), [(-1, "0:00"), (5.4, "0:05"), (65, "1:05"), (3725, "1:02:05")])
def test_clock(seconds: float, shown: str) -> None:
    assert format_clock(seconds) == shown
