"""One look for all pictures: palette, type, size, and SVG that is small and the same every time."""

from __future__ import annotations

import io
import re
import warnings
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from treadle.tasks.shares import share_ends

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, which people with any colour vision tell apart; the page swaps them by theme.
INK = "#20242c"
MUTED = "#68707d"
GRID = "#dfe3e8"
BLUE = "#0072b2"
ORANGE = "#d55e00"
GREEN = "#009e73"
THEME = {INK: "ink", MUTED: "muted", GRID: "grid", BLUE: "blue", ORANGE: "orange", GREEN: "green"}

# Text that may lie on lines bears this group id: the page gives it an edge in the paper's colour.
HALO = "halo"

# Points, which are the SVG's units: a phone is about as wide as this, so its text stays readable there.
WIDTH = 360
STYLE: dict[str, object] = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.size": 9.5,
    "axes.titlesize": 9.5,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
    "figure.constrained_layout.h_pad": 0.05,
    "figure.constrained_layout.w_pad": 0.05,
}


@dataclass(frozen=True, slots=True)
class Plot:
    """A picture, its title, and one sentence that says what one should see in it."""

    name: str
    title: str
    caption: str
    svg: str


def draw(name: str, paint: Callable[[Figure], None], *, height: float = 250, width: float = WIDTH) -> str:
    """The SVG of what `paint` puts on an empty figure of `width` x `height` points.

    The same input gives the same bytes. Text stays text, without a font of its own, so that the page's font
    applies and the file stays small.
    """
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(), warnings.catch_warnings():
        # rows and columns may be named in any script; the browser has the glyphs that matplotlib's font lacks
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        matplotlib.rcdefaults()
        matplotlib.rcParams.update({**STYLE, "svg.hashsalt": name})
        figure = Figure(figsize=(width / 72, height / 72), layout="constrained")
        paint(figure)
        buffer = io.StringIO()
        figure.savefig(
            buffer,
            format="svg",
            transparent=True,
            metadata={"Date": None, "Creator": None, "Format": None, "Type": None},
        )
    return tidy(buffer.getvalue())


def tidy(svg: str) -> str:
    """Less of the same picture: no prologue, comments, unused ids, fonts or digits that no eye sees."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    used = set(re.findall(r"#([\w-]+)[\"')]", svg))
    svg = svg.replace(f'id="{HALO}"', f'class="{HALO}"')
    svg = re.sub(r' id="([^"]+)"', lambda match: match[0] if match[1] in used else "", svg)
    svg = re.sub(r"<[^>]*>", lambda match: tidy_tag(match[0]), svg)
    svg = re.sub(r">\s+<", "><", svg).replace('style=""', "")
    return svg.replace("<svg ", '<svg font-family="system-ui, sans-serif" ', 1).strip()


def tidy_tag(tag: str) -> str:
    """Two decimals for coordinates, and no font family."""
    tag = re.sub(r"\d+\.\d{3,}", lambda match: f"{float(match[0]):.2f}".rstrip("0").rstrip("."), tag)
    return re.sub(r" ?font-family: [^;\"]*;?", "", tag)


def themed(svg: str, label: str) -> str:
    """The picture for the page: colours by name, as wide as its place, described by `label` for screen readers."""
    from markupsafe import escape

    for colour, name in THEME.items():
        svg = svg.replace(colour, f"var(--{name})")
    head, rest = svg.split(">", 1)
    head = re.sub(r' (?:width|height|font-family|version|xmlns)="[^"]*"', "", head)
    return f'{head} role="img" aria-label="{escape(label)}">{rest}'


def thin(x: np.ndarray, y: np.ndarray, most: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """At most about `most` points of a line, spread evenly along its length as it is drawn; the ends stay."""
    import numpy as np

    if len(x) <= most:
        return x, y
    steps = np.hypot(np.diff(x) / (np.ptp(x) or 1.0), np.diff(y) / (np.ptp(y) or 1.0))
    travelled = np.concatenate([[0.0], np.cumsum(steps)])
    picks = np.unique(np.searchsorted(travelled, np.linspace(0, travelled[-1], most)).clip(0, len(x) - 1))
    picks = np.unique(np.concatenate([[0], picks, [len(x) - 1]]))
    return x[picks], y[picks]


def spread_heights(places: list[float], gap: float) -> list[float]:
    """Move label heights apart until neighbours are at least `gap` from each other; order is kept."""
    order = sorted(range(len(places)), key=lambda index: places[index])
    shifted = list(places)
    for before, after in pairwise(order):
        short = gap - (shifted[after] - shifted[before])
        if short > 0:
            shifted[after] += short / 2
            shifted[before] -= short / 2
    return shifted


def end_labels(axes: Axes, lines: list[tuple[float, str, str]], x: float) -> None:
    """Name lines where they end instead of in a legend; each is (y, text, colour)."""
    low, high = axes.get_ylim()
    places = spread_heights([y for y, _, _ in lines], 0.085 * (high - low))
    for (_, text, colour), place in zip(lines, places, strict=True):
        axes.annotate(
            text,
            (x, place),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            color=colour,
            fontweight="bold",
            gid=HALO,
        )


def plain_numbers(axes: Axes) -> None:
    """Axis numbers in full with thousands parted, never as 1e6."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(5))
        axis.set_major_formatter(FuncFormatter(lambda value, _: axis_number(value)))


def axis_number(value: float) -> str:
    """An axis number: 1,500; 2.5M; 0.25."""
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M")):
        if abs(value) >= size:
            return f"{value / size:,.4g}{letter}".replace("-", "−")
    return f"{value:,.0f}".replace("-", "−") if abs(value) >= 1000 else f"{value:.4g}".replace("-", "−")


def whole_numbers(axes: Axes) -> None:
    """Ticks at whole numbers only: there is no half round or trial."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))


def wilson(hits: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """95% interval of a share (Wilson 1927): lower and upper, [k] each; `rows` must be above zero."""
    return share_ends(hits / rows, rows, 1.96)
