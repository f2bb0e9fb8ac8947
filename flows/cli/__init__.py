"""`treadle ...`: every command runs one flow or reader, shows its result and ends with an exit code."""

from __future__ import annotations


def main() -> int:
    """Run the command line and return its exit code; no traceback leaves it unless TREADLE_DEBUG=1."""
    from treadle.flows.cli.entry import start

    return start()
