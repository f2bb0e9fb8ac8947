"""Tables after months: old versions that models refer to can be read, what nobody refers to goes, rows stay."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

from tests import aged
from tests.infra_.batches import keys_of, put
from treadle.infra.tables import Tables, upkeep

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from treadle.infra.tables.upkeep import Spare


def corrected(tables: Tables, times: int) -> None:
    """Batch `a`, corrected so often, beside `b`: versions 1 to times + 2."""
    put(tables, "a", [0])
    put(tables, "b", [1, 2])
    for time in range(times):
        put(tables, "a", [10 + time])


def take(spare: Spare) -> int:
    freed = sum(path.stat().st_size for path in (*spare.files, *spare.checkpoints))
    for path in (*spare.files, *spare.checkpoints):
        path.unlink()
    return freed


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_versions_stay_readable_when_their_log_is_older_than_a_month(tables: Tables) -> None:
    corrected(tables, 0)
    DeltaTable(str(tables.root / "rows")).alter.set_table_properties({"delta.checkpointInterval": "3"})
    corrected(tables, 3)
    aged.table(tables.root / "rows", 40)
    corrected(tables, 4)
    assert keys_of(tables, 2) == [("a", 0), ("b", 1), ("b", 2)]


def test_a_file_that_was_replaced_is_spare_once_no_version_that_is_kept_has_it(tables: Tables) -> None:
    corrected(tables, 3)
    assert tables.spare("rows", [], 7).files == ()
    aged.table(tables.root / "rows", 8)
    put(tables, "a", [99])
    spare, before = tables.spare("rows", [2], 7), size(tables.root)
    version = tables.version("rows")
    assert len(spare.files) == 2, "of four that were replaced one is in version 2, and one was in use until now"
    assert before - take(spare) == size(tables.root)
    assert tables.version("rows") == version
    assert keys_of(tables) == [("a", 99), ("b", 1), ("b", 2)]
    assert keys_of(tables, 2) == [("a", 0), ("b", 1), ("b", 2)]
    assert keys_of(tables, 5) == [("a", 12), ("b", 1), ("b", 2)]
    assert tables.spare("rows", [2], 7).files == ()


def test_a_checkpoint_that_forgot_what_was_replaced_changes_nothing(tables: Tables) -> None:
    corrected(tables, 3)
    aged.table(tables.root / "rows", 30)
    DeltaTable(str(tables.root / "rows")).create_checkpoint()
    put(tables, "a", [99])
    spare = tables.spare("rows", [2, 3], 7)
    assert len(spare.files) == 1, "of four that were replaced two are in versions 2 and 3, and one was in use until now"
    take(spare)
    assert keys_of(tables, 2) == [("a", 0), ("b", 1), ("b", 2)]
    assert keys_of(tables, 3) == [("a", 10), ("b", 1), ("b", 2)]
    assert keys_of(tables) == [("a", 99), ("b", 1), ("b", 2)]


def test_what_a_killed_writer_left_is_spare_when_it_is_old_and_a_version_that_was_lost_is_passed_over(
    tables: Tables,
) -> None:
    corrected(tables, 0)
    orphan = tables.root / "rows" / "_batch_id=b" / "part-00000-of-a-killed-writer.parquet"
    orphan.write_bytes(b"x" * 1000)
    assert tables.spare("rows", [700], 7).files == ()
    aged.table(tables.root / "rows", 8)
    assert tables.spare("rows", [700], 7).files == (orphan,)


def test_names_with_spaces_and_capitals_in_the_folder_are_no_hindrance(tmp_path: Path) -> None:
    tables = Tables(str(tmp_path / "My Data" / "shöp"), tmp_path / "scratch")
    corrected(tables, 2)
    aged.table(tables.root / "rows", 8)
    spare = tables.spare("rows", [], 7)
    assert len(spare.files) == 2
    take(spare)
    assert keys_of(tables) == [("a", 11), ("b", 1), ("b", 2)]


def test_checkpoints_go_from_which_no_version_that_is_kept_is_read(tables: Tables) -> None:
    corrected(tables, 0)
    log = tables.root / "rows" / "_delta_log"
    for number in range(6):
        put(tables, "a", [number + 50])
        DeltaTable(str(tables.root / "rows")).create_checkpoint()
    assert len(list(log.glob("*.checkpoint.parquet"))) == 6
    spare = tables.spare("rows", [4, 1], 7)
    assert [path.name[18:20] for path in spare.checkpoints] == ["03", "05", "06", "07"]
    take(spare)
    assert [keys_of(tables, version)[0] for version in (1, 3, 4, 7, 8)] == [
        ("a", 0),
        ("a", 50),
        ("a", 51),
        ("a", 54),
        ("a", 55),
    ]


def test_many_small_files_of_a_batch_become_one_and_the_rows_stay(
    tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "MANY", 5)
    corrected(tables, 0)
    folder = tables.root / "rows"
    more = DeltaTable(str(folder)).to_pyarrow_table().slice(0, 1)
    for _ in range(6):
        write_deltalake(str(folder), pa.table(more), mode="append")
    rows, version = keys_of(tables), tables.version("rows")
    assert tables.compact("rows", dry_run=True) == 6
    assert tables.version("rows") == version
    assert tables.compact("rows", dry_run=False) == 6
    assert (tables.version("rows"), len(DeltaTable(str(folder)).file_uris())) == (version + 1, 2)
    assert keys_of(tables) == rows == keys_of(tables, version)
    assert tables.batches("rows") == {"a", "b"}
    assert tables.compact("rows", dry_run=False) == 0
    assert tables.version("rows") == version + 1
    put(tables, "a", [7])
    assert keys_of(tables)[0] == ("a", 7)


def test_a_few_files_are_not_worth_a_version(tables: Tables) -> None:
    corrected(tables, 2)
    assert tables.compact("rows", dry_run=False) == 0
    assert tables.compact("labels", dry_run=False) == 0
