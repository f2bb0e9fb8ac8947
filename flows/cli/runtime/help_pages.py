"""Help pages: plain text with colour on a terminal, commands in groups, examples as they are typed.

typer's boxed pages cost more to import than everything else that `treadle --help` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import typer
from typer.core import TyperCommand, TyperGroup

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager


class HelpFormatter(Protocol):
    """The part of typer's help formatter that the pages use."""

    width: int

    def section(self, name: str) -> AbstractContextManager[None]:
        """Write a heading and indent what the block writes."""
        ...

    def write(self, string: str) -> None:
        """Write text as it is."""
        ...

    def write_dl(self, rows: Sequence[tuple[str, str]]) -> None:
        """Write names and explanations in two columns."""
        ...


class CommandPage(TyperCommand):
    """A command whose epilog holds one example a line."""

    def format_epilog(self, ctx: object, formatter: HelpFormatter) -> None:
        """Write the examples."""
        _write_examples(self.epilog or "", formatter)


class FrontPage(TyperGroup):
    """A page that lists commands by group, then examples."""

    def format_commands(self, ctx: object, formatter: HelpFormatter) -> None:
        """Write the commands in the order in which they were added, under their groups' headings."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for name, command in self.commands.items():
            group = str(getattr(command, "rich_help_panel", None) or "Commands")
            groups.setdefault(group, []).append((name, command.get_short_help_str(formatter.width)))
        width = max(len(name) for name in self.commands)
        for group, rows in groups.items():
            with formatter.section(typer.style(group, bold=True)):
                formatter.write_dl([(name.ljust(width), text) for name, text in rows])

    def format_epilog(self, ctx: object, formatter: HelpFormatter) -> None:
        """Write the examples."""
        _write_examples(self.epilog or "", formatter)


def example_lines(*lines: str) -> str:
    """Return the epilog of a help page: one example a line; two spaces part a command from its explanation."""
    return "\n".join(lines)


def _write_examples(epilog: str, formatter: HelpFormatter) -> None:
    if not epilog:
        return
    with formatter.section(typer.style("Examples", bold=True)):
        for line in epilog.splitlines():
            command, gap, explanation = line.partition("  ")
            formatter.write(f"  {typer.style(command, fg='cyan')}{gap}{explanation}\n")
