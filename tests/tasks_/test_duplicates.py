"""Rows of equal inputs: their labels show whether they are copies, and that decides into which parts they go."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from tests.customers import look
from treadle.tasks import training
from treadle.tasks.config.draft import draft
from treadle.tasks.config.spec import PipelineConfig
from treadle.tasks.dataset import Column, Schema
from treadle.tasks.dataset.judging import FittedRows, judging
from treadle.tasks.dataset.split import Parts, SplitSpec, split
from treadle.tasks.validation import dealt

if TYPE_CHECKING:
    from treadle.tasks.dataset.proposal import Proposal, Wanted

APART = SplitSpec(duplicates="apart")


def cells(rows: int, seed: int = 0, levels: tuple[int, int] = (12, 8)) -> pd.DataFrame:
    """Rows of two columns of few levels, each with a draw of its own."""
    draw = np.random.default_rng(seed)
    region, tier = (draw.integers(0, count, rows) for count in levels)
    chance = draw.random(levels)[region, tier]
    return pd.DataFrame(
        {
            "region": [f"r{one}" for one in region],
            "tier": [f"t{one}" for one in tier],
            "left": draw.random(rows) < chance,
            "spent": np.round(50 + 20 * chance + draw.normal(size=rows), 2),
        }
    )


def measured(rows: int, seed: int = 0) -> pd.DataFrame:
    """Rows that differ in a measurement, some of them copied."""
    one = cells(rows, seed).assign(weight=np.random.default_rng(seed).normal(size=rows).round(6))
    return pd.concat([one, one.head(rows // 4)], ignore_index=True)


def proposed(frame: pd.DataFrame, target: str, wanted: Wanted | None = None) -> Proposal:
    with duckdb.connect() as con:
        return look(con, frame, target, wanted)[1]


CASES = {
    "classes of few cells": (cells(1_500).drop(columns="spent"), "left", "apart"),
    "amounts of few cells": (cells(1_500).drop(columns="left"), "spent", "apart"),
    "copies of measured rows, classes": (measured(1_200).drop(columns="spent"), "left", "together"),
    "copies of measured rows, amounts": (measured(1_200).drop(columns="left"), "spent", "together"),
    "rows that all differ": (measured(1_200).drop_duplicates().drop(columns="spent"), "left", "together"),
    "few rows": (cells(15).drop(columns="spent").assign(left=[True, False, True] * 5), "left", "together"),
    "cells that give the label": (
        cells(1_500).drop(columns="spent").assign(left=lambda one: (one.tier < "t4") ^ (one.region < "r5")),
        "left",
        "together",
    ),
    "cells, exported twice": (
        pd.concat([wide := cells(1_500, levels=(60, 20)).drop(columns="spent"), wide], ignore_index=True),
        "left",
        "together",
    ),
    "a dropped column says the label in other words": (
        cells(1_500).drop(columns="spent").assign(fate=lambda one: np.where(one.left, "gone", "here")),
        "left",
        "apart",
    ),
    "a key tells rows apart": (
        cells(1_500).drop(columns="spent").assign(row_id=[f"k{n * 7 % 1_500}" for n in range(1_500)]),
        "left",
        "together",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_labels_tell_copies_from_observations(case: str) -> None:
    frame, target, expected = CASES[case]
    found = proposed(frame, target)
    assert found.duplicates == expected
    assert ("split.duplicates" in found.why) == (expected == "apart")


def test_the_proposal_stands_in_the_file_with_its_figures() -> None:
    frame = cells(1_500).drop(columns="spent")
    repeated = int(frame.drop(columns="left").duplicated().sum())
    with duckdb.connect() as con:
        facts, proposal = look(con, frame, "left")
    text = draft("cells", "cells.csv", ["cells.csv"], facts, proposal)
    assert 'duplicates = "apart"' in text
    assert f"{repeated:,} of 1,500 rows have the inputs of an earlier row" in " ".join(text.replace("#", "").split())


def table(rows: int = 600, seed: int = 0) -> pa.Table:
    draw = np.random.default_rng(seed)
    return pa.table(
        {
            "a": draw.integers(0, 5, rows),
            "b": draw.integers(0, 4, rows),
            "y": draw.integers(0, 2, rows),
            "_batch_id": ["a"] * rows,
            "_ordinal": np.arange(rows),
        }
    )


def places(parts: Parts) -> dict[int, str]:
    return {
        row: name for name in ("train", "validation", "holdout") for row in getattr(parts, name)["_ordinal"].to_pylist()
    }


def parted(rows: pa.Table, spec: SplitSpec = APART, key: tuple[str, ...] = ()) -> dict[int, str]:
    return places(split(rows, spec, key=key, time="", target="y"))


def test_rows_of_one_content_go_their_own_ways_in_about_the_asked_shares() -> None:
    rows = table(4_000)
    where = parted(rows)
    shares = [sum(one == name for one in where.values()) / len(rows) for name in ("train", "validation", "holdout")]
    assert shares == pytest.approx([0.64, 0.16, 0.2], abs=0.03)
    frame = rows.to_pandas().assign(part=[where[row] for row in range(len(rows))])
    assert (frame.groupby(["a", "b"])["part"].nunique() == 3).all()
    alone = frame.groupby("part")["y"].mean()
    assert alone.max() - alone.min() < 0.1


def test_rows_that_come_later_move_no_other_row() -> None:
    rows = table(900)
    steps = [parted(rows.slice(0, count)) for count in (300, 600, 900)]
    for before, after in pairwise(steps):
        assert all(after[row] == part for row, part in before.items())


def test_the_first_row_of_a_content_stays_where_it_was_and_a_key_or_a_group_decides_alone() -> None:
    rows = table(600)
    frame = rows.to_pandas()
    first = frame.index[~frame.duplicated(["a", "b"])]
    together, apart = parted(rows, SplitSpec()), parted(rows)
    assert all(together[row] == apart[row] for row in first)
    assert parted(rows, key=("_ordinal",)) == parted(rows, SplitSpec(), key=("_ordinal",))
    by_group, rows = {"strategy": "group", "group": "who"}, rows.append_column("who", pa.array(np.arange(600) // 15))
    assert parted(rows, SplitSpec(duplicates="apart", **by_group)) == parted(rows, SplitSpec(**by_group))


@pytest.mark.parametrize("spec", [SplitSpec(), APART])
def test_folds_follow_the_split(spec: SplitSpec) -> None:
    rows = table(600)
    config = PipelineConfig.model_validate(
        {"name": "cells", "data": {"source": "x", "target": "y", "task": "binary", "positive": 1}}
    )
    schema = Schema(columns=tuple(Column(name=name, kind="integer") for name in ("a", "b", "y")))
    folds = dealt(training.define(config, schema, (0, 1)), rows, spec, rows["y"].to_numpy(), 0)
    contents = np.array([f"{a} {b}" for a, b in zip(rows["a"].to_pylist(), rows["b"].to_pylist(), strict=True)])
    shared = [set(contents[fold.fitted]) & set(contents[fold.answered]) for fold in folds]
    assert all(len(one) > 15 for one in shared) if spec is APART else not any(shared)


@pytest.mark.parametrize(("spec", "judges"), [(SplitSpec(), False), (APART, True)])
def test_two_models_are_judged_on_rows_of_known_content_where_such_rows_are_observations(
    spec: SplitSpec, judges: bool
) -> None:
    old, new = table(400), table(300, 1).set_column(3, "_batch_id", pa.array(["b"] * 300))
    champion = FittedRows(old, SplitSpec(), (), "", "y")  # whatever the champion's split was
    rows, left_out = judging(new, FittedRows(old.slice(0, 0), spec, (), "", "y"), champion)
    assert (len(rows) == 300) == judges
    assert bool(left_out) != judges
