"""How DuckDB reads a file: CSV and TSV as text, Parquet with its own types.

CSV and TSV (also gzipped) are read as text, in UTF-8 with `"` around cells that need it; what a cell means is decided
later, by the contract. Nothing is guessed by sampling, so that 500 rows of a file are read as the whole of it is.
"""

from __future__ import annotations

import codecs
import csv
import glob
import gzip
import io
import re
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, cast

from treadle.infra.sources.files import PARQUET, file_ending, fingerprint, open_file
from treadle.tasks.dataset.schema import RESERVED, RawTable, literal, quote, repeated
from treadle.tasks.errors import UnreadableFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import duckdb

MOST_UNPACKED, MOST_RATIO = 64 << 20, 250
"""A gzip file that is larger than both unpacked, in bytes and in times its size, is no table but a bomb."""

DELIMITERS = ",;\t|"


CHUNK = 1 << 20


LONGEST_NAME = 255  # bytes; systems do not even look for a longer one


LONGEST_HEADER = 1 << 20


NO_NULL = "\x1f\x1f\x1f"
"""The text that DuckDB reads as NULL: one that no CSV holds, so that an empty cell stays empty text."""


NESTED = ("STRUCT", "MAP", "UNION", "BLOB", "VARIANT")


def open_raw(con: duckdb.DuckDBPyConnection, path: Path, batch_id: str) -> RawTable:
    """Open one file in DuckDB under a name made from `batch_id`; opening the same batch again replaces it.

    All of the file is read once and checked here (encoding, shape, checksums where Parquet has them or a `.sha256`
    lies beside), so that nothing breaks halfway through.

    Raises UnreadableFile, in one line, for a file that is empty, damaged, not UTF-8, without a header, or with columns
    that a flat table cannot have.
    """
    import duckdb as duckdb_

    view = "raw_" + re.sub(r"\W", "_", batch_id)
    ending = file_ending(path)
    if _size(path) == 0:
        raise UnreadableFile(path.name, "the file is empty", "send a file with a header and rows")
    _check_sidecar(path)
    try:
        if ending in PARQUET:
            _open_parquet(con, path, view)
        else:
            _open_text(con, path, view, "\t" if ending.startswith(".tsv") else "")
    except (duckdb_.IOException, duckdb_.OutOfMemoryException):
        raise  # the disk's fault, not the file's
    except duckdb_.Error as error:
        raise UnreadableFile(path.name, _explain(str(error)), "repair the file and send it again") from error
    described = con.execute(f"DESCRIBE {quote(view)}").fetchall()
    columns = tuple((str(row[0]), str(row[1])) for row in described if row[0] != "_ordinal")
    _check_types(path, columns)
    return RawTable(view=view, columns=columns, batch_id=batch_id)


def _size(path: Path) -> int:
    with open_file(path) as file:
        return file.seek(0, io.SEEK_END)


def _check_sidecar(path: Path) -> None:
    """Compare with `<file>.sha256` where there is one."""
    sidecar = path.with_name(path.name + ".sha256")
    if len(sidecar.name.encode(errors="replace")) <= LONGEST_NAME and sidecar.is_file():
        wanted = sidecar.read_text(encoding="ascii", errors="replace").split()[:1]
        if wanted != [fingerprint(path)]:
            raise UnreadableFile(path.name, f"content does not match {sidecar.name}", "copy the file again")


def _open_parquet(con: duckdb.DuckDBPyConnection, path: Path, view: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            names = file.schema_arrow.names
            for _ in file.iter_batches(batch_size=65_536):
                pass
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0][:120]
        raise UnreadableFile(path.name, f"damaged or truncated Parquet ({reason})", "copy the file again") from error
    _check_names(path, names)
    source = f"read_parquet({literal(glob.escape(str(path)))})"
    columns = ", ".join(quote(name) for name in names)
    clash = any(name.casefold() == "file_row_number" for name in names)
    ordinal = "row_number() OVER () - 1" if clash else "file_row_number"
    con.execute(
        f"CREATE OR REPLACE VIEW {quote(view)} AS SELECT {columns}, CAST({ordinal} AS BIGINT) AS _ordinal FROM {source}"
    )


def _open_text(con: duckdb.DuckDBPyConnection, path: Path, view: str, delimiter: str) -> None:
    """Read a CSV once into a table of the scratch database; its row numbers are the ordinals."""
    _check_text(path)
    header, delimiter, blank = _header(path, delimiter)
    columns = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in header)
    options = {
        "delim": literal(delimiter),
        "quote": literal('"'),
        "escape": literal('"'),
        "nullstr": literal(NO_NULL),
        "skip": str(blank),
        "compression": literal("gzip" if path.name.lower().endswith(".gz") else "none"),
    }
    written = ", ".join(f"{key} = {value}" for key, value in options.items())
    con.execute(
        f"CREATE OR REPLACE TABLE {quote(view + '_rows')} AS SELECT * FROM read_csv({literal(glob.escape(str(path)))}, "
        f"columns = {{{columns}}}, auto_detect = false, header = true, allow_quoted_nulls = false, {written})"
    )
    con.execute(f"CREATE OR REPLACE VIEW {quote(view)} AS SELECT *, rowid AS _ordinal FROM {quote(view + '_rows')}")


