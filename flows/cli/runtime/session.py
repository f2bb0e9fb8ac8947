"""One command's run: quiet libraries, show progress, then print the result as tables or as JSON."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Protocol, TypeVar

from treadle.flows.context.named_pipeline import errors_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from treadle.flows.cli.runtime.screen import Screen
    from treadle.flows.cli.runtime.terminal import Terminal
    from treadle.infra.settings import Settings


class CommandResult(Protocol):
    """What every command's `run` returns: a frozen pydantic model that knows its exit code."""

    def exit_code(self) -> int:
        """Return the process's exit code."""
        ...

    def model_dump_json(self, *, indent: int | None = None, by_alias: bool | None = None) -> str:
        """Return the documented object."""
        ...


R = TypeVar("R", bound=CommandResult)


def carry_out(
    terminal: Terminal,
    command: str,
    action: Callable[[], R],
    show: Callable[[R, Screen], None],
    *,
    as_json: bool,
    pipeline: str = "",
    bar: bool = True,
    dated: bool = False,
    alerts: bool = False,
) -> int:
    """Run `action` under its progress display, print its result, and return its exit code.

    With `as_json` stdout gets the result's one object and nothing else; otherwise `show` renders it.
    `pipeline` is the value of -p, repeated in the commands that a result or an error recommends. An action that runs
    commands, which have bars of their own, wants no `bar`; one that goes on for days wants `dated` lines.
    With `alerts` the receivers are notified at the end of what needs a person, unless stderr is a terminal.
    """
    from rich.console import Console

    from treadle.flows.cli.runtime.progress import showing_progress
    from treadle.flows.cli.runtime.screen import Screen
    from treadle.infra import settings as settings_
    from treadle.infra.orchestrator import prepare_client

    settings = settings_.here()
    in_home = (settings.home / "pipelines").is_dir()
    terminal.redirect_libraries(settings.state / "treadle.log" if in_home else None, debug=settings.debug)
    prepare_client(settings)
    sends_alerts = alerts and in_home and not terminal.err.isatty()
    try:
        with showing_progress(Console(file=terminal.err), command, bar=bar, dated=dated), errors_name(pipeline):
            result = action()
    except Exception:
        if sends_alerts:
            _send_alerts(settings, pipeline)
        raise
    try:
        if as_json:
            print(result.model_dump_json(indent=2, by_alias=True), file=terminal.out)
        else:
            show(result, Screen(terminal.out, pipeline))
        terminal.out.flush()
    except BrokenPipeError:  # the reader closed the pipe; the work is done all the same
        terminal.discard_output()
    if sends_alerts:
        _send_alerts(settings, pipeline)
    return result.exit_code()


def _send_alerts(settings: Settings, pipeline: str) -> None:
    from treadle.flows.cli.runtime.pipeline_choice import pipeline_file
    from treadle.flows.service.alerts import delivery
    from treadle.tasks.errors import HomeError

    with suppress(HomeError):
        delivery.notify_after_run(settings, pipeline_file(settings, pipeline).stem)
