"""One command's run: quiet libraries, show progress, then print the result as people or programs want it."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Protocol, TypeVar

from treadle.flows.context import command_names
from treadle.tasks.errors import TreadleError

if TYPE_CHECKING:
    from collections.abc import Callable

    from treadle.flows.cli.runtime.screen import Screen
    from treadle.flows.cli.runtime.terminal import Terminal
    from treadle.infra.settings import Settings


class Result(Protocol):
    """What every command's `run` returns: a frozen pydantic model that knows its exit code."""

    def exit_code(self) -> int:
        """The process's exit code."""
        ...

    def model_dump_json(self, *, indent: int | None = None, by_alias: bool | None = None) -> str:
        """The documented object."""
        ...


R = TypeVar("R", bound=Result)


def carry_out(
    terminal: Terminal,
    command: str,
    verb: Callable[[], R],
    show: Callable[[R, Screen], None],
    *,
    as_json: bool,
    pipeline: str = "",
    bar: bool = True,
    dated: bool = False,
    alerts: bool = False,
) -> int:
    """Run `verb` under its progress display, print its result, and return its exit code.

    With `as_json` stdout gets the result's one object and nothing else; otherwise `show` renders it.
    `pipeline` is what the person gave as -p, and is repeated in the commands that we or an error recommend. A verb that
    runs commands, which have bars of their own, wants no `bar`; of one that goes on for days every line is `dated`.
    With `alerts` people are told at the end what needs them, where nobody sits at the terminal.
    """
    from rich.console import Console

    from treadle.flows.cli.runtime.progress import watching
    from treadle.flows.cli.runtime.screen import Screen
    from treadle.infra import settings as settings_
    from treadle.infra.orchestrator import prepare_client

    settings = settings_.here()
    inside = (settings.home / "pipelines").is_dir()
    terminal.keep(settings.state / "treadle.log" if inside else None, debug=settings.debug)
    prepare_client(settings)
    tells = alerts and inside and not terminal.err.isatty()
    try:
        with watching(Console(file=terminal.err), command, bar=bar, dated=dated):
            result = verb()
    except Exception as error:
        if tells:
            _tell(settings, pipeline)
        if isinstance(error, TreadleError):
            command_names.complete_commands(error, pipeline)
        raise
    try:
        if as_json:
            print(result.model_dump_json(indent=2, by_alias=True), file=terminal.out)
        else:
            show(result, Screen(terminal.out, pipeline))
        terminal.out.flush()
    except BrokenPipeError:  # whoever read our output has seen enough; the work is done all the same
        terminal.forget_output()
    if tells:
        _tell(settings, pipeline)
    return result.exit_code()


def _tell(settings: Settings, pipeline: str) -> None:
    from treadle.flows.cli.runtime.pipeline_choice import path
    from treadle.flows.service.alerts import delivery
    from treadle.tasks.errors import HomeError

    with suppress(HomeError):
        delivery.notify_after_run(settings, path(settings, pipeline).stem)
