"""Files for people: written aside, then renamed, in the format that the name's end says."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from treadle.infra import failpoint
from treadle.infra.files.atomic import replacing
from treadle.tasks.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    import pyarrow as pa

FORMATS = (".parquet", ".csv", ".tsv")
FORMULA = r"^[=+\-@\t\r]"


LONGEST_NAME = 150


def short_name(name: str) -> str:
    """A file's name for use within another: of a very long one its end, for systems take no more than 255 bytes."""
    return name.encode()[-LONGEST_NAME:].decode(errors="ignore")


class Writer(Protocol):
    """What pyarrow's CSV and Parquet writers have in common."""

    def write_batch(self, batch: pa.RecordBatch) -> None:
        """Append the rows of `batch`."""
        ...


def write_output(path: Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> int:
    """Write `batches` to `path` and return the number of rows; readers never see half a file.

    CSV: text that a spreadsheet would run as a formula (it begins with = + - @, a tab or a return, and is not a
    number) gets a leading apostrophe; timestamps are ISO 8601 in UTC. Null cells are empty.

    Raises UsageError where the name's end is none of `.parquet`, `.csv`, `.tsv`, or the folder cannot be written.
    """
    check_output(path)
    rows = 0
    try:
        with (
            replacing(path, failpoint.around("outbox.file")) as aside,
            _writer(aside, schema, path.suffix.lower()) as writer,
        ):
            for batch in batches:
                writer.write_batch(batch if path.suffix.lower() == ".parquet" else neutralise(batch))
                rows += batch.num_rows
    except PermissionError as error:
        raise UsageError(f"{path}: no right to write here", "choose another --output") from error
    return rows


def write_through(path: Path, batches: pa.RecordBatchReader) -> pa.RecordBatchReader:
    """Write `batches` to the Parquet file `path` and read them back from there, a row group at a time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    write_output(path, batches.schema, batches)
    return pa.RecordBatchReader.from_batches(batches.schema, pq.ParquetFile(path).iter_batches())


def check_output(path: Path) -> None:
    """Refuse a format that we do not write before any work is done; raises UsageError."""
    if path.suffix.lower() not in FORMATS:
        what = (
            f"cannot write '{path.suffix}' files" if path.suffix else "its name has no ending that says how to write it"
        )
        raise UsageError(f"{path}: {what}", f"let the name end with one of {', '.join(FORMATS)}")
    if path.is_dir():
        raise UsageError(f"{path} is a folder", "name a file, for example predictions.csv")


def neutralise(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Put an apostrophe before text that a spreadsheet would run; other columns stay as they are."""
    import pyarrow as pa
    import pyarrow.compute as pc

    def safe(column: pa.Array) -> pa.Array:
        if not pa.types.is_string(column.type):
            return column
        number = pc.match_substring_regex(column, pattern=r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$")
        risky = pc.and_(pc.match_substring_regex(column, pattern=FORMULA), pc.invert(number))
        return pc.if_else(risky, pc.binary_join_element_wise("'", column, ""), column)

    return pa.RecordBatch.from_arrays([safe(column) for column in batch.columns], names=batch.schema.names)


@contextmanager
def _writer(path: Path, schema: pa.Schema, suffix: str) -> Iterator[Writer]:
    if suffix == ".parquet":
        import pyarrow.parquet as pq

        with pq.ParquetWriter(path, schema, write_page_checksum=True) as writer:
            yield writer
        return
    from pyarrow import csv

    options = csv.WriteOptions(delimiter="\t" if suffix == ".tsv" else ",", quoting_style="needed")
    with csv.CSVWriter(path, schema, write_options=options) as writer:
        yield writer
