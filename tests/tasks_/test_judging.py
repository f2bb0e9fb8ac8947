"""The judging rows are new to both models, whatever changed between them; held against a slow recomputation."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from treadle.tasks.dataset import SplitSpec, split
from treadle.tasks.dataset.judging import FittedRows, alike, judging, sketch
from treadle.tasks.errors import DataError, TargetError

if TYPE_CHECKING:
    from collections.abc import Sequence

DAY = datetime(2024, 1, 1, tzinfo=UTC)


class Setting(NamedTuple):
    """What a config may say differently from one training to the next."""

    split: SplitSpec
    key: tuple[str, ...]


SHARES = st.sampled_from([0.1, 0.2, 0.3, 0.5])
SPLITS = st.one_of(
    st.builds(
        SplitSpec,
        strategy=st.just("random"),
        holdout=SHARES,
        validation=SHARES,
        duplicates=st.sampled_from(["together", "together", "apart"]),
    ),
    st.builds(
        SplitSpec,
        strategy=st.just("time"),
        holdout=SHARES,
        validation=SHARES,
        group=st.sampled_from(["", "", "who"]),
        gap=st.sampled_from(["", "", "30h", "2d"]),
    ),
    st.builds(
        SplitSpec,
        strategy=st.just("group"),
        holdout=SHARES,
        validation=SHARES,
        group=st.sampled_from(["who", "shop"]),
    ),
)
SETTINGS = st.builds(Setting, SPLITS, st.sampled_from([(), ("id",), ("id", "who")]))


def arrived(count: int, seed: int, batch: str, ids: Sequence[int] | None = None) -> pa.Table:
    """Rows of one batch: some ids come again with other values and times, some contents come again without an id."""
    draw = np.random.default_rng(seed)
    known = np.asarray(ids) if ids is not None else np.arange(count)
    return pa.table(
        {
            "id": draw.choice(known, count) if ids is not None else known,
            "who": pa.array([None if n % 17 == 0 else f"p{n % 40}" for n in draw.integers(0, 400, count)]),
            "shop": draw.integers(0, 30, count),
            "x": draw.integers(0, 4, count),
            "when": pa.array(
                [None if n % 60 == 0 else DAY + timedelta(hours=int(n)) for n in draw.integers(0, 900, count)],
                pa.timestamp("us", "UTC"),
            ),
            "y": draw.integers(0, 2, count),
            "_batch_id": [batch] * count,
            "_ordinal": np.arange(count),
        }
    )


def newest(rows: pa.Table, key: tuple[str, ...]) -> pa.Table:
    """One row per key, the last that came, as the tables hand them out."""
    if not key:
        return rows
    last = {tuple(row[name] for name in key): place for place, row in enumerate(rows.to_pylist())}
    return rows.take(sorted(last.values()))


def parted(rows: pa.Table, setting: Setting) -> tuple[FittedRows, pa.Table]:
    parts = split(newest(rows, setting.key), setting.split, key=setting.key, time="when", target="y")
    return (
        FittedRows(pa.concat_tables([parts.train, parts.validation]), setting.split, setting.key, "when", "y"),
        parts.holdout,
    )


def may_judge(row: dict[str, object], fitted: Sequence[FittedRows]) -> bool:
    """The rule again, a row at a time; of `fitted` the challenger is the last."""
    names = ("id", "who", "shop", "x", "when")
    units: list[tuple[str, ...]] = [("_batch_id", "_ordinal")]
    units += [names] if fitted[-1].split.duplicates == "together" else []
    units += [one.key for one in fitted if one.key]
    units += [(one.split.group,) for one in fitted if one.split.group]
    gap = max({"": 0, "30h": 30, "2d": 48}[one.split.gap] for one in fitted)
    for model in fitted:
        theirs = model.rows.to_pylist()
        for unit in units:
            if tuple(row[name] for name in unit) in {tuple(other[name] for name in unit) for other in theirs}:
                return False
        if any(one.split.strategy == "time" for one in fitted):
            last = max((other["when"] for other in theirs if other["when"]), default=None)
            if row["when"] is None or (last is not None and not last < row["when"] >= last + timedelta(hours=gap)):
                return False
    return True


@given(SETTINGS, SETTINGS, st.integers(0, 10_000), st.booleans())
@settings(max_examples=60)
def test_judging_rows_are_exactly_those_new_to_both_models(
    before: Setting, after: Setting, seed: int, grown: bool
) -> None:
    first = arrived(150, seed, "first")
    later = [arrived(60, seed + 1, "revised", range(0, 200)), arrived(60, seed + 2, "new", range(150, 400))]
    again = first.take(np.random.default_rng(seed).choice(150, 20)).drop_columns(["_batch_id", "_ordinal"])
    again = again.append_column("_batch_id", pa.array(["again"] * 20)).append_column("_ordinal", pa.array(range(20)))
    try:
        champion, _ = parted(first, before)
        challenger, holdout = parted(pa.concat_tables([first, *later, again]) if grown else first, after)
    except (DataError, TargetError):
        assume(False)
    rows, left_out = judging(holdout, challenger, champion)
    wanted = [row for row in holdout.to_pylist() if may_judge(row, (champion, challenger))]
    assert rows.to_pylist() == wanted
    assert len(rows) + sum(one.rows for one in left_out) == len(holdout)


@pytest.mark.parametrize("strategy", ["random", "group", "time"])
def test_nothing_is_left_out_where_nothing_changed(strategy: str) -> None:
    setting = Setting(SplitSpec(strategy=strategy, group="who" if strategy == "group" else ""), ("id",))  # type: ignore[arg-type]
    champion, _ = parted(arrived(600, 1, "a"), setting)
    challenger, holdout = parted(arrived(600, 1, "a"), setting)
    rows, left_out = judging(holdout, challenger, champion)
    assert (len(rows), left_out) == (len(holdout), ())


def test_a_larger_holdout_judges_by_what_the_champion_held_out_and_by_what_came_since() -> None:
    first, new = arrived(1_000, 2, "a"), arrived(1_000, 3, "b", range(1_000, 9_000))
    champion, held_out = parted(first, Setting(SplitSpec(holdout=0.2), ("id",)))
    challenger, holdout = parted(pa.concat_tables([first, new]), Setting(SplitSpec(holdout=0.4), ("id",)))
    rows, left_out = judging(holdout, challenger, champion)
    old = [row for row in rows.to_pylist() if row["_batch_id"] == "a"]
    assert sorted(row["id"] for row in old) == sorted(held_out["id"].to_pylist())
    assert [row for row in holdout.to_pylist() if row["_batch_id"] == "b"] == [
        row for row in rows.to_pylist() if row["_batch_id"] == "b"
    ]
    assert [one.why for one in left_out] == ["the champion was fitted on them"]
    assert str(left_out[0]).endswith("holdout rows do not judge: the champion was fitted on them")


def test_a_row_that_was_sent_again_with_a_later_time_does_not_judge() -> None:
    setting = Setting(SplitSpec(strategy="time"), ("id",))
    champion, _ = parted(arrived(500, 4, "a"), setting)
    moved = champion.rows.slice(0, 30).set_column(4, "when", pa.array([DAY + timedelta(days=400)] * 30))
    moved = moved.set_column(6, "_batch_id", pa.array(["b"] * 30))
    fresh = arrived(60, 5, "c", range(500, 4_000)).set_column(4, "when", pa.array([DAY + timedelta(days=399)] * 60))
    challenger, holdout = parted(
        pa.concat_tables([arrived(500, 4, "a"), moved.cast(fresh.schema), fresh.cast(moved.schema)]), setting
    )
    rows, left_out = judging(holdout, challenger, champion)
    assert set(moved["id"].to_pylist()) <= set(holdout["id"].to_pylist())
    assert not set(moved["id"].to_pylist()) & set(rows["id"].to_pylist())
    assert any("same 'id'" in one.why and one.rows == 30 for one in left_out)


def test_a_column_that_came_later_does_not_hide_a_row_that_was_sent_again() -> None:
    rows = arrived(400, 6, "a")
    champion, _ = parted(rows, Setting(SplitSpec(), ()))
    wider = rows.append_column("extra", pa.array(range(400))).set_column(6, "_batch_id", pa.array(["b"] * 400))
    challenger, holdout = parted(wider, Setting(SplitSpec(), ()))
    judged, left_out = judging(holdout, challenger, champion)
    assert 0 < len(judged) < len(holdout)
    assert [one.why for one in left_out] == ["the champion was fitted on a row of the same content"]


CLOCKS = {
    "days then, moments now": (pa.array([date(2024, 1, 1)] * 3), pa.array([DAY, DAY + timedelta(hours=1)]), 1),
    "moments then, days now": (pa.array([DAY] * 3), pa.array([date(2024, 1, 1), date(2024, 1, 2)]), 1),
    "numbers on both sides": (pa.array([5, 6, 7]), pa.array([7.0, 7.5]), 1),
    "text then": (pa.array(["a", "b", "c"]), pa.array([DAY, DAY]), 0),
    "a number then": (pa.array([1, 2, 3]), pa.array([DAY, DAY]), 0),
    "no such column then": (None, pa.array([DAY, None], pa.timestamp("us", "UTC")), 1),
}


@pytest.mark.parametrize("case", CLOCKS)
def test_times_of_any_kind_are_compared_or_judge_nothing(case: str) -> None:
    then, now, judged = CLOCKS[case]
    spec = SplitSpec(strategy="time")
    seen = pa.table({"id": [1, 2, 3], "y": [0, 1, 0], **({} if then is None else {"when": then})})
    own = pa.table({"id": pa.array([], pa.int64()), "when": pa.array([], now.type)})
    holdout = pa.table({"id": [8, 9], "when": now, "y": [0, 1]})
    rows, _ = judging(
        holdout, FittedRows(own, spec, ("id",), "when", "y"), FittedRows(seen, spec, ("id",), "when", "y")
    )
    assert len(rows) == judged


def test_holdouts_that_are_nearly_the_same_are_known_again() -> None:
    rows = arrived(2_000, 7, "a")
    shuffled = rows.take(np.random.default_rng(0).permutation(2_000))
    assert sketch(rows) == sketch(shuffled)
    assert len(sketch(rows)) <= 200
    assert alike(sketch(rows), sketch(rows.slice(0, 1_900)))
    assert not alike(sketch(rows.slice(0, 1_000)), sketch(rows.slice(1_000)))
    assert not alike(sketch(rows.slice(0, 300)), sketch(rows))
    assert alike(sketch(rows.slice(0, 5)), sketch(rows.slice(0, 5)))
    assert not alike(sketch(rows.slice(0, 0)), sketch(rows))
