"""Keeping: `maintain`, `backup`, `restore`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.flows.cli.runtime.screen import Screen, plural

if TYPE_CHECKING:
    from treadle.flows.maintain import FreedPart, MaintainResult
    from treadle.flows.project.backup import BackupResult


def maintain(result: MaintainResult, screen: Screen) -> None:
    """What went or would go, and what stays, each with its reason."""
    for title, parts in (("would go" if result.dry_run else "gone", result.cleared), ("stays", result.kept)):
        screen.table((title, "how many", "MB", "why"), [_part(one) for one in parts])
    if not result.cleared:
        screen.line(f"{result.pipeline} has nothing to clear up")
        screen.hint("how everything stands: treadle status")
    elif result.dry_run:
        screen.line((f"{result.bytes / 1e6:,.2f} MB", "bold"), " of files would be free")
        screen.next("do it", "maintain")
    else:
        screen.line((f"{result.bytes / 1e6:,.2f} MB", "bold"), " of files are free; databases use their room again")
        screen.hint("how everything stands: treadle status")


def _part(part: FreedPart) -> tuple[str, int, str, str]:
    return part.what, part.count, f"{part.bytes / 1e6:,.2f}" if part.bytes else "", part.why


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
    screen.next("how everything stands, in that folder", "status")
