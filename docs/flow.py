"""Draws docs/flow.svg, the way of a row through treadle; run it after a change: `python docs/flow.py`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

TARGET = Path(__file__).with_name("flow.svg")
WIDTH, HEIGHT = 1040, 420
BOX_WIDTH, BOX_HEIGHT = 168, 78
SIZE = f'width="{BOX_WIDTH}" height="{BOX_HEIGHT}"'
COLUMNS = (16, 226, 436, 646, 856)
LINES = (36, 164, 292)

TITLE = (
    "A file is ingested into rows or quarantine; rows with a label train a model, the gate lets only a "
    "better one become champion, and the champion scores rows without a label into predictions."
)
STYLE = """
  text { font-family: system-ui, 'Segoe UI', Roboto, sans-serif; fill: #20242c; text-anchor: middle }
  .name { font-size: 17px; font-weight: 650 } .tools, .note { font-size: 12.5px; fill: #5d6572 }
  rect { stroke-width: 1.4 }
  .thing { fill: #ffffff; stroke: #aab2bd } .verb { fill: #dbeaf4; stroke: #0072b2 }
  .arrow { fill: none; stroke: #5d6572; stroke-width: 1.6 } .tip { fill: #5d6572 }
  .start { text-anchor: start }
  @media (prefers-color-scheme: dark) {
    text { fill: #e7e9ed } .tools, .note { fill: #9ba3af } .thing { fill: #1d2026; stroke: #596170 }
    .verb { fill: #13324a; stroke: #56b4e9 } .arrow { stroke: #9ba3af } .tip { fill: #9ba3af }
  }"""


@dataclass(frozen=True, slots=True)
class Box:
    """A flow (`verb`) or what is kept between flows, at a column and a line of the picture."""

    name: str
    tools: tuple[str, ...]
    column: int
    line: int
    verb: bool = False

    @property
    def x(self) -> int:
        """Its left edge."""
        return COLUMNS[self.column]

    @property
    def y(self) -> int:
        """Its upper edge."""
        return LINES[self.line]

    def svg(self) -> str:
        """The box with its name and its tools."""
        middle, shape = self.x + BOX_WIDTH // 2, "verb" if self.verb else "thing"
        top = self.y + (BOX_HEIGHT - 17 * len(self.tools)) // 2 + 4
        lines = [
            f'<rect class="{shape}" x="{self.x}" y="{self.y}" {SIZE} rx="10"/>',
            f'<text class="name" x="{middle}" y="{top}">{self.name}</text>',
        ]
        lines += [
            f'<text class="tools" x="{middle}" y="{top + 19 + 16 * number}">{tool}</text>'
            for number, tool in enumerate(self.tools)
        ]
        return "\n".join(lines)


FILE = Box("file", ("CSV, Parquet",), 0, 1)
INGEST = Box("ingest", ("Great Expectations", "on DuckDB"), 1, 1, verb=True)
ROWS = Box("rows", ("Delta tables",), 2, 1)
QUARANTINE = Box("quarantine", ("Delta, with the rules", "that were broken"), 1, 2)
TRAIN = Box("train", ("Optuna, XGBoost", "MLflow tracking"), 2, 0, verb=True)
GATE = Box("gate", ("better, on rows that", "neither has seen?"), 3, 0, verb=True)
CHAMPION = Box("champion", ("MLflow registry", "and ledger"), 4, 0)
SCORE = Box("score", ("XGBoost, in a stream",), 4, 1, verb=True)
PREDICTIONS = Box("predictions", ("Delta tables, files",), 4, 2)
BOXES = (FILE, INGEST, ROWS, QUARANTINE, TRAIN, GATE, CHAMPION, SCORE, PREDICTIONS)


def right(start: Box, end: Box, note: str = "") -> str:
    """An arrow from one box to one further right on its line, with a note above it."""
    y, x1, x2 = start.y + BOX_HEIGHT // 2, start.x + BOX_WIDTH, end.x
    lines = [
        f'<path class="arrow" d="M{x1 + 3} {y}H{x2 - 10}"/>',
        f'<path class="tip" d="M{x2 - 3} {y}l-9 -4.5v9z"/>',
    ]
    if note:
        lines.append(f'<text class="note" x="{(x1 + x2) // 2}" y="{y - 8}">{note}</text>')
    return "\n".join(lines)


def vertical(start: Box, end: Box, note: str = "") -> str:
    """An arrow from one box to the one above or below it, with a note at its side."""
    down = end.y > start.y
    x = start.x + BOX_WIDTH // 2
    y1, y2 = (start.y + BOX_HEIGHT, end.y) if down else (start.y, end.y + BOX_HEIGHT)
    sign = 1 if down else -1
    lines = [
        f'<path class="arrow" d="M{x} {y1 + 3 * sign}V{y2 - 10 * sign}"/>',
        f'<path class="tip" d="M{x} {y2 - 3 * sign}l-4.5 {-9 * sign}h9z"/>',
    ]
    if note:
        lines.append(f'<text class="note start" x="{x + 10}" y="{(y1 + y2) // 2 + 4}">{note}</text>')
    return "\n".join(lines)


def draw() -> str:
    """The whole picture as SVG; it follows the reader's light or dark theme."""
    arrows = [
        right(FILE, INGEST),
        right(INGEST, ROWS),
        vertical(INGEST, QUARANTINE, "refused"),
        vertical(ROWS, TRAIN, "with a label"),
        right(TRAIN, GATE),
        right(GATE, CHAMPION),
        vertical(CHAMPION, SCORE),
        right(ROWS, SCORE, "without a label"),
        vertical(SCORE, PREDICTIONS),
    ]
    notes = [
        (GATE.x + 4, GATE.y + BOX_HEIGHT + 18, "if not, the champion stays"),
        (16, HEIGHT - 18, "blue: what Prefect runs; white: what is kept"),
    ]
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"'
    lines = [f'{head} aria-label="{TITLE}">', f"<style>{STYLE}\n</style>", *arrows]
    lines += [box.svg() for box in BOXES]
    lines += [f'<text class="note start" x="{x}" y="{y}">{note}</text>' for x, y, note in notes]
    return "\n".join([*lines, "</svg>\n"])


if __name__ == "__main__":
    TARGET.write_text(draw(), encoding="utf-8")
