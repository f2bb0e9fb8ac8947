"""Runs every topic of this folder in a process of its own, prints one table and writes build/audit.json.

    python -m tests.audit [--only TOPIC ...] [--scale N] [--seed N]

`--scale` multiplies how often each experiment is repeated, `--seed` makes other worlds. Exits with 1 where a figure
is above its limit or not a number, or where a topic failed.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from tests.audit.topics import measure, topics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from tests.audit.topics import Figure, Measured

OUTPUT = Path(__file__).parents[2] / "build" / "audit.json"
COLUMNS = ("topic", "experiment", "figure", "measured", "limit", "ok")


def in_processes(names: Sequence[str], scale: int, seed: int) -> Iterator[Measured]:
    """Each topic in a fresh process on one thread, as many at a time as there are cores; in the order of their ends."""
    fresh, before = multiprocessing.get_context("spawn"), dict(os.environ)
    # read when OpenMP and BLAS are loaded, so that topics beside each other do not fight for the cores
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))
    try:
        with ProcessPoolExecutor(os.cpu_count(), mp_context=fresh, max_tasks_per_child=1) as pool:
            for done in as_completed([pool.submit(measure, name, scale, seed) for name in names]):
                yield done.result()
    finally:
        os.environ.clear()
        os.environ.update(before)


def table(figures: Iterable[Figure]) -> str:
    """The figures as aligned columns."""
    lines = [COLUMNS]
    for one in figures:
        ok = "yes" if one.ok else "NO"
        lines.append((one.topic, one.experiment, one.figure, f"{one.measured:.4g}", f"{one.limit:.4g}", ok))
    widths = [max(len(line[column]) for line in lines) for column in range(len(COLUMNS))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)


def main(
    arguments: Sequence[str],
    *,
    known: Callable[[], list[str]] = topics,
    run: Callable[[Sequence[str], int, int], Iterator[Measured]] = in_processes,
    output: Path = OUTPUT,
) -> int:
    """The exit code; `known` gives the topics, `run` measures them."""
    parser = argparse.ArgumentParser("python -m tests.audit", description="error rates, measured by experiment")
    parser.add_argument("--only", nargs="+", choices=known(), metavar="TOPIC", help="topics to run (default: all)")
    parser.add_argument("--scale", type=int, default=1, help="times as many repetitions")
    parser.add_argument("--seed", type=int, default=0, help="seed of every random draw")
    chosen = parser.parse_args(arguments)
    measured = []
    for one in run(chosen.only or known(), chosen.scale, chosen.seed):
        print(f"{one.topic}: {len(one.figures)} figures in {one.seconds:.0f} s", file=sys.stderr, flush=True)
        measured.append(one)
    measured.sort(key=lambda one: one.topic)
    figures = [figure for one in measured for figure in one.figures]
    failed = {one.topic: one.failure for one in measured if one.failure}
    output.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "scale": chosen.scale,
        "seed": chosen.seed,
        "seconds": {one.topic: one.seconds for one in measured},
        "failed": failed,
        "figures": [{**asdict(figure), "ok": figure.ok} for figure in figures],
    }
    output.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    print(table(figures))
    for topic, failure in failed.items():
        print(f"\n{topic} failed: {failure}", file=sys.stderr)
    missed = sum(not figure.ok for figure in figures)
    print(f"{len(figures)} figures, {missed} above their limit, {len(failed)} topics failed: {output}")
    return 1 if missed or failed or not measured else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
