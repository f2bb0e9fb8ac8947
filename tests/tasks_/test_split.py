from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treadle.tasks.dataset.split import Parts, SplitSpec, canonical_rows, split
from treadle.tasks.errors import DataError, TargetError

DAY = datetime(2024, 1, 1, tzinfo=UTC)


def table(rows: int, **more: object) -> pa.Table:
    draw = np.random.default_rng(rows)
    columns = {"id": np.arange(rows), "x": draw.normal(size=rows), "y": np.arange(rows) % 2, **more}
    return pa.table(columns)


def parted(rows: pa.Table, **spec: object) -> Parts:
    key = ["id"] if "id" in rows.column_names else []
    return split(rows, SplitSpec(**spec), key=key, time="when", target="y")  # type: ignore[arg-type]


def ids(parts: Parts) -> dict[str, set[int]]:
    return {name: set(getattr(parts, name)["id"].to_pylist()) for name in ("train", "validation", "holdout")}


def test_every_row_is_in_exactly_one_part_of_about_the_asked_share() -> None:
    parts = parted(table(10_000), holdout=0.2, validation=0.25)
    sizes = [len(parts.train), len(parts.validation), len(parts.holdout)]
    assert sum(sizes) == 10_000
    assert sizes == pytest.approx([6_000, 2_000, 2_000], rel=0.05)
    assert len(set().union(*ids(parts).values())) == 10_000


@given(st.permutations(range(60)), st.integers(1, 59))
@settings(max_examples=25, deadline=None)
def test_a_keyed_rows_part_depends_on_its_key_alone(order: list[int], chunk: int) -> None:
    rows = table(60)
    shuffled = pa.concat_tables([rows.take(order[:chunk]), rows.take(order[chunk:])])
    changed = shuffled.set_column(1, "x", pa.array(np.zeros(60)))
    assert ids(parted(changed)) == ids(parted(rows))


def test_rows_that_arrive_later_move_no_other_row() -> None:
    before, after = ids(parted(table(2_000))), ids(parted(table(3_000)))
    assert all(before[name] <= after[name] for name in before)


def test_parts_are_the_same_for_ever() -> None:
    rows = pa.table({"k": ["a", None, "ä"], "n": [1, -7, 2**40], "v": [0.5, 3.0, float("nan")]})
    assert canonical_rows(rows, ["v", "k", "n"]) == [
        b"1:a1:120:x4602678819172646912",
        b"~2:-71:3",
        "2:ä13:1099511627776~".encode(),
    ]
    assert ids(parted(table(40)))["holdout"] == {16, 22, 23, 25}


SAME_VALUE = {
    "whole numbers as integers or floats": ([3, 4], [3.0, 4.0]),
    "both zeros": ([0.0], [-0.0]),
    "NaN and null": ([float("nan")], pa.array([None], pa.float64())),
    "plain and dictionary text": (["a", "b"], pa.array(["a", "b"]).dictionary_encode()),
    "instants in any unit": (
        pa.array([DAY], pa.timestamp("us", "UTC")),
        pa.array([DAY], pa.timestamp("ns", "UTC")),
    ),
}


@pytest.mark.parametrize("case", SAME_VALUE)
def test_one_value_has_one_text_however_it_is_stored(case: str) -> None:
    first, second = SAME_VALUE[case]
    assert canonical_rows(pa.table({"c": first}), ["c"]) == canonical_rows(pa.table({"c": second}), ["c"])


def test_values_do_not_run_together() -> None:
    first, second = pa.table({"a": ["x1:"], "b": ["y"]}), pa.table({"a": ["x"], "b": ["1:y"]})
    assert canonical_rows(first, ["a", "b"]) != canonical_rows(second, ["a", "b"])


