"""Which version of a row a label trains: held against a slow recomputation, whatever the order in which things come."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treadle.infra.tables import Tables
from treadle.infra.tables.labelled import DataVersion, Maturity, NotTrained, count_labelled, not_trained

if TYPE_CHECKING:
    from collections.abc import Sequence

START = datetime(2024, 1, 1, tzinfo=UTC)
MICROS = pa.timestamp("us", tz="UTC")
KEY = ("Order No",)
LABELS = st.sampled_from([None, "yes", "no"])
KEYS = st.integers(1, 3)
DAYS = st.integers(-3, 12)


@dataclass(frozen=True)
class Rows:
    """A batch: key to own label; a row's time is so many days before the batch arrives, unless that is None."""

    rows: dict[int, str | None]
    days: int | None
    corrects: bool


@dataclass(frozen=True)
class Late:
    """A file of labels: key, label, and the day on which it was observed, if it says so."""

    labels: list[tuple[int, str, int | None]]


@dataclass(frozen=True)
class Scored:
    """A prediction of the row that came as number `row` (of those so far), by a champion or in its shadow."""

    row: int
    purpose: str


EVENT = st.one_of(
    st.builds(Rows, st.dictionaries(KEYS, LABELS, min_size=1), st.none() | st.integers(0, 3), st.just(False)),
    st.builds(Rows, st.dictionaries(KEYS, LABELS, min_size=1), st.none() | st.integers(0, 3), st.booleans()),
    st.builds(
        Late, st.lists(st.tuples(KEYS, st.sampled_from(["yes", "no"]), st.none() | DAYS), min_size=1, max_size=3)
    ),
    st.builds(Scored, st.integers(0, 30), st.sampled_from(["champion", "rescore", "shadow"])),
    st.builds(Scored, st.integers(0, 30), st.just("champion")),
)


class Files(Tables):
    """Tables whose versions are Parquet files, which are written in a hundredth of the time of a Delta commit."""

    def __init__(self, root: str, scratch: Path) -> None:
        super().__init__(root, scratch)
        self.versions: dict[str, list[pa.Table]] = {"rows": [], "labels": [], "predictions": []}

    def version(self, name: str) -> int:
        return len(self.versions[name]) - 1

    def columns(self, name: str, version: int | None = None) -> pa.Schema:
        return super().columns(name, -1) if not self.versions[name] or version == -1 else self._at(name, version).schema

    def overwrite(self, name: str, where: dict[str, str], reader: pa.RecordBatchReader) -> int:
        new = reader.read_all()
        parts = [*self.versions[name][-1:], new]
        self.versions[name].append(pa.concat_tables(parts, promote_options="default"))
        return len(new)

    def relation(self, name: str, *, version: int | None = None, batches: Sequence[str] | None = None) -> str:
        assert batches is None
        if version == -1 or not self.versions[name]:
            return super().relation(name)
        file = self.root / f"{name}-{self.version(name) if version is None else version}.parquet"
        file.parent.mkdir(exist_ok=True)
        pq.write_table(self._at(name, version), file)
        return f"(SELECT * FROM read_parquet('{file}'))"

    def _at(self, name: str, version: int | None) -> pa.Table:
        return self.versions[name][-1 if version is None else version]


