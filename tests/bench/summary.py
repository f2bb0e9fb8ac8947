"""The tables of docs/benchmarks.md from the CSV of `tests.bench.models` (`python -m tests.bench.summary FILE --write`).

Every figure is computed here from the recorded runs; nothing is typed by hand.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench.models import SYSTEMS, TREADLE, recorded

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tests.bench.models import Run

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"
BEGIN, END = "<!-- figures: python -m tests.bench.summary -->", "<!-- end of figures -->"

SEARCHES, AUTOGLUON, DEFAULTS = ("optuna_xgb", "flaml"), ("ag_medium", "ag_best"), "histgb_default"
CLOSE = 1.02
"""How far above the better AutoGluon an error may be."""

SURE = 2.0
"""Standard errors of a difference that are more than noise."""

MOST_WALL, MOST_ROWS = 60.0, 100_000
"""Seconds that `treadle train` may take on tables up to so many rows."""

Errors = dict[str, dict[str, float]]
"""Table -> system -> mean error over folds; a system without all folds of a table is missing there."""


def errors(runs: Iterable[Run]) -> Errors:
    """Mean error of each system on each table, over all folds on which any system ran."""
    values: dict[str, dict[str, dict[int, float]]] = {}
    for run in runs:
        values.setdefault(run.table, {}).setdefault(run.system, {})[run.fold] = run.error
    found: Errors = {}
    for table, systems in values.items():
        folds = {fold for by_fold in systems.values() for fold in by_fold}
        found[table] = {
            system: statistics.fmean(by_fold.values())
            for system, by_fold in systems.items()
            if set(by_fold) == folds and all(map(math.isfinite, by_fold.values()))
        }
    return found


def shared(found: Errors, systems: Sequence[str]) -> Errors:
    """The tables on which all of `systems` have an error."""
    return {table: values for table, values in found.items() if set(systems) <= set(values)}


def ranks(found: Errors, systems: Sequence[str]) -> dict[str, float]:
    """Mean rank over tables on which all systems have an error; 1 is best, equal errors share their mean rank."""
    places: dict[str, list[float]] = {system: [] for system in systems}
    for values in shared(found, systems).values():
        for system in systems:
            better = sum(values[other] < values[system] for other in systems)
            equal = sum(values[other] == values[system] for other in systems)
            places[system].append(better + (equal + 1) / 2)
    return {system: statistics.fmean(ranks_) for system, ranks_ in places.items() if ranks_}


def ratios(found: Errors, system: str, others: Sequence[str]) -> dict[str, float]:
    """The system's error as a multiple of the least among `others`, on tables where the system and one of them ran."""
    result = {}
    for table, values in found.items():
        there = [values[other] for other in others if other in values]
        if system in values and there:
            result[table] = values[system] / min(there) if min(there) else math.inf if values[system] else 1.0
    return result


def difference(runs: Iterable[Run], table: str, system: str, other: str) -> tuple[float, float]:
    """Mean over folds of the system's error less the other's, and its standard error from the paired draws.

    nan where a run is missing or failed.
    """
    by_fold: dict[int, dict[str, Run]] = {}
    for run in runs:
        if run.table == table:
            by_fold.setdefault(run.fold, {})[run.system] = run
    gaps, variances = [], []
    for pair in by_fold.values():
        if system not in pair or other not in pair:
            return math.nan, math.nan
        one, two = pair[system], pair[other]
        gaps.append(one.error - two.error)
        paired = [a - b for a, b in zip(one.draws, two.draws, strict=False) if math.isfinite(a) and math.isfinite(b)]
        variances.append(statistics.variance(paired) if len(paired) > 1 else math.nan)
    if not gaps:
        return math.nan, math.nan
    return statistics.fmean(gaps), math.sqrt(sum(variances)) / len(gaps)


def surely_worse(runs: Sequence[Run], tables: Iterable[str], system: str, other: str) -> list[str]:
    """Tables on which the system's error is above the other's by more than noise."""
    found = {table: difference(runs, table, system, other) for table in tables}
    return [table for table, (gap, noise) in found.items() if gap > SURE * noise]


def share(values: Mapping[str, float], most: float) -> str:
    """How many of the values are at most `most`."""
    return f"{sum(value <= most for value in values.values())} of {len(values)}"


def number(value: float | None) -> str:
    """Four significant digits, or a dash for what is missing."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.4g}"


def grid(rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table; the first row is its head."""
    head, *rest = ["| " + " | ".join(row) + " |" for row in rows]
    return [head, "|" + "---|" * len(rows[0]), *rest, ""]


