"""The SQLAlchemy dialect through which Great Expectations checks DuckDB views in SQL.

GX knows about ten engines by name and writes special SQL for each. DuckDB is not among them but speaks PostgreSQL's
SQL almost to the letter, so this dialect takes that name and differs where DuckDB does:

- Results are read whole when a statement runs: GX fetches rows after it has handed its connection back. That is
  safe because GX only ever asks for aggregates and for a capped number of examples.
- Values are written into the SQL as literals: GX renders the query that finds offending rows by replacing `?` signs
  in its text, which goes wrong as soon as a value contains one.
- `~` and `!~` become `regexp_matches` (RE2).
- Every name is quoted.
- Columns are described by DuckDB itself; there are no schemas, keys or transactions to speak of.

`serving(con)` gives the URL under which GX reaches a connection that this process holds.
"""

from __future__ import annotations

import itertools
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import duckdb
import sqlalchemy as sa
from sqlalchemy import exc, pool
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql import base as postgresql

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy.engine import URL, Connection
    from sqlalchemy.sql.elements import BinaryExpression, BindParameter

DRIVER = "treadle_duckdb"

TYPES: dict[str, type[sa.types.TypeEngine[Any]]] = {
    "BOOLEAN": sa.BOOLEAN,
    "TINYINT": sa.SMALLINT,
    "SMALLINT": sa.SMALLINT,
    "INTEGER": sa.INTEGER,
    "BIGINT": sa.BIGINT,
    "HUGEINT": sa.NUMERIC,
    "DECIMAL": sa.NUMERIC,
    "FLOAT": sa.REAL,
    "DOUBLE": sa.DOUBLE,
    "VARCHAR": sa.VARCHAR,
    "DATE": sa.DATE,
    "TIMESTAMP": sa.TIMESTAMP,
    "TIMESTAMP WITH TIME ZONE": sa.TIMESTAMP,
}

_served: dict[str, duckdb.DuckDBPyConnection] = {}


@contextmanager
def serving(con: duckdb.DuckDBPyConnection) -> Iterator[str]:
    """The URL by which SQLAlchemy reaches `con`'s database, for as long as the block lasts."""
    token = uuid.uuid4().hex
    _served[token] = con
    try:
        yield f"{DRIVER}://{token}"
    finally:
        del _served[token]


class Cursor:
    """A DB-API cursor that holds all rows of its last statement."""

    arraysize = 1

    def __init__(self, con: duckdb.DuckDBPyConnection) -> None:
        self._con = con
        self._rows: Iterator[tuple[object, ...]] = iter(())
        self.description: Sequence[Sequence[object]] | None = None
        self.rowcount = -1

    def execute(self, sql: str, parameters: Sequence[object] | None = None) -> Cursor:
        """Run `sql` and keep its rows."""
        result = self._con.execute(sql, list(parameters or ()))
        self.description = result.description
        rows = result.fetchall() if result.description else []
        self._rows, self.rowcount = iter(rows), len(rows)
        return self

    def executemany(self, sql: str, parameters: Sequence[Sequence[object]]) -> None:
        """Run `sql` once for each set of parameters."""
        for row in parameters:
            self.execute(sql, row)

    def fetchone(self) -> tuple[object, ...] | None:
        """The next row; None after the last."""
        return next(self._rows, None)

    def fetchmany(self, size: int | None = None) -> list[tuple[object, ...]]:
        """The next `size` rows (default 1), fewer at the end."""
        return list(itertools.islice(self._rows, size or self.arraysize))

    def fetchall(self) -> list[tuple[object, ...]]:
        """All rows that are left."""
        return list(self._rows)

    def close(self) -> None:
        """Let go of the rows."""
        self._rows = iter(())


class Session:
    """A DB-API connection: a DuckDB cursor of its own on a database that the caller opens and closes."""

    def __init__(self, con: duckdb.DuckDBPyConnection) -> None:
        self._con = con
        con.execute("SET TimeZone = 'UTC'")

    def cursor(self) -> Cursor:
        """A new cursor."""
        return Cursor(self._con)

    def commit(self) -> None:
        """Nothing is ever written."""

    def rollback(self) -> None:
        """Nothing is ever written."""

    def close(self) -> None:
        """Close the cursor, not the database."""
        self._con.close()