@dataclass
class History:
    """What came so far, as plain lists of facts, and the tables that hold the same."""

    tables: Tables
    rows: list[dict[str, object]] = field(default_factory=list)
    labels: list[dict[str, object]] = field(default_factory=list)
    predictions: list[dict[str, object]] = field(default_factory=list)
    day: int = 0

    def add(self, event: Rows | Late | Scored) -> None:
        """Let one thing happen, a day after the one before."""
        self.day += 1
        now = START + timedelta(days=self.day)
        base = {"_batch_id": f"{'ba'[self.day % 2]}{self.day:02}", "_ingested_at": now}
        if isinstance(event, Rows):
            when = None if event.days is None else now - timedelta(days=event.days)
            new = [
                {**base, "_ordinal": at, "Order No": key, "y": label, "when": when, "_row_hash": f"{self.day}.{at}"}
                for at, (key, label) in enumerate(event.rows.items())
            ]
            self.rows += [{**row, "_corrects": event.corrects or None} for row in new]
            self._put("rows", [{**row, **({"_corrects": True} if event.corrects else {})} for row in new])
        elif isinstance(event, Late):
            new = [
                {
                    **base,
                    "_ordinal": at,
                    "Order No": key,
                    "y": label,
                    "observed_at": None if day is None else START + timedelta(days=day),
                }
                for at, (key, label, day) in enumerate(event.labels)
            ]
            self.labels += new
            self._put("labels", new)
        elif event.row < len(self.rows):
            row = self.rows[event.row]
            made = {
                "Order No": row["Order No"],
                "_batch_id": row["_batch_id"],
                "_ordinal": row["_ordinal"],
                "purpose": event.purpose,
                "model_digest": f"d{self.day}",
                "_scored_at": now,
            }
            self.predictions.append(made)
            where = {name: str(made[name]) for name in ("_batch_id", "purpose", "model_digest")}
            self.tables.overwrite("predictions", where, arrow([made]).to_reader())

    def _put(self, table: str, rows: list[dict[str, object]]) -> None:
        self.tables.overwrite_batch(table, str(rows[0]["_batch_id"]), arrow(rows).to_reader())

    def version(self, mature_days: int) -> DataVersion:
        """The data version of now."""
        maturity = Maturity(timedelta(days=mature_days), "when", "")
        return DataVersion("y", KEY, self.tables.version("rows"), self.tables.version("labels"), maturity)

    def expected(self, mature_days: int) -> tuple[dict[object, tuple[object, object]], NotTrained]:
        """Which row trains each key with which label, and what is left out, step by step as the docs say it."""
        if not self.rows:
            return {}, NotTrained()
        newest = max((one["_ingested_at"] for one in self.rows + self.labels), default=None)  # type: ignore[type-var]
        chosen, young, versions = {}, 0, 0
        keys = {one["Order No"] for one in self.labels} | {one["Order No"] for one in self.rows if one["y"]}
        there = {one["Order No"] for one in self.rows}
        for key in keys & there:
            mine = sorted((row for row in self.rows if row["Order No"] == key), key=place)
            row, label = self._version(mine, key, newest)
            versions += len(mine) - 1
            if newest - (row["when"] or row["_ingested_at"]) < timedelta(days=mature_days):  # type: ignore[operator]
                young += 1
            else:
                chosen[key] = (row["_row_hash"], label)
        return chosen, NotTrained(young=young, versions=versions, orphans=len(keys - there))

    def _version(self, mine: list[dict[str, object]], key: object, newest: object) -> tuple[dict[str, object], object]:
        said = [{**one, "own": one, "since": one["_ingested_at"]} for one in mine if one["y"]]
        said += [
            {**one, "own": None, "since": one["observed_at"] or one["_ingested_at"]}
            for one in self.labels
            if one["Order No"] == key
        ]
        said.sort(key=lambda one: (one["since"], *place(one)))
        last, observed = said[-1], said[-1]["since"]
        if not last.get("observed_at"):
            for one in reversed(said):
                if one["y"] != last["y"]:
                    break
                observed = min(observed, one["since"])  # type: ignore[type-var]
        row = last["own"] or self._in_use(mine, observed, newest)
        corrections = [one for one in mine if one["_corrects"] and place(one) > place(row)]  # type: ignore[arg-type]
        return (corrections[-1] if corrections else row), last["y"]  # type: ignore[return-value]

    def _in_use(self, mine: list[dict[str, object]], observed: object, newest: object) -> dict[str, object]:
        for made in self.predictions:  # in order of time
            if made["purpose"] != "shadow" and made["_scored_at"] < observed and made["_scored_at"] <= newest:  # type: ignore[operator]
                for row in mine:
                    if (row["_batch_id"], row["_ordinal"]) == (made["_batch_id"], made["_ordinal"]):
                        return row
        before = [row for row in mine if row["_ingested_at"] <= observed]  # type: ignore[operator]
        return before[-1] if before else mine[0]


