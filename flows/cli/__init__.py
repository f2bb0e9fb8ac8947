"""`treadle ...`: every command runs one flow or reader, shows its result and ends with an exit code."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import typer


def main() -> int:
    """Run the command line and return its exit code; no traceback leaves it unless TREADLE_DEBUG=1."""
    from treadle.flows.cli.runtime.entry import run_command_line

    return run_command_line(_load_app)


def _load_app() -> typer.Typer:
    from treadle.flows.cli.app import app

    return app