class Driver:
    """What SQLAlchemy expects of a DB-API module."""

    apilevel = "2.0"
    threadsafety = 1
    paramstyle = "qmark"
    Warning = Warning
    Error = duckdb.Error
    InterfaceError = duckdb.ConnectionException
    DatabaseError = duckdb.DatabaseError
    DataError = duckdb.DataError
    OperationalError = duckdb.OperationalError
    IntegrityError = duckdb.IntegrityError
    InternalError = duckdb.InternalError
    ProgrammingError = duckdb.ProgrammingError
    NotSupportedError = duckdb.NotSupportedError

    @staticmethod
    def connect(token: str) -> Session:
        """A session on the connection that is served under `token`."""
        if token not in _served:
            raise duckdb.ConnectionException(f"no DuckDB connection is served as {token!r}")
        return Session(_served[token].cursor())


class Compiler(postgresql.PGCompiler):
    """PostgreSQL's SQL with literals for values and DuckDB's regular expressions."""

    def visit_bindparam(self, bindparam: BindParameter[Any], *args: Any, **options: Any) -> str:
        """A value as a literal; as a parameter only where SQLAlchemy cannot write it down."""
        write = super().visit_bindparam
        try:
            return str(write(bindparam, *args, **{**options, "literal_binds": True}))  # type: ignore[no-untyped-call]
        except (exc.CompileError, NotImplementedError):
            return str(write(bindparam, *args, **options))  # type: ignore[no-untyped-call]

    def visit_binary(self, binary: BinaryExpression[Any], *args: Any, **options: Any) -> str:
        """`a ~ b` is `regexp_matches(a, b)` to DuckDB."""
        sign = getattr(binary.operator, "opstring", "")
        if sign not in ("~", "!~"):
            return str(super().visit_binary(binary, *args, **options))  # type: ignore[no-untyped-call]
        found = f"regexp_matches({self.process(binary.left, **options)}, {self.process(binary.right, **options)})"
        return found if sign == "~" else f"NOT {found}"


class Preparer(postgresql.PGIdentifierPreparer):
    """Quotes every name: DuckDB reserves words that PostgreSQL does not (lambda, columns, map)."""

    def _requires_quotes(self, value: str) -> bool:
        return True


class Dialect(postgresql.PGDialect):
    """DuckDB under PostgreSQL's name; see the module."""

    name = "postgresql"
    driver = DRIVER
    default_paramstyle = "qmark"
    statement_compiler = Compiler
    preparer = Preparer
    supports_statement_cache = False  # literals make every statement its own
    server_version_info = (15, 0)
    _backslash_escapes = False

    @classmethod
    def import_dbapi(cls) -> Any:
        """Our own driver; nothing is imported."""
        return Driver

    @classmethod
    def get_pool_class(cls, url: URL) -> type[pool.Pool]:
        """One connection for all: a second one would not see the first one's temporary views."""
        return pool.StaticPool

    def create_connect_args(self, url: URL) -> tuple[list[str], dict[str, Any]]:
        """The token that `serving` put into the URL."""
        return [url.host or ""], {}

    def initialize(self, connection: Connection) -> None:
        """PostgreSQL would be asked for its version and its settings here; DuckDB has neither."""
        self.default_schema_name = "main"

    def on_connect(self) -> None:
        """Nothing to set up."""

    def get_isolation_level_values(self, dbapi_conn: Any) -> list[Any]:
        """DuckDB knows one level."""
        return ["SERIALIZABLE"]

    def do_ping(self, dbapi_connection: Any) -> bool:
        """It is in this process, so it is there."""
        return True

    def get_columns(self, connection: Connection, table_name: str, schema: str | None = None, **_: Any) -> Any:
        """Names and types as DuckDB describes them."""
        name = self.identifier_preparer.quote_identifier(table_name)
        described = connection.exec_driver_sql(f"DESCRIBE {name}").fetchall()
        return [
            {"name": row[0], "type": TYPES.get(row[1].split("(")[0], sa.VARCHAR)(), "nullable": True, "default": None}
            for row in described
        ]

    def has_table(self, connection: Connection, table_name: str, schema: str | None = None, **_: Any) -> bool:
        """Whether there is a table or view of this name."""
        return table_name in self.get_table_names(connection)

    def get_table_names(self, connection: Connection, schema: str | None = None, **_: Any) -> list[str]:
        """All tables and views."""
        return [row[0] for row in connection.exec_driver_sql("SELECT table_name FROM information_schema.tables")]

    def get_view_names(self, connection: Connection, schema: str | None = None, **_: Any) -> list[str]:
        """None: views count as tables."""
        return []

    def get_schema_names(self, connection: Connection, **_: Any) -> list[str]:
        """The one schema."""
        return ["main"]

    def get_pk_constraint(self, connection: Connection, table_name: str, schema: str | None = None, **_: Any) -> Any:
        """Views have no primary key."""
        return {"constrained_columns": [], "name": None}


registry.register(DRIVER, __name__, Dialect.__name__)
