"""Keeping: `backup`, `restore`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flows.cli.screen import Screen, plural

if TYPE_CHECKING:
    from flows.backup import BackupResult


def backup(result: BackupResult, screen: Screen) -> None:
    """How much went where, and what did not."""
    screen.line(f"{plural(result.files, 'file')}, {result.bytes / 1e6:,.1f} MB, are in ", (result.folder, "bold"))
    for name in result.left_out:
        screen.line("left out, for it was still being written: ", (name, "bold"))
    screen.next("put it back, into an empty folder", f"restore {result.folder} HOME")


def restore(result: BackupResult, screen: Screen) -> None:
    """What it is the state of."""
    screen.line(
        f"{plural(result.files, 'file')}, as of {result.made_at:%Y-%m-%d %H:%M} UTC, are in ", (result.home, "bold")
    )
    screen.next("its models, in that folder", "models")
