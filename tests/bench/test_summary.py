"""The figures of docs/benchmarks.md are computed from the runs as their words say."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.bench import models, summary

if TYPE_CHECKING:
    from pathlib import Path

NAN = math.nan


def run(
    table: str, system: str, error: float, fold: int = 0, draws: tuple[float, ...] = (), **more: object
) -> models.Run:
    fields = {"unseen": False, "rows": 500, "seconds": 60, "wall": 50.0, "metric": "rmse", "note": ""} | more
    return models.Run(table=table, fold=fold, system=system, error=error, draws=draws, **fields)  # type: ignore[arg-type]


def test_an_error_is_the_mean_over_folds() -> None:
    assert summary.errors([run("a", "flaml", 1.0), run("a", "flaml", 3.0, fold=1)]) == {"a": {"flaml": 2.0}}


@pytest.mark.parametrize("second", [[], [run("a", "flaml", NAN, fold=1)]], ids=["absent", "failed"])
def test_a_system_without_all_folds_has_no_error(second: list[models.Run]) -> None:
    runs = [run("a", "treadle", 1.0), run("a", "treadle", 1.0, fold=1), run("a", "flaml", 0.5), *second]
    assert summary.errors(runs) == {"a": {"treadle": 1.0}}


def test_ranks_are_means_over_tables_where_all_ran_and_equals_share_theirs() -> None:
    found = {
        "a": {"x": 1.0, "y": 2.0, "z": 3.0},
        "b": {"x": 2.0, "y": 1.0, "z": 2.0},
        "c": {"x": 9.0, "y": 1.0},
    }
    assert summary.ranks(found, ["x", "y", "z"]) == {"x": (1 + 2.5) / 2, "y": (2 + 1) / 2, "z": (3 + 2.5) / 2}


def test_a_ratio_is_against_the_better_of_those_that_ran() -> None:
    found = {"a": {"x": 3.0, "y": 2.0, "z": 4.0}, "b": {"x": 1.0, "z": 2.0}, "c": {"y": 1.0}, "d": {"x": 1.0}}
    assert summary.ratios(found, "x", ["y", "z"]) == {"a": 1.5, "b": 0.5}


@pytest.mark.parametrize(("error", "ratio"), [(0.0, 1.0), (0.1, math.inf)])
def test_a_ratio_to_no_error_at_all_is_one_only_for_none(error: float, ratio: float) -> None:
    assert summary.ratios({"a": {"x": error, "y": 0.0}}, "x", ["y"]) == {"a": ratio}


def test_the_noise_of_a_difference_is_that_of_paired_draws() -> None:
    together = [run("a", "x", 1.2, draws=(1.0, 2.0, 3.0)), run("a", "y", 1.0, draws=(0.8, 1.8, 2.8))]
    gap, noise = summary.difference(together, "a", "x", "y")
    assert (gap, noise) == pytest.approx((0.2, 0.0))
    apart = [together[0], replace(together[1], draws=(3.0, 1.0, 2.0))]
    assert summary.difference(apart, "a", "x", "y")[1] == pytest.approx(math.sqrt(((-2) ** 2 + 1 + 1) / 2))


def test_folds_lower_the_noise() -> None:
    runs = [
        run("a", system, error, fold=fold, draws=draws)
        for fold in (0, 1)
        for system, error, draws in (("x", 2.0, (2.0, 4.0)), ("y", 1.0, (1.0, 1.0)))
    ]
    gap, noise = summary.difference(runs, "a", "x", "y")
    assert gap == 1.0
    assert noise == pytest.approx(math.sqrt(2 + 2) / 2)


def test_only_a_difference_beyond_noise_is_worse() -> None:
    runs = [
        run("sure", "x", 1.2, draws=(1.2, 1.21)), run("sure", "y", 1.0, draws=(1.0, 1.0)),
        run("noise", "x", 1.2, draws=(1.0, 1.6)), run("noise", "y", 1.0, draws=(1.0, 1.0)),
        run("better", "x", 0.5, draws=(0.5, 0.5)), run("better", "y", 1.0, draws=(1.0, 1.0)),
    ]  # fmt: skip
    assert summary.surely_worse(runs, ["sure", "noise", "better"], "x", "y") == ["sure"]


def test_the_page_keeps_unseen_tables_apart_and_names_failures() -> None:
    runs = [
        run("known", "treadle", 1.01), run("known", "ag_best", 1.0),
        run("known", "flaml", NAN, note="failed: no memory"),
        run("held", "treadle", 2.0, unseen=True), run("held", "ag_best", 1.0, unseen=True),
    ]  # fmt: skip
    text = summary.page(runs)
    known, held = text.split("### Tables that were held back")
    assert "| known | 500 | 1 | RMSE | 1.01 | – | **1** | 50 |" in known
    assert "1.02 times that of the better AutoGluon | 1 of 1, median ratio 1.010" in known
    assert "1.02 times that of the better AutoGluon | 0 of 1, median ratio 2.000" in held
    assert "| known |" not in held
    assert "flaml on known, fold 0: failed: no memory" in text


def test_wall_clock_counts_small_tables_only() -> None:
    runs = [run("small", "treadle", 1.0, wall=61.0), run("large", "treadle", 1.0, wall=300.0, rows=200_000)]
    assert "at most 60 s up to 100,000 rows | 0 of 1 |" in summary.page(runs)


def test_figures_replace_figures_and_nothing_else() -> None:
    page = f"# Title\n{summary.BEGIN}\nold\n{summary.END}\nend\n"
    once = summary.written(page, "new\n")
    assert once == f"# Title\n{summary.BEGIN}\n\nnew\n\n{summary.END}\nend\n"
    assert summary.written(once, "new\n") == once


def test_the_page_of_the_docs_has_the_marks() -> None:
    assert summary.PAGE.read_text(encoding="utf-8").count(summary.BEGIN) == 1


def test_a_csv_gives_back_what_was_appended_and_the_later_of_two_lines_counts(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "runs.csv"
    failed = run("a", "flaml", NAN, note='failed: "x, y"')
    kept = [run("a", "treadle", 1.25, draws=(1.5, 0.25), unseen=True), run("a", "flaml", 2.0)]
    for one in (failed, *kept):
        models.append(out, one)
    assert {one.pair: one for one in models.recorded(out)} == {one.pair: one for one in kept}
