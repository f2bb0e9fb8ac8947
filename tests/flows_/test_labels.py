from __future__ import annotations

import io
import json
import shutil
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import duckdb
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.corner_shop import Shop, shop
from treadle.flows import ingest as ingest_
from treadle.flows.cli.ingest import show_ingested_first
from treadle.flows.cli.runtime.screen import Screen
from treadle.flows.ingest.corrections import mark_corrections
from treadle.flows.ingest.discovery import find_batches
from treadle.flows.ingest.rows import take_in
from treadle.infra import settings as settings_
from treadle.tasks.config.load import load_config
from treadle.tasks.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from treadle.flows.ingest import BatchResult, LabelBatch


@pytest.fixture
def opened(home: Path) -> Shop:
    opened = shop(home)
    opened.put("Shop,Order No,amount,Came Back\nb,1,10,\nb,2,20,\nb,3,30,yes\n", "in")
    opened.ingest()
    return opened


def counts(batch: LabelBatch) -> dict[str, int]:
    names = ("new", "revised", "repeated", "outdated", "orphan", "empty", "quarantined")
    told = {name: number for name in names if (number := getattr(batch, name))}
    assert sum(told.values()) == batch.labels_in
    return told


def test_late_labels_are_joined_by_key_and_counted_by_what_they_change(opened: Shop) -> None:
    opened.put(
        "Order No,Shop,Came Back,seen\n1,b,yes,2013-10-01\n2,b,no,2013-10-01\n9,b,no,2013-10-01\n2,b,,2013-10-02\n"
    )
    (first,) = opened.ingest()
    assert counts(first) == {"new": 2, "orphan": 1, "empty": 1}
    opened.put(
        "Shop,Order No,Came Back,seen\nb,1,no,2013-10-05\nb,2,no,2013-10-05\nb,1,yes,2013-10-02\nb,2,yes,2013-10-07\n"
    )
    (second,) = opened.ingest()
    assert counts(second) == {"revised": 2, "repeated": 1, "outdated": 1}
    assert opened.truth() == {("b", 1): "no", ("b", 2): "yes", ("b", 3): "yes", ("b", 9): "no"}
    assert opened.training() == {("b", 1): (10, "no"), ("b", 2): (20, "yes"), ("b", 3): (30, "yes")}
    assert opened.stores.data_version() == "rows@1,labels@2"


def test_the_same_labels_twice_do_nothing_whatever_the_file_is_called(opened: Shop) -> None:
    text = "Shop,Order No,Came Back,seen\nb,1,yes,2013-10-01\n"
    opened.put(text)
    opened.ingest()
    version = opened.stores.data_version()
    opened.put(text)
    assert opened.ingest() == []
    assert opened.stores.data_version() == version


def test_a_label_that_came_before_its_row_is_joined_when_the_row_comes(opened: Shop) -> None:
    opened.put("Shop,Order No,Came Back,seen\nb,7,yes,2013-10-01\n")
    opened.ingest()
    assert ("b", 7) not in opened.training()
    opened.put("Shop,Order No,amount\nb,7,70\nb,8,80\n", "in")
    (ref,) = find_batches.fn(str(opened.home), "shop", []).new
    assert take_in.fn(str(opened.home), "shop", ref).joined == 1
    assert opened.training()["b", 7] == (70, "yes")


def test_a_row_whose_label_is_known_waits_for_no_prediction(opened: Shop) -> None:
    tables, key = opened.stores.tables, ["Shop", "Order No"]
    assert sum(tables.unlabelled("Came Back", key).values()) == 2
    opened.put("Shop,Order No,Came Back,seen\nb,1,yes,2013-10-01\n")
    opened.ingest()
    assert sum(tables.unlabelled("Came Back", key).values()) == 1
    with duckdb.connect() as con:
        assert con.sql(f'SELECT "Order No" FROM {tables.without_label("Came Back", key)}').fetchall() == [(2,)]


