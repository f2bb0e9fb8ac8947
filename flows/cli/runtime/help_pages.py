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


class Formatter(Protocol):
    """The part of the help formatter that the pages use."""

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


class Page(TyperCommand):
    """A command whose epilog holds one example a line."""

    def format_epilog(self, ctx: object, formatter: Formatter) -> None:
        """Write the examples."""
        write_examples(self.epilog or "", formatter)


class Front(TyperGroup):
    """The front page: commands by group, then examples."""

    def format_commands(self, ctx: object, formatter: Formatter) -> None:
        """Write the commands in the order in which they were made, under their groups' headings."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for name, command in self.commands.items():
            group = str(getattr(command, "rich_help_panel", None) or "Commands")
            groups.setdefault(group, []).append((name, command.get_short_help_str(formatter.width)))
        width = max(len(name) for name in self.commands)
        for group, rows in groups.items():
            with formatter.section(typer.style(group, bold=True)):
                formatter.write_dl([(name.ljust(width), text) for name, text in rows])

    def format_epilog(self, ctx: object, formatter: Formatter) -> None:
        """Write the examples."""
        write_examples(self.epilog or "", formatter)


def write_examples(examples: str, formatter: Formatter) -> None:
    """Write one example a line; what follows two spaces explains it."""
    if not examples:
        return
    with formatter.section(typer.style("Examples", bold=True)):
        for line in examples.splitlines():
            command, gap, why = line.partition("  ")
            formatter.write(f"  {typer.style(command, fg='cyan')}{gap}{why}\n")
