"""How results look: aligned tables, thousands separators, one colour scheme, a next command at the end."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Literal, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from treadle.flows.cli.runtime.formatting import coloured_word, format_score
from treadle.tasks.commands import Command

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDE = 200
NUMBER = re.compile(r"[-+]?[\d,]+(\.\d+)?%?")


class Screen:
    """The stdout of a command for people; `pipeline` is what they gave as -p."""

    def __init__(self, out: TextIO, pipeline: str = "") -> None:
        self._console = Console(file=out, width=_width(out), highlight=False, soft_wrap=False)
        self._pipeline = pipeline

    def line(self, *parts: str | tuple[str, str]) -> None:
        """Print a line of plain and (text, style) parts; what came from data is never read as markup."""
        self._console.print(Text.assemble(*parts), soft_wrap=True)

    def table(
        self, headings: Sequence[str], rows: Sequence[Sequence[str | int | float | None]], title: str = ""
    ) -> None:
        """Print rows under headings: numbers right aligned, words of judgement coloured."""
        if not rows:
            return
        table = Table(title=title or None, title_justify="left", title_style="bold", header_style="bold cyan")
        for index, heading in enumerate(headings):
            justify: Literal["left", "right"] = "right" if all(_numeric(row[index]) for row in rows) else "left"
            table.add_column(heading, justify=justify, overflow="fold")
        for row in rows:
            table.add_row(*(_cell(value) for value in row))
        self._console.print(table)

    def facts(self, facts: Sequence[tuple[str, str]]) -> None:
        """Print names and values in two columns; a fact without a value is left out."""
        filled = [(name, value) for name, value in facts if value]
        width = max((len(name) for name, _ in filled), default=0)
        for name, value in filled:
            self.line((f"  {name:<{width}}  ", "dim"), value)

    def next(self, why: str, *command: str) -> None:
        """Name the sensible next command, with the -p that this one had."""
        self.line(("next: ", "bold"), f"{why}: ", (Command(" ".join(command)).line(self._pipeline), "bold cyan"))

    def hint(self, text: str) -> None:
        """Name a sensible next step that is no command of ours."""
        self.line(("next: ", "bold"), text)


def _numeric(value: str | float | None) -> bool:
    return not isinstance(value, str) or NUMBER.fullmatch(value) is not None


def _cell(value: str | float | None) -> Text:
    if value is None:
        return Text("-", style="dim")
    if isinstance(value, bool | str):
        text, style = coloured_word(str(value))
        return Text(text, style=style if style != "bold default" else "")
    return Text(f"{value:,}" if isinstance(value, int) else format_score(value))


def _width(out: TextIO) -> int | None:
    """The terminal's width; files and pipes get whole lines."""
    if not out.isatty():
        return WIDE
    try:
        return os.get_terminal_size(out.fileno()).columns or None
    except OSError:
        return None