def error_table(runs: Sequence[Run], systems: Sequence[str]) -> list[str]:
    """Error per table and system, the best in bold, and the longest `treadle train`."""
    found = errors(runs)
    rows = [["table", "rows", "folds", "error", *systems, "`train`, s"]]
    for table in found:
        own = [run for run in runs if run.table == table]
        values = found[table]
        best = min((values[system] for system in systems if system in values), default=math.nan)
        cells = [
            f"**{number(values[system])}**" if values.get(system) == best else number(values.get(system))
            for system in systems
        ]
        walls = [run.wall for run in own if run.system == TREADLE and math.isfinite(run.wall)]
        kind = {"roc_auc": "1 - AUC", "log_loss": "log loss", "rmse": "RMSE"}[own[0].metric]
        folds = len({run.fold for run in own})
        rows.append([table, f"{own[0].rows:,}", str(folds), kind, *cells, number(max(walls, default=math.nan))])
    return grid(rows)


def claims(runs: Sequence[Run]) -> list[str]:
    """What is asked of treadle beside its peers, and what came out."""
    found = errors(runs)
    small = [run for run in runs if run.system == TREADLE and run.rows <= MOST_ROWS and math.isfinite(run.wall)]
    walls = {f"{run.table} {run.fold}": run.wall for run in small}
    rows = [["asked", "came out"]]
    rows.append([f"`treadle train` takes at most {MOST_WALL:g} s up to {MOST_ROWS:,} rows", share(walls, MOST_WALL)])
    for others, most, words in (
        (SEARCHES, 1.0, "error at most that of the better of Optuna and FLAML"),
        (SEARCHES[:1], 1.0, "error at most that of Optuna"),
        (SEARCHES[1:], 1.0, "error at most that of FLAML"),
        (AUTOGLUON, CLOSE, f"error at most {CLOSE:g} times that of the better AutoGluon"),
    ):
        measured = ratios(found, TREADLE, others)
        middle = f", median ratio {statistics.median(measured.values()):.3f}" if measured else ""
        rows.append([words, share(measured, most) + middle])
    compared = sorted(shared(found, (TREADLE, DEFAULTS)))
    worse = surely_worse(runs, compared, TREADLE, DEFAULTS)
    rows.append([
        f"error never above HistGradientBoosting's by more than {SURE:g} standard errors",
        f"{len(compared) - len(worse)} of {len(compared)}" + (f"; above on {', '.join(worse)}" if worse else ""),
    ])  # fmt: skip
    return grid(rows)


def rank_lines(runs: Sequence[Run], systems: Sequence[str]) -> list[str]:
    """Mean ranks, and over how many tables."""
    found = errors(runs)
    over = len(shared(found, systems))
    if not over:
        return []
    placed = sorted(ranks(found, systems).items(), key=lambda item: item[1])
    said = ", ".join(f"{system} {rank:.1f}" for system, rank in placed)
    return [f"Mean rank over the {over} tables on which all {len(systems)} ran: {said}.", ""]


def page(runs: Sequence[Run]) -> str:
    """All tables: those that were known during development, then the unseen ones, apart."""
    lines: list[str] = []
    for unseen, title in ((False, "Tables known during development"), (True, "Tables that were held back")):
        own = [run for run in runs if run.unseen == unseen]
        if own:
            systems = [system for system in SYSTEMS if any(run.system == system for run in own)]
            lines += [f"### {title}", "", *error_table(own, systems), *rank_lines(own, systems), *claims(own)]
    failed = [run for run in runs if not math.isfinite(run.error)]
    if failed:
        lines += ["Runs that gave no prediction:", ""]
        lines += [f"- {run.system} on {run.table}, fold {run.fold}: {run.note}" for run in failed]
    return "\n".join(lines).strip() + "\n"


def written(text: str, figures: str) -> str:
    """The page with the figures between its two marks."""
    before, rest = text.split(BEGIN, 1)
    return before + BEGIN + "\n\n" + figures + "\n" + END + rest.split(END, 1)[1]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables, or write them into the page."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.summary", description=__doc__)
    parser.add_argument("runs", type=Path, nargs="+", help="CSVs of tests.bench.models")
    parser.add_argument("--write", action="store_true", help="into docs/benchmarks.md")
    options = parser.parse_args(arguments)
    figures = page([run for path in options.runs for run in recorded(path)])
    if options.write:
        PAGE.write_text(written(PAGE.read_text(encoding="utf-8"), figures), encoding="utf-8")
    else:
        print(figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
