"""`treadle ...`: every command runs one flow or reader, shows its result and ends with an exit code."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import typer


def main() -> int:
    """Run the command line and return its exit code; no traceback leaves it unless TREADLE_DEBUG=1."""
    import gc
    import sys

    from treadle.flows.cli.runtime.entry import run_command_line

    code = run_command_line(_load_app)
    # Python searches every object for cycles several times while it exits; the system frees that memory anyway.
    # MLflow's connections are in such cycles: only that search closes them, so that SQLite removes its -wal file.
    if "mlflow" not in sys.modules:
        gc.freeze()
    return code


def _load_app() -> typer.Typer:
    from treadle.flows.cli.app import app

    return app
