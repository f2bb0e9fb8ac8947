"""One Delta table in a local folder: atomic overwrite of a part, and the SQL to read any version of it."""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

from treadle.infra.tables import upkeep
from treadle.infra.tables.scratch import connect
from treadle.infra.tables.spool import Spool
from treadle.infra.tables.types import duckdb_type, merge_types, storable
from treadle.infra.tables.upkeep import Spare
from treadle.tasks.dataset import literal, quote
from treadle.tasks.errors import Conflict, NewerFormat, ServiceError, TreadleError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    import pyarrow as pa
    from deltalake import DeltaTable, PostCommitHookProperties, WriterProperties

ATTEMPTS = 20
ROW_GROUP = 131_072
FORMAT, FORMAT_KEY = 1, "treadle.format"
FILE_COLUMN = "_treadle_file"
WHEN = ("_ingested_at", "quarantined_at", "_scored_at", "_run_id")
"""Columns that tell when rows were written, not what they say."""


class Delta:
    """A table that exists from its first write on; `folder` may be missing until then."""

    def __init__(self, folder: Path, scratch: Path, empty_schema: pa.Schema, partition_by: Sequence[str]) -> None:
        """`scratch` may be thrown away; `partition_by` are the columns by whose values rows are overwritten.

        `empty_schema` has the columns of an empty answer while there is no table.
        """
        self.folder = folder
        self.scratch = scratch
        self.empty_schema = empty_schema
        self.partition_by = list(partition_by)

    def version(self) -> int:
        """The newest version's number; -1 while there is no table."""
        table = self._open()
        return -1 if table is None else int(table.version())

    def overwrite(self, where: Mapping[str, str], source: pa.RecordBatchReader) -> int:
        """Put the rows of `source` in the place of those with the values `where`; return their number.

        One commit: a kill leaves the old rows or the new ones. The same rows again, apart from when they were written,
        make no commit, so that a replay leaves the table's version as it was. Rows are streamed; another writer's
        commit in between is met by trying again from a scratch copy, not by asking the source twice.

        Raises DataError where a column changes its type, Conflict where others kept committing first, UsageError
        where the folder cannot be written, ServiceError where the disk fails, and whatever `source` raises.
        """
        from deltalake import write_deltalake
        from deltalake.exceptions import CommitFailedError

        self._check_rights()
        predicate = " AND ".join(f"{quote(name)} = {literal(value)}" for name, value in where.items())
        with self._translated_errors(), Spool(source, storable(source.schema), self.scratch) as spool:
            if self._replayed(where, spool):
                return spool.rows
            self._clear(where)
            for _ in range(ATTEMPTS):
                table = self._open_or_create(spool.schema)
                widened = merge_types(self.folder.name, _arrow(table), spool.schema)
                try:
                    if widened:
                        self._widen(table, widened)
                    write_deltalake(
                        table,
                        spool.reader(),
                        mode="overwrite",
                        predicate=predicate,
                        schema_mode="merge",
                        writer_properties=_properties(),
                        post_commithook_properties=_keeping_versions(),
                    )
                except CommitFailedError:
                    continue
                except BaseException as error:
                    raise (spool.error or error) from None
                return spool.rows
        raise Conflict(f"table {self.folder}: other writers kept committing first", "run the command again")

    def columns(self, version: int | None = None) -> pa.Schema:
        """The columns of a version (newest unless given); `empty_schema` while there is no table."""
        table = self._open(version)
        return self.empty_schema if table is None else _arrow(table)

    def relation(self, version: int | None = None, where: Mapping[str, Sequence[str]] | None = None) -> str:
        """A SQL expression to stand after FROM: the rows of a version (newest unless given), all its columns.

        `where` limits the files that are read to those of the named partitions. Columns that a batch did not
        have are null, and so are columns of ours that an earlier version did not write. Without a table or files: no
        rows, but the columns.
        """
        table = self._open(version)
        schema = self.empty_schema if table is None else _arrow(table)
        schema = _with_missing(schema, self.empty_schema)
        partitions = [] if table is None else table.metadata().partition_columns
        empty = ", ".join(f"CAST(NULL AS {duckdb_type(field.type)}) AS {quote(field.name)}" for field in schema)
        parts = [f"SELECT {empty} WHERE false"]
        files = [] if table is None else self._files(table, where or {})
        if files:
            listed = ", ".join(literal(_unglob(path)) for path in files)
            # not by hive_partitioning: that would also read `year=2013` out of the folders above the table
            added = "".join(
                f", regexp_extract({FILE_COLUMN}, {literal(f'.*/{name}=([^/]*)/')}, 1) AS {quote(name)}"
                for name in partitions
            )
            parts.append(
                f"SELECT * EXCLUDE ({FILE_COLUMN}){added} FROM read_parquet([{listed}], "
                f"union_by_name = true, hive_partitioning = false, filename = {literal(FILE_COLUMN)})"
            )
        return f"({' UNION ALL BY NAME '.join(parts)})"

    def partitions(self) -> list[dict[str, str]]:
        """The partition values that have rows."""
        table = self._open()
        return [] if table is None else [dict(values) for values in table.partitions()]

    def spare(self, keep: Iterable[int], days: int) -> Spare:
        """What neither the newest version, nor one of `keep`, nor any of the last `days` days needs."""
        table = self._open()
        if table is None:
            return Spare((), ())
        with self._translated_errors():
            return upkeep.spare(table, self.folder, keep, days)

    def compact(self, *, dry_run: bool) -> int:
        """By how many files the newest version could be fewer, where it is worth it; then they are, in one commit.

        The rows and their order stay, and older versions keep their files. Raises Conflict where another writer was
        first.
        """
        from deltalake.exceptions import CommitFailedError

        table = self._open()
        if table is None:
            return 0
        with self._translated_errors():
            fewer = upkeep.fewer(table)
            if fewer and not dry_run:
                try:
                    table.optimize.compact(
                        writer_properties=_properties(), post_commithook_properties=_keeping_versions()
                    )
                except CommitFailedError as error:
                    raise Conflict(f"table {self.folder}: another writer was first", "run the command again") from error
        return fewer

    def _replayed(self, where: Mapping[str, str], spool: Spool) -> bool:
        """Whether the table has just these rows there already; asked only where it has any, as after a kill."""
        if not any(where.items() <= part.items() for part in self.partitions()):
            return False
        columns = self.columns()
        shared = [name for name in spool.schema.names if name not in WHEN]
        if any(name not in columns.names for name in shared):
            return False
        listed = ", ".join(quote(name) for name in shared)
        wanted = " AND ".join(f"{quote(name)} = {literal(value)}" for name, value in where.items())
        spool.fill()
        with connect(self.scratch) as con:
            con.register("source", spool.reader())
            con.execute("CREATE TEMP TABLE came AS SELECT * FROM source")
            there = self.relation(where={name: [value] for name, value in where.items()})
            con.execute(f"CREATE TEMP TABLE there AS SELECT {listed} FROM {there} WHERE {wanted}")
            rest = f"SELECT {listed} FROM came EXCEPT ALL SELECT {listed} FROM there"
            counts = "(SELECT count(*) FROM came) = (SELECT count(*) FROM there)"
            return bool(con.execute(f"SELECT {counts} AND NOT EXISTS ({rest})").fetchone()[0])

    def _clear(self, where: Mapping[str, str]) -> None:
        """Remove the files of an attempt at the same rows that was killed before its commit."""
        folder = self.folder.joinpath(*(f"{name}={where[name]}" for name in self.partition_by if name in where))
        if len(where) < len(self.partition_by) or not folder.is_dir():
            return
        log = self.folder / "_delta_log"
        current = set() if (table := self._open()) is None else {path.name for path in self._files(table, {})}
        logged = "".join(path.read_text(encoding="utf-8") for path in log.glob("*.json"))
        for path in folder.glob("*.parquet*"):
            if path.name not in current and path.name not in logged:
                path.unlink(missing_ok=True)

    def _widen(self, table: DeltaTable, columns: Sequence[str]) -> None:
        """Rewrite the table with `columns` as DOUBLE, in one commit of its own; older versions stay as they are."""
        from deltalake import write_deltalake

        version = int(table.version())
        replaced = ", ".join(f"CAST({quote(name)} AS DOUBLE) AS {quote(name)}" for name in columns)
        with connect(self.scratch) as con:
            rows = con.sql(f"SELECT * REPLACE ({replaced}) FROM {self.relation(version)}").to_arrow_reader(ROW_GROUP)
            write_deltalake(
                table,
                rows,
                mode="overwrite",
                schema_mode="overwrite",
                partition_by=self.partition_by,
                post_commithook_properties=_keeping_versions(),
            )

    def _files(self, table: DeltaTable, where: Mapping[str, Sequence[str]]) -> list[Path]:
        import pyarrow as pa

        actions = pa.table(table.get_add_actions(flatten=True))
        files = actions.select(["path", *(f"partition.{name}" for name in where)]).to_pylist()
        return sorted(
            self.folder / file["path"]
            for file in files
            if all(file[f"partition.{name}"] in wanted for name, wanted in where.items())
        )

    def _open(self, version: int | None = None) -> DeltaTable | None:
        from deltalake import DeltaTable
        from deltalake.exceptions import TableNotFoundError

        if not (self.folder / "_delta_log").is_dir():
            return None
        try:
            with self._translated_errors():
                table = DeltaTable(str(self.folder), version=version)
        except TableNotFoundError:
            return None
        made = int(table.metadata().configuration.get(FORMAT_KEY, 1))  # the first ones do not say it
        if made > FORMAT:
            raise NewerFormat(f"table {self.folder}", made, FORMAT)
        return table

    def _check_rights(self) -> None:
        """Raise UsageError where the table may not be written: delta-rs itself would panic on standard error."""
        folders = [self.folder, *self.folder.parents]
        there = next(folder for folder in folders if folder.exists())
        if not all(os.access(folder, os.W_OK) for folder in (there, self.folder / "_delta_log") if folder.exists()):
            raise UsageError(f"{self.folder}: no right to write here", "make the folder writable")

    def _open_or_create(self, schema: pa.Schema) -> DeltaTable:
        from deltalake import DeltaTable
        from deltalake.exceptions import DeltaError

        table = self._open()
        if table is not None:
            return table
        _check_name(self.folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            return DeltaTable.create(
                str(self.folder),
                schema=schema,
                mode="error",
                partition_by=self.partition_by,
                configuration={FORMAT_KEY: str(FORMAT)},
                raise_if_key_not_exists=False,  # the key is ours, none of Delta's
            )
        except DeltaError:
            table = self._open()  # another process created it first
            if table is None:
                raise
            return table

    @contextmanager
    def _translated_errors(self) -> Iterator[None]:
        """Turn delta-rs' and the system's errors into ours."""
        from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

        try:
            yield
        except (TreadleError, CommitFailedError, TableNotFoundError):
            raise
        except PermissionError as error:
            raise UsageError(f"{self.folder}: no right to write here", "make the folder writable") from error
        except (DeltaError, OSError) as error:
            first = str(error).splitlines()[0] if str(error) else type(error).__name__
            if "ermission denied" in str(error):
                raise UsageError(f"{self.folder}: no right to write here", "make the folder writable") from error
            raise ServiceError(
                f"table {self.folder}: {first}",
                "look at the folder's rights and at the free space on its disk",
            ) from error


def _properties() -> WriterProperties:
    from deltalake import WriterProperties

    return WriterProperties(compression="ZSTD", max_row_group_size=ROW_GROUP)


def _keeping_versions() -> PostCommitHookProperties:
    """After a commit the log stays whole: by default what is 30 days old goes, and with it what models refer to."""
    from deltalake import PostCommitHookProperties

    return PostCommitHookProperties(cleanup_expired_logs=False)


def _arrow(table: DeltaTable) -> pa.Schema:
    import pyarrow as pa

    return pa.schema(table.schema().to_arrow())


def _with_missing(schema: pa.Schema, wanted: pa.Schema) -> pa.Schema:
    """`schema` with those fields of `wanted` added whose names it lacks."""
    for field in wanted:
        if field.name not in schema.names:
            schema = schema.append(field)
    return schema


def _unglob(path: Path) -> str:
    """The path with the characters that DuckDB would expand made literal."""
    return re.sub(r"([*?\[])", r"[\1]", str(path))


def _check_name(folder: Path) -> None:
    """Refuse folders under which delta-rs 1.6 loses its way: it reads a path as a URL. Raises UsageError."""
    wrong = re.search(r"[\[\]|\\^]|%[0-9A-Fa-f]{2}", str(folder.resolve()))
    if wrong:
        raise UsageError(
            f"{folder}: a Delta table cannot be under a folder with {wrong.group()!r} in its name",
            "rename the folder, or let TREADLE_STORAGE_URL name another one for the tables",
        )