def test_a_label_that_cannot_be_used_goes_to_quarantine_with_its_reason(opened: Shop) -> None:
    opened.put(
        "Shop,Order No,Came Back,seen\n"
        ",1,yes,2013-10-01\n"
        "b,one,yes,2013-10-01\n"
        "b,1,perhaps,2013-10-01\n"
        "b,1,yes,yesterday\n"
        "b,1,yes,\n"
        "b,2,yes,2013-10-01\n"
    )
    (batch,) = opened.ingest()
    assert (batch.status, counts(batch)) == ("accepted", {"new": 1, "quarantined": 5})
    broken = opened.quarantine()
    assert [(ordinal, columns[0]) for ordinal, columns, _, _ in broken] == [
        (0, "Shop, Order No"),
        (1, "Order No"),
        (2, "Came Back"),
        (3, "seen"),
        (4, "seen"),
    ]
    assert [values[0] for _, _, values, _ in broken[1:4]] == ["one", "perhaps", "yesterday"]
    assert "one of 'no', 'yes'" in broken[2][3]
    assert any("perhaps" not in warning and "Came Back" in warning for warning in batch.warnings)


REFUSED = {
    "a target of another name": ("Shop,Order No,came_back,seen\nb,1,yes,2013-10-01\n", "'Came Back' is missing"),
    "no key column": ("Shop,Came Back,seen\nb,yes,2013-10-01\n", "'Order No' is missing"),
    "no time": ("Shop,Order No,Came Back\nb,1,yes\n", "'seen' is missing"),
    "no rows": ("Shop,Order No,Came Back,seen\n", "no rows"),
    "not one label that can be used": ("Shop,Order No,Came Back,seen\nb,1,perhaps,2013-10-01\n", "no label in it"),
    "not one label at all": ("Shop,Order No,Came Back,seen\nb,1,,2013-10-01\n", "no label in it"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_file_without_a_usable_label_is_refused_with_its_reason(opened: Shop, case: str) -> None:
    text, reason = REFUSED[case]
    opened.put(text)
    (batch,) = opened.ingest()
    assert batch.status == "refused"
    assert reason in batch.reason
    assert batch.quarantined == batch.labels_in
    assert opened.truth() == {("b", 3): "yes"}
    assert opened.ingest() == []


def test_a_file_that_cannot_be_read_is_kept_beside_with_its_reason(opened: Shop) -> None:
    opened.put("Shop,Order No,Came Back,seen\nb,1,yes,2013-10-01,more\n")
    (batch,) = opened.ingest()
    assert batch.status == "unreadable"
    assert [path.name for path in opened.stores.tables.refused_folder.iterdir()] == [f"{batch.batch_id}-{batch.label}"]


def test_a_kill_after_the_labels_and_before_the_ledger_changes_nothing(opened: Shop) -> None:
    opened.put("Shop,Order No,Came Back,seen\nb,1,yes,2013-10-01\nb,1,no,2013-10-02\n")
    (first,) = opened.ingest()
    with duckdb.connect() as con:
        read = f"SELECT * EXCLUDE (_ingested_at) FROM {opened.stores.tables.relation('labels')} ORDER BY _ordinal"
        before = con.sql(read).fetchall()
        (opened.home / "mlruns" / "treadle.db").unlink()
        (again,) = opened.ingest()
        assert con.sql(read).fetchall() == before
    assert again == first


def test_a_suite_that_says_more_of_the_target_than_sql_can_is_asked_of_great_expectations(home: Path) -> None:
    opened = shop(home, "")
    file = home / "expectations" / "shop.json"
    document = json.loads(file.read_text())
    pattern = {"column": "Came Back", "regex": "^(yes|no)$"}
    document["expectations"][-1] = {"type": "expect_column_values_to_match_regex", "kwargs": pattern}
    file.write_text(json.dumps(document))
    opened.put("Shop,Order No,Came Back\nb,1,yes\nb,2,nope\n")
    (batch,) = opened.ingest()
    assert counts(batch) == {"orphan": 1, "quarantined": 1}


def test_late_labels_need_a_key(home: Path) -> None:
    opened = shop(home)
    file = home / "pipelines" / "shop.toml"
    file.write_text(file.read_text().replace('key = ["Shop", "Order No"]\n', ""))
    with pytest.raises(ConfigError, match=r"labels.source: .*data.key"):
        load_config(file)
    file.write_text(file.read_text().split("[labels]")[0])
    opened.put("Shop,Order No,Came Back\nb,1,yes\n")
    with pytest.raises(UsageError, match=r"data.key"):
        find_batches.fn(str(home), "shop", [str(home / "in" / "labels")], as_labels=True)


def test_ingest_says_what_became_of_labels_and_a_named_file_may_hold_some(
    opened: Shop, prefect_server: str, tmp_path: Path
) -> None:
    file = tmp_path / "labels.csv"
    file.write_text("Shop,Order No,Came Back,seen\nb,1,yes,2013-10-01\nb,2,maybe,2013-10-01\n")
    settings = settings_.at(opened.home)
    config = load_config(opened.home / "pipelines" / "shop.toml")
    result = ingest_.run_ingest(settings, config, [file], labels=True)
    assert (result.exit_code(), result.rows_in, result.labels.labels_in, result.labels.new) == (0, 0, 2, 1)
    opened.put("Shop,Order No,Came Back,seen\nb,2,maybe,2013-10-01\n")
    again = ingest_.run_ingest(settings, config, [file])
    assert (again.exit_code(), again.batches[0].status) == (3, "refused")  # as rows, it is another batch
    assert "treadle ingest --labels" in again.batches[0].reason
    refused = ingest_.run_ingest(settings, config)
    assert (refused.exit_code(), refused.labels.labels_in) == (3, 1)
    show_ingested_first(refused, Screen(out := io.StringIO()))
    assert out.getvalue().startswith("ingested first: 0 rows of 0 batches, 0 late labels\n")
    assert ingest_.run_ingest(settings, config).exit_code() == 0


@dataclass(frozen=True)
class Said:
    """A line of a file: of which order, with which label, observed on which day."""

    order: int
    label: str
    day: int

    def observed(self) -> datetime:
        return datetime(2013 if self.day < 3 else 2099, 1, self.day, tzinfo=UTC)


lines = st.lists(st.builds(Said, st.integers(1, 4), st.sampled_from(["yes", "no", ""]), st.integers(1, 5)), min_size=1)
files = st.lists(st.tuples(st.sampled_from(["labels", "labels", "rows"]), lines), min_size=1, max_size=6)


class Plain:
    """The same in plain Python: every label with its rank, newest last."""

    def __init__(self, timed: bool) -> None:
        self.timed = timed
        self.known: dict[int, list[tuple[tuple[object, ...], str]]] = {}
        self.rows: set[int] = set()
        self.seen: set[str] = set()

    def newest(self, order: int) -> tuple[tuple[object, ...], str] | None:
        return max(self.known.get(order, []), default=None)

    def labels(self, arrived: datetime, batch_id: str, said: list[Said]) -> Counter[str]:
        told: Counter[str] = Counter()
        for ordinal, line in enumerate(said):
            if not line.label:
                told["empty"] += 1
                continue
            rank = (line.observed() if self.timed else arrived, arrived, batch_id, ordinal)
            before = self.newest(line.order)
            if line.order not in self.rows:
                told["orphan"] += 1
            elif before is None:
                told["new"] += 1
            elif before[1] == line.label:
                told["repeated"] += 1
            else:
                told["outdated" if rank < before[0] else "revised"] += 1
            self.known.setdefault(line.order, []).append((rank, line.label))
        return told

    def take(self, arrived: datetime, batch_id: str, said: list[Said]) -> None:
        for ordinal, line in enumerate(said):
            self.rows.add(line.order)
            if line.label:
                self.known.setdefault(line.order, []).append(((arrived, arrived, batch_id, ordinal), line.label))


@pytest.mark.parametrize("timed", [True, False], ids=["by time", "by arrival"])
@hypothesis_settings(max_examples=8)
@given(arriving=files)
def test_whatever_the_order_the_repetitions_and_the_revisions_the_truth_is_that_of_plain_python(
    tmp_path_factory: pytest.TempPathFactory, timed: bool, arriving: list[tuple[str, list[Said]]]
) -> None:
    recompute(shop(tmp_path_factory.mktemp("shop"), "seen" if timed else ""), timed, arriving)


@pytest.mark.slow
@pytest.mark.parametrize("timed", [True, False], ids=["by time", "by arrival"])
@hypothesis_settings(max_examples=300)
@given(arriving=files)
def test_and_so_it_is_in_hundreds_of_lives(
    tmp_path_factory: pytest.TempPathFactory, timed: bool, arriving: list[tuple[str, list[Said]]]
) -> None:
    recompute(shop(tmp_path_factory.mktemp("shop"), "seen" if timed else ""), timed, arriving)


def recompute(opened: Shop, timed: bool, arriving: list[tuple[str, list[Said]]]) -> None:
    """Let the files arrive one by one, and hold every count and the truth at the end to plain Python."""
    plain = Plain(timed)
    for kind, lines_ in arriving:
        said = list({line.order: line for line in lines_}.values()) if kind == "rows" else lines_
        if kind == "rows":
            text = "".join(f"s,{line.order},1,{line.label}\n" for line in said)
            opened.put(f"Shop,Order No,amount,Came Back\n{text}", "in")
        else:
            text = "".join(f"s,{line.order},{line.label},{line.observed().isoformat()}\n" for line in said)
            opened.put(f"Shop,Order No,Came Back,seen\n{text}")
        taken = opened.ingest()
        usable = kind == "rows" or any(line.label for line in said)
        if text in plain.seen or not usable:
            assert [batch for batch in taken if batch.status == "accepted"] == []
            continue
        plain.seen.add(text)
        arrived, batch_id = datetime.now(UTC), taken[0].batch_id if taken else text
        if kind == "rows":
            plain.take(arrived, batch_id, said)
        else:
            assert counts(taken[0]) == plain.labels(arrived, batch_id, said)
    expected = {("s", order): plain.newest(order)[1] for order in plain.known}
    assert opened.truth() == expected
    assert {key: label for key, (_, label) in opened.training().items()} == {
        key: label for key, label in expected.items() if key[1] in plain.rows
    }
    shutil.rmtree(opened.home)


HEAD = "Shop,Order No,amount,Came Back\n"


def declared(opened: Shop, *contents: str) -> list[BatchResult | LabelBatch]:
    """Files that are ingested with --corrects, by the flow's own steps."""
    place = (str(opened.home), "shop")
    paths = [str(opened.put(content, "corrected")) for content in contents]
    done = [take_in.fn(*place, ref) for ref in find_batches.fn(*place, paths, correcting=True).new]
    mark_corrections.fn(*place)
    return done


def test_a_declared_correction_replaces_values_of_labelled_rows_once_and_for_ever(opened: Shop) -> None:
    opened.put("Shop,Order No,Came Back,seen\nb,1,no,2013-10-01\n")
    opened.ingest()
    opened.put(f"{HEAD}b,1,11,\nb,3,31,\n", "in")
    opened.take_in()
    before = {("b", 1): (10, "no"), ("b", 3): (30, "yes")}
    assert opened.training() == before, "what came after the label replaces nothing by itself"
    version = opened.stores.tables.version("rows")
    declared(opened, f"{HEAD}b,1,12,\nb,2,22,\nb,3,32,\n")
    corrected = {("b", 1): (12, "no"), ("b", 3): (32, "yes")}
    assert opened.training() == corrected
    then = opened.stores.tables.training(version, "Came Back", ["Shop", "Order No"]).to_pylist()
    assert sorted((row["Order No"], row["amount"]) for row in then) == [(1, 10), (3, 30)], "read at its version"
    data_version = opened.stores.data_version()
    declared(opened, f"{HEAD}b,1,12,\nb,2,22,\nb,3,32,\n")
    assert opened.stores.data_version() == data_version, "a second time changes nothing"
    opened.put(f"{HEAD}b,3,33,no\n", "in")
    opened.take_in()
    assert opened.training() == {**corrected, ("b", 3): (33, "no")}, "a newer labelled row is newer than a correction"


def test_a_file_that_was_ingested_before_may_be_declared_to_correct(opened: Shop) -> None:
    text = f"{HEAD}b,3,31,\n"
    opened.put(text, "in")
    opened.take_in()
    arrived = opened.read("rows", "_batch_id, _ordinal, _ingested_at")
    assert declared(opened, text) == []
    assert opened.training() == {("b", 3): (31, "yes")}
    assert opened.read("rows", "_batch_id, _ordinal, _ingested_at") == arrived


def test_a_kill_between_declaration_and_rows_loses_no_correction(opened: Shop) -> None:
    place = (str(opened.home), "shop")
    path = opened.put(f"{HEAD}b,3,31,\n", "in")
    (ref,) = find_batches.fn(*place, [str(path)], correcting=True).new
    take_in.fn(*place, find_batches.fn(*place, []).new[0])  # another process ingests what waits
    assert mark_corrections.fn(*place) == (ref.label,)
    take_in.fn(*place, ref)  # killed before its record: the same rows again
    assert mark_corrections.fn(*place) == ()
    assert opened.training() == {("b", 3): (31, "yes")}


def test_a_correction_needs_a_key(home: Path) -> None:
    opened = shop(home)
    config = home / "pipelines" / "shop.toml"
    config.write_text(config.read_text().split("[labels]")[0].replace('key = ["Shop", "Order No"]\n', ""))
    with pytest.raises(UsageError, match=r"by data\.key, which names no column") as caught:
        declared(opened, f"{HEAD}b,3,31,\n")
    assert caught.value.fix == "set data.key"
