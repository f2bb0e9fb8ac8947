"""Numbers, durations and verdicts as text; without rich, which `treadle --help` must not load."""

from __future__ import annotations

COLOURS = {
    "PROMOTE": "green",
    "accepted": "green",
    "ok": "green",
    "NOT_COMPARABLE": "yellow",
    "KEEP": "yellow",
    "warning": "yellow",
    "REFUSED": "red",
    "refused": "red",
    "unreadable": "red",
    "broken": "red",
}


def coloured_word(word: str) -> tuple[str, str]:
    """Return a verdict or status with its style, as a part of `Screen.line`."""
    return word, f"bold {COLOURS.get(word, 'default')}"


def plural(number: int, noun: str) -> str:
    """Return `1 row`, `1,000 rows`, `2 batches`."""
    ending = "es" if noun.endswith(("ch", "s", "x")) else "s"
    return f"{number:,} {noun}{'' if number == 1 else ending}"


def format_score(value: float | None) -> str:
    """Return a score with four significant decimals; a dash for None."""
    if value is None:
        return "-"
    return f"{value:,.1f}" if abs(value) >= 1000 else f"{value:.4g}" if abs(value) >= 1 else f"{value:.4f}"


def format_duration(seconds: float) -> str:
    """Return `12 s` or `2 min 5 s`."""
    whole = round(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60} s"


def format_clock(seconds: float) -> str:
    """Return seconds as `0:42` or `1:02:03`; negative ones as `0:00`."""
    whole = max(0, round(seconds))
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60}:{rest % 60:02d}"