def place(one: dict[str, object]) -> tuple[object, ...]:
    return one["_ingested_at"], one["_batch_id"], one["_ordinal"]


def arrow(rows: list[dict[str, object]]) -> pa.Table:
    times = {"_ingested_at", "observed_at", "_scored_at", "when"}
    kinds = {"_ordinal": pa.int64(), "Order No": pa.int64(), "_corrects": pa.bool_(), **dict.fromkeys(times, MICROS)}
    return pa.table({name: pa.array([row[name] for row in rows], kinds.get(name, pa.string())) for name in rows[0]})


def trained(tables: Tables, asked: DataVersion) -> dict[object, tuple[object, object]]:
    found = tables.training(asked.rows, asked.target, asked.key, asked.labels, asked.maturity)  # type: ignore[arg-type]
    if "y" not in found.column_names:
        return {}
    rows = found.to_pylist()
    assert len(rows) == len({row["Order No"] for row in rows}) == count_labelled(tables, asked)
    return {row["Order No"]: (row["_row_hash"], row["y"]) for row in rows}


@given(st.lists(EVENT, min_size=3, max_size=9), st.integers(0, 4), st.integers(1, 9))
@settings(max_examples=15, deadline=None)
def test_a_label_trains_the_version_of_its_row_that_was_in_use_whatever_comes_first(
    events: list[Rows | Late | Scored], mature_days: int, stop: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        history = History(Files(f"{folder}/orders", Path(folder) / "scratch"))
        for event in events[:stop]:
            history.add(event)
        then, (rows, left_out) = history.version(mature_days), history.expected(mature_days)
        for event in events[stop:]:
            history.add(event)
        now, (rows_now, left_out_now) = history.version(mature_days), history.expected(mature_days)
        assert (trained(history.tables, now), not_trained(history.tables, now)) == (rows_now, left_out_now)
        assert (trained(history.tables, then), not_trained(history.tables, then)) == (rows, left_out), "read later"


MARCH, APRIL = Late([(1, "yes", None)]), Rows({1: None}, None, corrects=False)
JANUARY = Rows({1: None}, None, corrects=False)
IN_USE = {
    "the one that was scored": ([JANUARY, Scored(0, "champion"), MARCH, APRIL], "1.0"),
    "the one scored first": ([JANUARY, APRIL, Scored(0, "champion"), Scored(1, "champion"), MARCH], "1.0"),
    "no prediction in a shadow": ([JANUARY, APRIL, Scored(0, "shadow"), MARCH], "2.0"),
    "the newest that had arrived": ([JANUARY, APRIL, MARCH, APRIL], "2.0"),
    "not one after the label was first sent": ([JANUARY, MARCH, APRIL, MARCH], "1.0"),
    "one after a label that changed": ([JANUARY, Late([(1, "no", None)]), APRIL, MARCH], "3.0"),
    "the oldest": ([Late([(1, "yes", -2)]), JANUARY, APRIL], "2.0"),
    "not one scored after it was observed": (
        [JANUARY, APRIL, Scored(1, "champion"), Late([(1, "yes", 1)])],
        "1.0",
    ),
    "the one that brought it": ([JANUARY, Scored(0, "champion"), Rows({1: "no"}, None, corrects=False)], "3.0"),
    "a correction, labelled or not": ([JANUARY, MARCH, Rows({1: None}, None, corrects=True)], "3.0"),
    "not a correction of before": ([Rows({1: None}, None, corrects=True), JANUARY, MARCH], "2.0"),
}


@pytest.mark.parametrize("case", IN_USE)
def test_the_version_in_use_is(case: str, tmp_path: Path) -> None:
    events, expected = IN_USE[case]
    history = History(Tables(str(tmp_path / "orders"), tmp_path / "scratch"))
    for event in events:
        history.add(event)
    assert {row for row, _ in trained(history.tables, history.version(0)).values()} == {expected}