@contextmanager
def _open_bytes(path: Path) -> Iterator[IO[bytes]]:
    """A text file's bytes, unpacked."""
    with open_file(path) as file:
        if not path.name.lower().endswith(".gz"):
            yield file
            return
        try:
            with gzip.GzipFile(fileobj=file) as unpacked:
                yield cast("IO[bytes]", unpacked)
        except (EOFError, gzip.BadGzipFile) as error:
            raise UnreadableFile(path.name, "damaged or truncated gzip file", "copy the file again") from error


def _check_text(path: Path) -> None:
    """Refuse what is not UTF-8 or holds NUL bytes, naming the line."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    line, read, size = 1, 0, _size(path)
    with _open_bytes(path) as file:
        first = True
        while chunk := file.read(CHUNK):
            read += len(chunk)
            if read > max(MOST_UNPACKED, MOST_RATIO * size):
                raise UnreadableFile(
                    path.name,
                    f"unpacks to more than {MOST_RATIO} times its size",
                    "send it unpacked",
                )
            if first and chunk.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                raise UnreadableFile(path.name, "is UTF-16, not UTF-8", "save it as UTF-8")
            if (at := chunk.find(b"\0")) >= 0:
                place = line + chunk.count(b"\n", 0, at)
                raise UnreadableFile(
                    path.name, f"NUL bytes in line {place:,}; this is no text", "save it as UTF-8 text"
                )
            try:
                decoder.decode(chunk)
            except UnicodeDecodeError as error:
                raise _not_utf8(path, line + chunk.count(b"\n", 0, max(error.start, 0))) from error
            line += chunk.count(b"\n")
            first = False
        try:
            decoder.decode(b"", final=True)
        except UnicodeDecodeError as error:
            raise _not_utf8(path, line) from error


def _not_utf8(path: Path, line: int) -> UnreadableFile:
    return UnreadableFile(path.name, f"line {line:,} is not UTF-8 (latin-1 perhaps)", "save it as UTF-8")


def _header(path: Path, delimiter: str) -> tuple[list[str], str, int]:
    """The column names, the delimiter, and how many blank lines come before.

    The delimiter is the one of `, ; tab |` that the header has most of, outside quotes.

    A column without a name is called `Unnamed: 3`, as pandas does.
    """
    with _open_bytes(path) as file:
        head = codecs.getincrementaldecoder("utf-8-sig")().decode(file.read(LONGEST_HEADER))
    text = head.lstrip("\r\n")
    blank = len(head[: len(head) - len(text)].splitlines())
    if not delimiter:
        first = next(iter(re.sub(r'"(?:[^"]|"")*"', "", text).splitlines()), "")
        delimiter = max(DELIMITERS, key=first.count)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        cells = next(row for row in rows if row)
    except (StopIteration, csv.Error) as error:
        raise UnreadableFile(path.name, "has no header", "let the first line name the columns") from error
    if _is_data(cells):
        raise UnreadableFile(
            path.name,
            f"has no header: its first line reads {delimiter.join(cells)[:60]!r}",
            "let the first line name the columns",
        )
    names = [cell if cell.strip() else f"Unnamed: {number}" for number, cell in enumerate(cells)]
    _check_names(path, names)
    return names, delimiter, blank


def _is_data(cells: Sequence[str]) -> bool:
    """Whether a first line looks like a row: all empty, or with numbers (but 0, 1, 2 or 2011, 2012 may be names)."""
    if not any(cell.strip() for cell in cells):
        return True
    numbers = [cell.strip() for cell in cells if re.fullmatch(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*", cell)]
    if not numbers:
        return False
    if not all(number.isdecimal() for number in numbers):
        return True
    first = int(numbers[0])
    return [int(number) for number in numbers] != list(range(first, first + len(numbers)))


def _check_names(path: Path, names: Sequence[str]) -> None:
    if twice := repeated(names):
        raise UnreadableFile(
            path.name,
            f"column {twice!r} is there twice (upper and lower case are the same to SQL)",
            "rename one of them",
        )
    if taken := next((name for name in names if name.casefold() in RESERVED), ""):
        raise UnreadableFile(path.name, f"column {taken!r} has a name that treadle keeps for itself", "rename it")


def _check_types(path: Path, columns: Sequence[tuple[str, str]]) -> None:
    for name, kind in columns:
        if kind.startswith(NESTED) or kind.endswith("]"):
            what = "binary data" if kind == "BLOB" else f"nested values ({kind[:40]})"
            raise UnreadableFile(path.name, f"column {name!r} holds {what}", "flatten it, or leave it out")


def _explain(message: str) -> str:
    """DuckDB's page about a CSV in one line."""
    line = re.search(r"CSV Error on Line: (\d+)", message)
    place = f"line {int(line[1]):,}" if line else "the file"
    if shape := re.search(r"Expected Number of Columns: (\d+) Found: (\d+)", message):
        return f"{place} has {shape[2]} columns where the header has {shape[1]}"
    if "unterminated quote" in message:
        return f'{place} has a quote (") that is not closed'
    if "Maximum line size" in message:
        return f"{place} is longer than 2 MB"
    if "state machine" in message:
        return f"{place} is no CSV as RFC 4180 has it (mixed line ends, or text after a closing quote)"
    return message.splitlines()[0]
