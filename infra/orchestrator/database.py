"""The Prefect server's database: PostgreSQL, or SQLite: created atomically, recreated if damaged, waits for locks."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from contextlib import asynccontextmanager, closing, contextmanager
from time import time_ns
from typing import TYPE_CHECKING

from alembic.util import CommandError
from prefect.server.database import provide_database_interface
from prefect.server.database.configurations import AioSqliteConfiguration
from prefect.server.database.dependencies import temporary_database_config
from prefect.server.database.orm_models import FlowRun
from prefect.settings import PREFECT_SERVER_DATABASE_CONNECTION_URL
from sqlalchemy import inspect
from sqlalchemy.exc import SQLAlchemyError

from treadle.infra import failpoint
from treadle.infra.databases.engines import parsed

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from sqlalchemy.ext.asyncio import AsyncSession, AsyncSessionTransaction

log = logging.getLogger("treadle.orchestrator")


class LockingSqlite(AioSqliteConfiguration):
    """Prefect's SQLite, with the write lock taken as a transaction begins.

    Prefect begins most transactions without it. One that reads, and then writes after another one wrote, fails
    with `database is locked` at once, whatever its timeout; the client tries again two seconds later.
    """

    @asynccontextmanager
    async def begin_transaction(
        self, session: AsyncSession, with_for_update: bool = False
    ) -> AsyncGenerator[AsyncSessionTransaction, None]:
        """Begin by waiting for the lock, whatever `with_for_update` says."""
        async with super().begin_transaction(session, with_for_update=True) as transaction:
            yield transaction


def let_schedules_be_made() -> None:
    """Answer for Prefect 3.8.8 what SQLAlchemy 2.1 asks of a bulk insert with `FlowRun.state`: it sets no column.

    Without an answer every insert of scheduled runs fails, in the server's log alone.
    """
    hybrid = inspect(FlowRun).all_orm_descriptors["state"]
    hybrid.bulk_dml_setter = lambda _cls, _mapping, _value: None  # type: ignore[attr-defined]


@contextmanager
def database_ready(path: Path) -> Iterator[None]:
    """Prefect's server code uses its database inside the block, which is made or brought up to this Prefect's version.

    That is the file at `path`, unless Prefect's settings name a database that is no file.
    """
    url = str(PREFECT_SERVER_DATABASE_CONNECTION_URL.value())
    if parsed(url).get_backend_name() == "sqlite":
        prepare_database(path)
        with using(path):
            yield
    else:
        asyncio.run(_upgrade())
        yield


def using(path: Path) -> AbstractContextManager[object]:
    """Prefect's server code uses the database at `path` inside the block."""
    return temporary_database_config(LockingSqlite(connection_url=f"sqlite+aiosqlite:///{path}"))


def prepare_database(path: Path) -> None:
    """Make the database, or bring it up to this Prefect's version.

    A new one is built under another name and renamed, because a kill in the middle leaves one that no migration
    repairs. One that cannot be used is renamed and recreated: it is a record for people, and nothing depends on it.
    """
    if path.exists():
        try:
            _migrate(path)
            return
        except (SQLAlchemyError, CommandError) as error:  # damaged, or of a newer Prefect
            kept = path.replace(path.with_name(f"{path.name}.damaged-{time_ns()}"))
            log.warning("%s cannot be used (%s); kept as %s", path, error, kept.name)
    aside = path.with_name(f"new-{path.name}")
    for left in (*path.parent.glob(f"{path.name}-*"), *path.parent.glob(f"{aside.name}*")):
        left.unlink()
    # it lists the blocks of the last database
    (path.parent / "memo_store.toml").unlink(missing_ok=True)
    with failpoint.around("server.database"):
        _migrate(aside)
    with closing(sqlite3.connect(aside)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    aside.replace(path)


def _migrate(path: Path) -> None:
    """Run Prefect's migrations; the file need not exist."""
    with using(path):
        asyncio.run(_upgrade())


async def _upgrade() -> None:
    database = provide_database_interface()
    await database.create_db()
    await (await database.engine()).dispose()