def test_without_a_key_equal_rows_stay_together_whatever_their_label_or_batch() -> None:
    rows = pa.table(
        {"x": np.arange(400) % 100, "y": np.arange(400) // 100 % 2, "_batch_id": np.arange(400).astype(str)}
    )
    parts = parted(rows)
    seen = [set(part["x"].to_pylist()) for part in (parts.train, parts.validation, parts.holdout)]
    assert sum(map(len, seen)) == 100


def test_a_group_is_never_torn_apart() -> None:
    rows = table(3_000, who=[None if i % 50 == 0 else f"p{i % 50}" for i in range(3_000)])
    parts = parted(rows.set_column(2, "y", pa.array(np.arange(3_000) // 50 % 2)), strategy="group", group="who")
    seen = [set(part["who"].to_pylist()) for part in (parts.train, parts.validation, parts.holdout)]
    assert sum(map(len, seen)) == 50


def test_a_rare_label_is_in_training_and_in_validation() -> None:
    for seed in range(20):
        labels = np.zeros(300, dtype=int)
        labels[np.random.default_rng(seed).choice(300, 40, replace=False)[:2]] = 1
        labels[np.random.default_rng(seed).choice(300, 40, replace=False)] = 2
        parts = parted(pa.table({"id": np.arange(300) + 1000 * seed, "y": labels}))
        outside = parts.train["y"].to_pylist() + parts.validation["y"].to_pylist()
        for label in set(outside):
            if outside.count(label) > 1:
                assert label in parts.train["y"].to_pylist()
                assert label in parts.validation["y"].to_pylist()


@pytest.mark.parametrize("positives", [6, 10])
def test_of_two_labels_every_part_has_both_however_rare_one_is(positives: int) -> None:
    failed = 0
    for seed in range(40):
        draw = np.random.default_rng(seed)
        labels = np.zeros(600, dtype=int)
        labels[draw.permutation(600)[:positives]] = 1
        try:
            parts = parted(pa.table({"id": draw.permutation(100_000)[:600], "y": labels}))
        except DataError:
            failed += 1
            continue
        assert all(set(part["y"].to_pylist()) == {0, 1} for part in (parts.train, parts.validation, parts.holdout))
    # the holdout gives nothing back: with 6 positives it has all but one or more in 0.2% of the worlds
    assert failed <= 1


def test_no_row_that_trained_is_held_out_when_more_rows_come() -> None:
    for seed in range(40):
        draw = np.random.default_rng(seed)
        labels = (draw.random(2_000) < 0.005).astype(int)
        labels[:3] = 1
        rows = pa.table({"id": draw.permutation(100_000)[:2_000], "y": labels})
        before, after = ids(parted(rows.slice(0, 600))), ids(parted(rows))
        assert not (before["train"] | before["validation"]) & after["holdout"]


def times(rows: int, step: timedelta = timedelta(hours=1)) -> pa.Array:
    return pa.array([DAY + step * i for i in range(rows)], pa.timestamp("us", "UTC"))


def test_a_time_split_tunes_and_judges_on_the_newest_rows() -> None:
    rows = table(1_000, when=times(1_000)).take(np.random.default_rng(0).permutation(1_000))
    found = ids(parted(rows, strategy="time"))
    assert found == {
        "train": set(range(640)),
        "validation": set(range(640, 800)),
        "holdout": set(range(800, 1_000)),
    }


def test_equal_times_stay_on_one_side() -> None:
    when = pa.array([date(2024, 1, 1 + i // 25) for i in range(100)], pa.date32())
    parts = parted(table(100, when=when), strategy="time", holdout=0.3)
    seen = [set(part["when"].to_pylist()) for part in (parts.train, parts.validation, parts.holdout)]
    assert sum(map(len, seen)) == 4


def test_rows_without_a_time_are_the_oldest() -> None:
    when = pa.array([None if i % 10 == 0 else DAY + timedelta(hours=i) for i in range(200)], pa.timestamp("us", "UTC"))
    found = ids(parted(table(200, when=when), strategy="time"))
    assert set(range(0, 200, 10)) <= found["train"]


@given(st.integers(0, 2**31), st.sampled_from(["", "1h", "5h", "2d"]), st.booleans())
@settings(max_examples=40, deadline=None)
def test_the_parts_of_a_time_split_are_a_gap_apart_and_no_other_row_is_left_out(
    seed: int, gap: str, days: bool
) -> None:
    draw = np.random.default_rng(seed)
    hours = draw.integers(0, 24 * 60, 400)
    if days:
        when = pa.array([(DAY + timedelta(hours=int(one))).date() for one in hours], pa.date32())
    else:
        when = pa.array([DAY + timedelta(hours=int(one)) for one in hours], pa.timestamp("us", "UTC"))
    rows = table(400, when=when)
    parts = parted(rows, strategy="time", gap=gap)
    apart = {"": timedelta(0), "1h": timedelta(hours=1), "5h": timedelta(hours=5), "2d": timedelta(days=2)}[gap]
    if days and apart < timedelta(days=1):
        apart = timedelta(days=bool(gap))
    train, validation, holdout = (
        sorted(part["when"].to_pylist()) for part in (parts.train, parts.validation, parts.holdout)
    )
    assert holdout[0] - validation[-1] >= apart
    assert validation[0] - train[-1] >= apart
    assert sum(map(len, (train, validation, holdout))) + len(parts.between) == 400
    plain = parted(rows, strategy="time")
    assert sorted(plain.holdout["when"].to_pylist()) == holdout, "the gap leaves the holdout as it is"
    lost = {*rows["id"].to_pylist()} - set().union(*ids(parts).values())
    for one in rows.filter(pc.is_in(rows["id"], pa.array(sorted(lost), rows["id"].type)))["when"].to_pylist():
        near_holdout, near_validation = one > holdout[0] - apart, one > validation[0] - apart
        assert one < holdout[0]
        assert near_holdout or (near_validation and one < validation[0])


def test_a_gap_needs_dates() -> None:
    with pytest.raises(DataError, match=r"split\.gap = '30d' is a span of days"):
        parted(table(100, when=np.arange(100)), strategy="time", gap="30d")


@given(st.integers(0, 2**31))
@settings(max_examples=20, deadline=None)
def test_a_time_split_judges_rows_of_new_entities_and_keeps_those_of_known_ones_apart(seed: int) -> None:
    draw = np.random.default_rng(seed)
    entered = np.sort(draw.integers(0, 1_000, 300))  # entities come over time, each some times after it came
    who = draw.integers(0, 300, 1_000)
    hours = np.minimum(entered[who] + draw.integers(0, 400, 1_000), 1_200)
    when = pa.array([DAY + timedelta(hours=int(one)) for one in hours], pa.timestamp("us", "UTC"))
    names = [None if one == 7 else f"p{one}" for one in who]
    rows = table(1_000, when=when, who=names)
    parts, plain = parted(rows, strategy="time", group="who"), parted(rows, strategy="time")
    assert parts.known is not None
    seen = {*parts.train["who"].to_pylist(), *parts.validation["who"].to_pylist()}
    assert not seen & {*parts.holdout["who"].to_pylist()}
    assert {*parts.known["who"].to_pylist()} <= seen
    assert ids(parts)["holdout"] | {*parts.known["id"].to_pylist()} == ids(plain)["holdout"]
    assert (ids(parts)["train"], ids(parts)["validation"]) == (ids(plain)["train"], ids(plain)["validation"])
    assert plain.known is None


def test_a_holdout_of_known_entities_alone_says_so() -> None:
    rows = table(100, when=times(100), who=["p"] * 100)
    with pytest.raises(
        DataError, match=r"no usable holdout part.*20 rows of a 'who' that is in training too"
    ) as caught:
        parted(rows, strategy="time", group="who")
    assert "take split.group out" in caught.value.fix


FAILURES = {
    "no rows": (table(0), {}, TargetError, "no row has a label"),
    "one label": (table(50, y=["no"] * 50), {}, TargetError, "all 50 rows have the same 'y' ('no')"),
    "a part of one label": (
        table(100, y=np.arange(100) >= 90, when=times(100)),
        {"strategy": "time"},
        DataError,
        "no usable training part",
    ),
    "one moment": (table(90, when=pa.array([DAY] * 90)), {"strategy": "time"}, DataError, "it would hold no row"),
    "text as time": (table(90, when=["x"] * 90), {"strategy": "time"}, DataError, "has no order in time"),
    "no time at all": (
        table(90, when=pa.array([None] * 90, pa.date32())),
        {"strategy": "time"},
        DataError,
        "no row has a time",
    ),
    "no such column": (table(90), {"strategy": "time"}, DataError, "'when'"),
}


@pytest.mark.parametrize("case", FAILURES)
def test_what_cannot_be_parted_says_why_and_what_to_do(case: str) -> None:
    rows, spec, error, sentence = FAILURES[case]
    with pytest.raises(error) as caught:
        parted(rows, **spec)
    assert sentence in caught.value.message
    assert caught.value.fix
