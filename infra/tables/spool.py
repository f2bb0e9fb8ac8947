"""A stream that can be read again: commits may have to be repeated, queries should not."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType

    import pyarrow as pa


class Spool:
    """Keeps what passes through it in a scratch file, and plays that back from the second reading on.

    `rows` counts the rows of the first complete reading. `error` is what the source itself raised, for
    readers behind a C interface, which turn every exception into their own.
    """

    def __init__(self, source: pa.RecordBatchReader, schema: pa.Schema, folder: Path) -> None:
        """`schema` is what the source's batches are cast to on the way in."""
        folder.mkdir(parents=True, exist_ok=True)
        self.schema = schema
        self.rows = 0
        self.error: BaseException | None = None
        self._source = source
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - has no name: a kill leaves nothing behind
        self._complete = False

    def __enter__(self) -> Spool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def fill(self) -> None:
        """Read the source to its end; raises what it raises."""
        if not self._complete:
            for _ in self._first():
                pass

    def reader(self) -> pa.RecordBatchReader:
        """The whole stream from its beginning. A first reading that broke off cannot be repeated."""
        import pyarrow as pa

        batches = self._again() if self._complete else self._first()
        return pa.RecordBatchReader.from_batches(self.schema, batches)

    def _first(self) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        try:
            options = pa.ipc.IpcWriteOptions(compression="lz4")
            with pa.ipc.new_stream(self._file, self.schema, options=options) as writer:
                for batch in self._source:
                    whole = batch.cast(self.schema)
                    writer.write_batch(whole)
                    self.rows += whole.num_rows
                    yield whole
            self._complete = True
        except GeneratorExit:
            raise
        except BaseException as error:
            self.error = error
            raise

    def _again(self) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        self._file.seek(0)
        with pa.ipc.open_stream(self._file) as stored:
            yield from stored
