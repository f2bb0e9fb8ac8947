from __future__ import annotations

import gzip
import hashlib
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.infra import sources
from treadle.tasks.errors import DataError, UnreadableFile, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        yield connection


def rows(con: duckdb.DuckDBPyConnection, path: Path) -> tuple[tuple[str, ...], list[tuple[object, ...]]]:
    raw = sources.open_raw(con, path, path.stem)
    return raw.names, con.execute(f'SELECT * FROM "{raw.view}" ORDER BY _ordinal').fetchall()


@pytest.mark.parametrize(
    ("name", "content", "names", "cells"),
    [
        ("plain.csv", b"A b,c\n1,2\n,x\n", ("A b", "c"), [("1", "2"), ("", "x")]),
        ("brackets[1]*.csv", b"a,b\n1,2\n", ("a", "b"), [("1", "2")]),
        ("semicolons.csv", b'a;"b,c,d"\n1;2\n', ("a", "b,c,d"), [("1", "2")]),
        ("tabs.tsv", b"a\tb,c,d\n1\t2\n", ("a", "b,c,d"), [("1", "2")]),
        ("bom.csv", b"\xef\xbb\xbfa,b\n1,2\n", ("a", "b"), [("1", "2")]),
        ("windows.csv", b"a,b\r\n1,2\r\n", ("a", "b"), [("1", "2")]),
        ("blank_lines.csv", b"\n\na,b\n1,2\n\n3,4\n", ("a", "b"), [("1", "2"), ("3", "4")]),
        ("quoted.csv", b'a,b\n"1\n2","say ""hi"""\n', ("a", "b"), [("1\n2", 'say "hi"')]),
        ("inches.csv", b'a,b\n5" pipe,2\n', ("a", "b"), [('5" pipe', "2")]),
        ("index.csv", b",a\n0,1\n", ("Unnamed: 0", "a"), [("0", "1")]),
        ("years.csv", b"place,2011,2012\nx,1,2\n", ("place", "2011", "2012"), [("x", "1", "2")]),
        ("one.csv", b"a\n1\n", ("a",), [("1",)]),
        ("no_rows.csv", b"a,b\n", ("a", "b"), []),
        ("packed.csv.gz", gzip.compress(b"a,b\n1,2\n", mtime=0), ("a", "b"), [("1", "2")]),
    ],
)
def test_a_text_file_is_read_as_it_came(
    con: duckdb.DuckDBPyConnection,
    tmp_path: Path,
    name: str,
    content: bytes,
    names: tuple[str, ...],
    cells: list[tuple[str, ...]],
) -> None:
    (tmp_path / name).write_bytes(content)
    found, table = rows(con, tmp_path / name)
    assert found == names
    assert table == [(*row, ordinal) for ordinal, row in enumerate(cells)]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("empty.csv", b"", "empty.csv: the file is empty"),
        ("blank.csv", b"\n\n", "no header"),
        (
            "headless.csv",
            b"39,State-gov,77516\n50,Private,83311\n",
            "no header: its first line reads '39,State-gov,77516'",
        ),
        ("decimals.csv", b"5.1,3.5,setosa\n", "no header"),
        ("utf16.csv", "a,b\n1,2\n".encode("utf-16"), "is UTF-16"),
        ("latin1.csv", "a,b\n1,2\né,3\n".encode("latin-1"), "line 3 is not UTF-8"),
        ("cut_letter.csv", "a\né".encode()[:-1], "line 2 is not UTF-8"),
        ("nul.csv", b"a,b\n1,2\n1,\x00\n", "NUL bytes in line 3"),
        ("twice.csv", b"a,b,A\n1,2,3\n", "column 'A' is there twice"),
        ("ours.csv", b"a,_Ordinal\n1,2\n", "keeps for itself"),
        ("short.csv", b"a,b\n1,2\n3\n", "line 3 has 1 columns where the header has 2"),
        ("long.csv", b"a,b\n1,2,3\n", "line 2 has 3 columns where the header has 2"),
        ("open.csv", b'a,b\n1,"2\n', "a quote"),
        ("huge.csv", b"a\n" + b"x" * 3_000_000 + b"\n", "line 2 is longer than 2 MB"),
        ("cut.csv.gz", gzip.compress(b"a,b\n" + bytes(range(48, 58)) * 999, mtime=0)[:-9], "truncated gzip"),
        ("text.csv.gz", b"a,b\n1,2\n", "truncated gzip"),
        ("book.xlsx", b"PK", "cannot read '.xlsx' files"),
        ("october", b"x\n1\n", "october: its name has no ending that says how to read it"),
        ("junk.parquet", b"PAR1junkjunkjunkPAR1", "damaged or truncated Parquet"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_in_one_line(
    con: duckdb.DuckDBPyConnection, tmp_path: Path, name: str, content: bytes, reason: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as refused:
        sources.open_raw(con, tmp_path / name, "b1")
    assert reason in refused.value.message
    assert isinstance(refused.value, UnreadableFile)
    assert refused.value.message == f"{name}: {refused.value.reason}"
    assert "\n" not in refused.value.message
    assert len(refused.value.message) < 250


def test_a_parquet_file_keeps_its_types_and_order(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    table = pa.table({"A b": [3, None], "flag": [True, False], "file_row_number": ["x", "y"]})
    pq.write_table(table, tmp_path / "p[0].parquet", row_group_size=1)
    raw = sources.open_raw(con, tmp_path / "p[0].parquet", "b-1")
    assert raw.columns == (("A b", "BIGINT"), ("flag", "BOOLEAN"), ("file_row_number", "VARCHAR"))
    found = con.execute(f'SELECT * FROM "{raw.view}"').fetchall()
    assert found == [(3, True, "x", 0), (None, False, "y", 1)]


@pytest.mark.parametrize("kind", [pa.list_(pa.int64()), pa.struct([("a", pa.int64())]), pa.binary()])
def test_columns_that_a_flat_table_cannot_have_are_named(
    con: duckdb.DuckDBPyConnection, tmp_path: Path, kind: pa.DataType
) -> None:
    pq.write_table(pa.table({"odd one": pa.nulls(1, kind)}), tmp_path / "n.parquet")
    with pytest.raises(DataError, match="column 'odd one' holds"):
        sources.open_raw(con, tmp_path / "n.parquet", "b")


def test_half_a_parquet_file_is_refused(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": list(range(1000))}), tmp_path / "half.parquet")
    content = (tmp_path / "half.parquet").read_bytes()
    (tmp_path / "half.parquet").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match="damaged or truncated"):
        sources.open_raw(con, tmp_path / "half.parquet", "b")


def test_a_flipped_bit_is_noticed_where_pages_have_checksums(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    path = tmp_path / "flip.parquet"
    table = pa.table({"a": [0.1 * number for number in range(1000)]})
    pq.write_table(table, path, write_page_checksum=True, compression="none", use_dictionary=False)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)
    with pytest.raises(DataError, match="damaged"):
        sources.open_raw(con, path, "b")


def test_a_checksum_beside_the_file_is_obeyed(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"a\n1\n")
    (tmp_path / "a.csv.sha256").write_text(hashlib.sha256(b"a\n1\n").hexdigest() + "  a.csv\n")
    assert sources.open_raw(con, path, "b").names == ("a",)
    path.write_bytes(b"a\n2\n")
    with pytest.raises(DataError, match=r"does not match a\.csv\.sha256"):
        sources.open_raw(con, path, "b")


@given(st.lists(st.tuples(st.text(st.characters(codec="utf-8", exclude_characters="\0\r\ufeff")), st.text('ab,";\n'))))
def test_what_a_csv_writer_writes_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, table: list[tuple[str, str]]
) -> None:
    import csv

    path = tmp_path_factory.mktemp("csv") / "x.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\n")
        writer.writerows([("a", "b"), *table])
    with duckdb.connect() as con:
        assert rows(con, path)[1] == [(*row, ordinal) for ordinal, row in enumerate(table)]


def test_months_arrive_in_order_and_each_file_once(tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    (inbox / "2013").mkdir(parents=True)
    (inbox / ".hidden").mkdir()
    for name in (
        "b.csv",
        "a.csv",
        "c.csv.part",
        ".d.csv",
        "2013/e.parquet",
        ".hidden/f.csv",
        "notes.md",
        "a.csv.sha256",
    ):
        (inbox / name).touch()
    found = [path.relative_to(tmp_path).as_posix() for path in sources.find_files(tmp_path, ("inbox/b.csv", "inbox"))]
    assert found == ["inbox/b.csv", "inbox/2013/e.parquet", "inbox/a.csv"]
    globbed = sources.find_files(tmp_path, "inbox/*")
    assert {path.name for path in globbed} >= {"a.csv", "b.csv", "notes.md"}


def test_a_source_that_finds_nothing_is_empty_and_a_named_path_is_not(tmp_path: Path) -> None:
    assert sources.find_files(tmp_path, ("gone.csv", "nowhere/*")) == []
    with pytest.raises(UsageError, match="no such file"):
        sources.find_files(tmp_path, "x", [tmp_path / "gone.csv"])


@pytest.mark.parametrize(
    ("path", "covered"),
    [
        ("table.csv", True),
        ("inbox/new.csv", True),
        ("inbox/2024/05.csv", True),
        ("globbed/a.csv", True),
        ("globbed/deep/a.csv", True),
        ("globbed/a.parquet", False),
        ("table.csv.scored.csv", False),
        ("inbox2/new.csv", False),
    ],
)
def test_what_a_source_covers_is_known_before_it_is_there(tmp_path: Path, path: str, covered: bool) -> None:
    source = ("table.csv", "inbox", "globbed/*.csv")
    assert sources.covers(tmp_path, source, tmp_path / path) is covered
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / path).write_text("a\n1\n")
    if covered and "deep" not in path:
        assert tmp_path / path in sources.find_files(tmp_path, source)


def test_a_folder_without_rights_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        sources.fingerprint(tmp_path)
