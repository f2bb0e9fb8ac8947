"""One training run's files between its steps; whatever exists there is whole."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from treadle.infra import failpoint
from treadle.infra.files.atomic import replacing, write_atomically

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import pyarrow as pa

T = TypeVar("T")


class Workbench:
    """A folder of tables (Arrow) and values (JSON), each written atomically.

    A kill leaves a step's file either absent or finished, so that the same command does again just what is missing.
    """

    def __init__(self, folder: Path, may_write: Callable[[], None] = lambda: None) -> None:
        """Keep things in `folder`; `may_write` raises where another process owns the folder by now."""
        self.folder = folder
        self.may_write = may_write

    @contextmanager
    def _owned(self) -> Iterator[None]:
        """A block that begins only where this process still owns the folder."""
        self.may_write()
        yield

    def has(self, name: str) -> bool:
        """Whether the step that makes `name` is done."""
        return (self.folder / name).exists()

    @failpoint.around("workbench.table")
    def put_table(self, name: str, table: pa.Table) -> None:
        """Keep `table` under `name`."""
        import pyarrow as pa

        with (
            replacing(self.folder / name, self._owned(), durable=False) as aside,
            pa.OSFile(str(aside), "wb") as sink,
            pa.ipc.new_file(sink, table.schema) as writer,
        ):
            writer.write_table(table)

    def table(self, name: str) -> pa.Table:
        """The table kept under `name`, mapped rather than read."""
        import pyarrow as pa

        with pa.memory_map(str(self.folder / name)) as source:
            return pa.ipc.open_file(source).read_all()

    @failpoint.around("workbench.value")
    def put(self, name: str, value: T, kind: type[T]) -> None:
        """Keep `value`, a pydantic model or a dataclass of plain values, as JSON under `name`."""
        from pydantic import TypeAdapter

        with replacing(self.folder / name, self._owned(), durable=False) as aside:
            aside.write_bytes(TypeAdapter(kind).dump_json(value, indent=1))

    def get(self, name: str, kind: type[T]) -> T:
        """The value kept under `name`."""
        from pydantic import TypeAdapter

        return TypeAdapter(kind).validate_json((self.folder / name).read_bytes())

    @failpoint.around("workbench.text")
    def put_text(self, name: str, text: str) -> Path:
        """Keep `text` under `name` (folders are made) and return where."""
        return write_atomically(self.folder / name, text, durable=False)
