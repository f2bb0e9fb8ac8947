"""Batches are written whole and in their place, and read back with their types, of any version."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.infra_.batches import NOON, ask, keys_of, predictions, put, rows
from treadle.infra.tables import Tables
from treadle.tasks.dataset import quote
from treadle.tasks.errors import ConfigError, DataError, ServiceError, UsageError

if TYPE_CHECKING:
    from pathlib import Path


def test_there_is_an_answer_to_every_question_before_the_first_write(tables: Tables) -> None:
    assert tables.version("rows") == -1
    assert tables.unlabelled("y") == {}
    assert tables.scored(None) == set()
    assert tables.training(-1, "y", ["Order No"]).num_rows == 0
    for name in ("rows", "labels", "quarantine", "predictions"):
        assert ask(tables, f"SELECT * FROM {tables.relation(name)} WHERE _batch_id = 'a'") == []


def test_a_batch_written_again_takes_its_own_place_and_no_other(tables: Tables) -> None:
    assert put(tables, "a", [1, 2]) == 2
    assert put(tables, "b", [3]) == 1
    assert put(tables, "a", [1, 4, 5]) == 3
    assert keys_of(tables) == [("a", 1), ("a", 4), ("a", 5), ("b", 3)]


def test_a_replay_changes_nothing_that_a_reader_sees(tables: Tables) -> None:
    put(tables, "a", [1, 2])
    before, version = keys_of(tables), tables.version("rows")
    put(tables, "a", [1, 2], minute=5)
    assert (keys_of(tables), tables.version("rows")) == (before, version)
    put(tables, "a", [1, 2], label=0)
    assert tables.version("rows") == version + 1


def test_files_of_a_killed_attempt_go_with_the_next_and_those_of_older_versions_stay(tables: Tables) -> None:
    put(tables, "a", [1, 2])
    put(tables, "a", [3])
    orphan = tables.root / "rows" / "_batch_id=a" / "part-0-killed.parquet"
    orphan.write_bytes(b"half")
    put(tables, "a", [4])
    assert not orphan.exists()
    assert [len(keys_of(tables, version)) for version in (1, 2, 3)] == [2, 1, 1]


def test_no_rows_in_the_place_of_some_leave_none(tables: Tables) -> None:
    put(tables, "a", [1, 2])
    assert put(tables, "a", []) == 0
    assert keys_of(tables) == []


def test_older_versions_stay_readable(tables: Tables) -> None:
    put(tables, "a", [1])
    version = tables.version("rows")
    put(tables, "a", [2])
    put(tables, "b", [3])
    assert keys_of(tables, version) == [("a", 1)]


def test_a_version_that_never_was_is_an_error(tables: Tables) -> None:
    put(tables, "a", [1])
    with pytest.raises(ServiceError):
        tables.relation("rows", version=99)


def test_named_batches_are_read_alone(tables: Tables) -> None:
    for batch in ("a", "b", "c"):
        put(tables, batch, [1])
    found = ask(tables, f"SELECT _batch_id FROM {tables.relation('rows', batches=['a', 'c'])} ORDER BY 1")
    assert found == [("a",), ("c",)]
    assert ask(tables, f"SELECT _batch_id FROM {tables.relation('rows', batches=[])}") == []


def test_columns_that_come_and_go_are_null_where_they_are_not(tables: Tables) -> None:
    put(tables, "a", [1], Old=pa.array(["x"]))
    put(tables, "b", [2], New=pa.array([1.5]))
    query = 'SELECT "Order No", Old, New FROM {} ORDER BY 1'
    assert ask(tables, query.format(tables.relation("rows"))) == [(1, "x", None), (2, None, 1.5)]
    assert ask(tables, query.format(tables.relation("rows", batches=["a"]))) == [(1, "x", None)]


@pytest.mark.parametrize(
    ("given_type", "values", "kept"),
    [
        (pa.dictionary(pa.int32(), pa.string()), ["x", None], "VARCHAR"),
        (pa.large_string(), ["x", None], "VARCHAR"),
        (pa.timestamp("ms", tz="Europe/Berlin"), [NOON, None], "TIMESTAMP WITH TIME ZONE"),
        (pa.timestamp("ns"), [NOON.replace(tzinfo=None), None], "TIMESTAMP WITH TIME ZONE"),
        (pa.date32(), [NOON.date(), None], "DATE"),
        (pa.uint32(), [2**32 - 1, None], "BIGINT"),
        (pa.bool_(), [True, None], "BOOLEAN"),
        (pa.list_(pa.string()), [["x"], None], "VARCHAR[]"),
        (pa.null(), [None, None], "VARCHAR"),
    ],
)
def test_every_type_comes_back_with_its_values(
    tables: Tables, given_type: pa.DataType, values: list[object], kept: str
) -> None:
    put(tables, "a", [1, 2], x=pa.array(values, given_type))
    found = ask(tables, f"SELECT x, typeof(x) FROM {tables.relation('rows')} ORDER BY _ordinal")
    expected = [value.replace(tzinfo=UTC) if isinstance(value, datetime) else value for value in values]
    assert found == [(value, kept) for value in expected]


def test_a_column_of_integers_may_become_one_of_numbers(tables: Tables) -> None:
    put(tables, "a", [1], x=pa.array([7]))
    before = tables.version("rows")
    put(tables, "b", [2], x=pa.array([1.5]))
    put(tables, "c", [3], x=pa.array([9]))
    query = "SELECT _batch_id, x, typeof(x) FROM {} ORDER BY 1"
    assert ask(tables, query.format(tables.relation("rows"))) == [
        ("a", 7.0, "DOUBLE"),
        ("b", 1.5, "DOUBLE"),
        ("c", 9.0, "DOUBLE"),
    ]
    assert ask(tables, query.format(tables.relation("rows", version=before))) == [("a", 7, "BIGINT")]


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ({"x": pa.array(["7"])}, {"x": pa.array([7])}, "'x' holds VARCHAR in table rows, the new rows BIGINT"),
        ({"x": pa.array([1.5])}, {"x": pa.array(["7"])}, "'x' holds DOUBLE in table rows, the new rows VARCHAR"),
        ({"Size": pa.array(["s"])}, {"size": pa.array(["s"])}, "'size' of the new rows is called 'Size'"),
    ],
)
def test_a_column_that_changes_otherwise_is_refused_and_nothing_is_written(
    tables: Tables, before: dict[str, pa.Array], after: dict[str, pa.Array], says: str
) -> None:
    put(tables, "a", [1], **before)
    version = tables.version("rows")
    with pytest.raises(DataError, match=says):
        put(tables, "b", [2], **after)
    assert tables.version("rows") == version


# delta-rs reads paths as URLs, DuckDB reads them as patterns and takes values from `name=value` folders
@pytest.mark.parametrize(
    "folder", ["with space", "it's", "ä日本", "a*b", "a?b", "Order No=7", "100%", "#1", "{x}", "~"]
)
def test_tables_stand_under_folders_of_any_name(tmp_path: Path, folder: str) -> None:
    tables = Tables(str(tmp_path / folder / "data"), tmp_path / folder / "scratch")
    put(tables, "a", [1, 2])
    put(tables, "a", [3])
    assert keys_of(tables) == [("a", 3)]


@pytest.mark.parametrize("folder", ["[x]", "a|b", "a%20b", "a\\b"])
def test_folders_that_delta_cannot_name_are_refused_with_a_fix(tmp_path: Path, folder: str) -> None:
    tables = Tables(str(tmp_path / folder / "data"), tmp_path / "scratch")
    with pytest.raises(UsageError, match="TREADLE_STORAGE_URL"):
        put(tables, "a", [1])


@given(name=st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30))
@settings(max_examples=25)
def test_columns_may_have_any_name(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    folder = tmp_path_factory.mktemp("names")
    tables = Tables(str(folder / "data"), folder / "scratch")
    table = pa.table({f"{name} ": [1, None], "_batch_id": ["a", "a"]})
    for _ in range(2):
        tables.overwrite_batch("rows", "a", table.to_reader())
    assert ask(tables, f"SELECT {quote(f'{name} ')} FROM {tables.relation('rows')} ORDER BY 1") == [(1,), (None,)]


def test_an_object_store_is_refused_until_we_can_read_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="s3"):
        Tables("s3://bucket/shop", tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_rights_is_one_clear_error(tables: Tables) -> None:
    tables.root.mkdir(parents=True)
    tables.root.chmod(0o500)
    with pytest.raises(UsageError, match="no right to write"):
        put(tables, "a", [1])


def test_what_the_source_raises_is_what_the_caller_gets(tables: Tables) -> None:
    table = rows("a", [1])

    def broken() -> object:
        yield from table.to_batches()
        raise ConfigError("the source broke")

    put(tables, "a", [1, 2])
    with pytest.raises(ConfigError, match="the source broke"):
        tables.overwrite_batch("rows", "a", pa.RecordBatchReader.from_batches(table.schema, broken()))
    assert keys_of(tables) == [("a", 1), ("a", 2)]


# training rows, unlabelled rows, predictions


def test_training_rows_are_the_newest_labelled_ones_of_each_key_in_order_of_arrival(tables: Tables) -> None:
    put(tables, "b", [1, 2], minute=0)
    put(tables, "a", [2, 3], minute=1)
    put(tables, "c", [1], minute=2, label=None)
    found = tables.training(tables.version("rows"), "y", ["Order No"])
    assert found["_row_hash"].to_pylist() == ["b1", "a2", "a3"]
    assert found.schema.field("_ingested_at").type == pa.timestamp("us", tz="UTC")


def test_without_a_key_every_labelled_row_counts(tables: Tables) -> None:
    put(tables, "a", [1, 1])
    put(tables, "b", [1], label=None)
    assert tables.training(tables.version("rows"), "y", [])["_row_hash"].to_pylist() == ["a1", "a1"]


def test_training_rows_of_a_version_do_not_know_what_came_later(tables: Tables) -> None:
    put(tables, "a", [1])
    version = tables.version("rows")
    put(tables, "b", [1, 2], minute=1)
    assert tables.training(version, "y", ["Order No"])["_row_hash"].to_pylist() == ["a1"]


def test_unlabelled_rows_are_counted_by_batch_oldest_first(tables: Tables) -> None:
    put(tables, "a", [1, 2], label=None, minute=2)
    put(tables, "b", [3], label=None, minute=1)
    put(tables, "c", [4], minute=0)
    assert list(tables.unlabelled("y").items()) == [("b", 1), ("a", 2)]
    assert sum(tables.unlabelled("never seen").values()) == 4


def test_predictions_stand_beside_those_of_other_models_and_in_order(tables: Tables) -> None:
    for digest, values in (("d1", [0.1, 0.2, 0.3]), ("d2", [0.9, 0.8, 0.7]), ("d1", [0.4, 0.5, 0.6])):
        where = {"_batch_id": "a", "purpose": "champion", "model_digest": digest}
        assert tables.overwrite("predictions", where, predictions("a", "champion", digest, values)) == 3
    for digest, expected in (("d1", [0.4, 0.5, 0.6]), ("d2", [0.9, 0.8, 0.7])):
        where = f"_batch_id = 'a' AND purpose = 'champion' AND model_digest = '{digest}' ORDER BY _ordinal"
        found = ask(tables, f"SELECT prediction FROM {tables.relation('predictions')} WHERE {where}")
        assert [value for (value,) in found] == expected


@pytest.mark.parametrize(("digest", "scored"), [(None, {"a", "b"}), ("d1", {"a"}), ("d2", {"b"}), ("d3", set())])
def test_a_batch_is_scored_by_whoever_was_champion_but_not_by_shadows(
    tables: Tables, digest: str | None, scored: set[str]
) -> None:
    for batch, purpose, model in (("a", "champion", "d1"), ("b", "rescore", "d2"), ("c", "shadow", "d3")):
        where = {"_batch_id": batch, "purpose": purpose, "model_digest": model}
        tables.overwrite("predictions", where, predictions(batch, purpose, model, [0.5]))
    assert tables.scored(digest) == scored


def test_a_file_that_cannot_be_read_has_one_quarantine_row_however_often_it_comes(tables: Tables) -> None:
    for _ in range(2):
        tables.quarantine_file("a", "half.parquet", "ff" * 32, "half.parquet: truncated")
    query = f"SELECT scope, file, reason, \"row\"->>'sha256' FROM {tables.relation('quarantine')}"
    assert ask(tables, query) == [("file", "half.parquet", "half.parquet: truncated", "ff" * 32)]
