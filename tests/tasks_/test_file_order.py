"""`[data] order = "file"`: rows are split, folded and compared in the order in which they arrived."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from treadle.tasks import dependence, refit, training
from treadle.tasks.config.spec import PipelineConfig
from treadle.tasks.dataset import Column, Schema, SplitSpec, split
from treadle.tasks.dataset.arrival import arrival_moment, arrival_place, arrivals
from treadle.tasks.dataset.judging import FittedRows, judging

if TYPE_CHECKING:
    from treadle.tasks.dataset import Parts

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
BY_ORDER = SplitSpec(strategy="time", holdout=0.2, validation=0.25)


def batch(name: str, rows: int, minutes: float, first: int = 0) -> pa.Table:
    """One file's rows as the table keeps them; `n` numbers them over all files."""
    return pa.table(
        {
            "n": np.arange(first, first + rows),
            "y": np.arange(rows) % 2,
            "_batch_id": [name] * rows,
            "_ordinal": np.arange(rows),
            "_ingested_at": pa.array([NOON + timedelta(minutes=minutes)] * rows, pa.timestamp("us", "UTC")),
        }
    )


def numbers(rows: pa.Table) -> list[int]:
    return rows["n"].to_pylist()  # type: ignore[no-any-return]


def parted(rows: pa.Table, after: datetime | None = None, spec: SplitSpec = BY_ORDER) -> Parts:
    return split(rows, spec, key=["n"], time="", target="y", after=after)


def test_a_time_split_without_a_time_column_cuts_the_order_of_arrival() -> None:
    # the file that arrived first has the later name
    rows = pa.concat_tables([batch("z", 60, 0), batch("a", 40, 5, first=60)])
    parts = parted(rows)
    assert numbers(parts.train) == list(range(60))
    assert numbers(parts.validation) == list(range(60, 80))
    assert numbers(parts.holdout) == list(range(80, 100))


@given(st.permutations(range(40)))
@settings(max_examples=20, deadline=None)
def test_the_parts_hold_the_same_rows_whatever_order_the_table_is_read_in(order: list[int]) -> None:
    rows = pa.concat_tables([batch("b", 25, 0), batch("a", 15, 1, first=25)])
    assert sorted(numbers(parted(rows.take(order)).holdout)) == numbers(parted(rows).holdout)


def test_a_row_keeps_its_place_when_more_data_and_late_labels_come() -> None:
    rows = pa.concat_tables([batch("a", 50, 0), batch("b", 50, 60, first=50), batch("c", 50, 120, first=100)])
    labelled_early = rows.take([*range(0, 50, 3), *range(50, 100)])
    early = dict(zip(numbers(labelled_early), arrivals(labelled_early).tolist(), strict=True))
    late = dict(zip(numbers(rows), arrivals(rows).tolist(), strict=True))
    assert all(late[n] == place for n, place in early.items())


def test_batches_that_follow_each_other_within_microseconds_stay_in_order() -> None:
    rows = pa.concat_tables([batch("b", 50, 0), batch("a", 50, 0.0000002, first=50), batch("c", 5, 0.001, first=100)])
    assert (np.diff(arrivals(rows)) > 0).all()


def test_a_place_is_a_moment_and_back() -> None:
    places = arrivals(batch("a", 3, 0))
    assert [arrival_place(arrival_moment(int(place))) for place in places] == places.tolist()
    with pytest.raises(TypeError):
        arrival_place("noon")


def test_the_cut_moves_to_where_a_champion_s_rows_end() -> None:
    rows = pa.concat_tables([batch("a", 60, 0), batch("b", 40, 5, first=60)])
    until = arrival_moment(int(arrivals(rows)[69]))
    assert numbers(parted(rows, after=until).holdout) == list(range(70, 100))


def test_rows_that_arrived_before_the_last_fitted_one_do_not_judge() -> None:
    rows = pa.concat_tables([batch("a", 60, 0), batch("b", 40, 5, first=60)])
    parts = parted(rows)
    challenger = FittedRows(training.together(parts.train, parts.validation), BY_ORDER, ("n",), "", "y")
    champion = FittedRows(rows.slice(0, 89).take([*range(0, 60), 88]), BY_ORDER, ("n",), "", "y")
    new, left_out = judging(parts.holdout, challenger, champion)
    assert numbers(new) == list(range(89, 100))
    assert [(one.why, one.rows) for one in left_out] == [
        ("the champion was fitted on them", 1),
        ("the champion was fitted on rows that arrived as late", 8),
    ]


def test_neighbours_in_order_of_arrival_depend_on_each_other() -> None:
    rows = batch("a", 400, 0)
    depends = dependence.dependence_of(rows, BY_ORDER, "")
    influence = np.repeat(np.random.default_rng(0).normal(size=20), 20)
    alone = dependence.standard_error(influence - influence.mean(), dependence.Dependence())
    assert dependence.standard_error(influence - influence.mean(), depends).error > 2 * alone.error


def test_a_refit_leaves_rows_out_at_rolling_origins_in_order_of_arrival() -> None:
    rows = pa.concat_tables([batch("b", 60, 0), batch("a", 40, 5, first=60)])
    parts = parted(rows)
    schema = Schema(columns=(Column(name="n", kind="integer"), Column(name="y", kind="integer")))
    text = """{"name": "p", "data": {"source": "s", "target": "y", "task": "binary", "order": "file"}}"""
    problem = training.define(PipelineConfig.model_validate_json(text), schema, [0, 1])
    every = parts.every_row()
    found = refit.folds(problem, parts, BY_ORDER, np.asarray(every["y"]), seed=0)
    assert len(found) == 3
    for fold in found:
        fitted, answered = numbers(every.take(fold.fitted)), numbers(every.take(fold.answered))
        assert max(fitted) < min(answered)
    assert training.last_time(problem, rows) == arrival_moment(int(arrivals(rows)[-1]))
    assert training.first_time(problem, parts.holdout) == arrival_moment(int(arrivals(parts.holdout)[0]))


@pytest.mark.parametrize(
    ("data", "split_", "message"),
    [
        ('"time": "day", "order": "file"', '"strategy": "time"', "dates the rows already"),
        ('"order": "file"', '"strategy": "time", "gap": "3d"', "no column dates the rows"),
        ('"order": "files"', '"strategy": "time"', "Input should be"),
        ('"key": []', '"strategy": "time"', "'time' needs data.time"),
    ],
)
def test_what_does_not_go_with_file_order_is_refused(data: str, split_: str, message: str) -> None:
    plain = '"source": "s", "target": "y", "task": "binary"'
    text = f"""{{"name": "p", "data": {{{plain}, {data}}}, "split": {{{split_}}}}}"""
    with pytest.raises(ValidationError, match=message):
        PipelineConfig.model_validate_json(text)


def test_file_order_makes_another_digest_and_its_default_leaves_it_as_it_was() -> None:
    plain = {"source": "s", "target": "y", "task": "binary"}
    digests = [
        PipelineConfig.model_validate({"name": "p", "data": {**plain, **more}}).digest()
        for more in ({}, {"order": ""}, {"order": "file"})
    ]
    assert digests[0] == digests[1] != digests[2]
