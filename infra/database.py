"""A SQLAlchemy engine for the database behind a URL: a SQLite file, or PostgreSQL."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import sqlalchemy as sa

if TYPE_CHECKING:
    from collections.abc import Iterator

BUSY_SECONDS = 60
CONNECT_SECONDS = 10
LIBPQ = ("psycopg", "psycopg2")
MAKING = 0x7472_6561_646C_65
"""Of PostgreSQL's advisory locks, ours."""


def engine(url: str) -> sa.Engine:
    """An engine that keeps no connection between uses.

    Stores are opened for a question or two and left; and a database that was started again meanwhile is no matter.
    """
    parsed = sa.make_url(url)
    wait: dict[str, object] = {}
    if parsed.get_backend_name() == "sqlite":
        wait["timeout"] = BUSY_SECONDS
    elif parsed.get_driver_name() in LIBPQ and "connect_timeout" not in parsed.query:
        wait["connect_timeout"] = CONNECT_SECONDS  # else it is the system's: minutes
    return sa.create_engine(parsed, connect_args=wait, poolclass=sa.pool.NullPool)


def alone(con: sa.Connection) -> None:
    """From here on no other transaction that asks for this is at work; on SQLite whoever writes is alone anyway."""
    if con.dialect.name == "postgresql":
        con.execute(sa.select(sa.func.pg_advisory_xact_lock(MAKING)))


@contextmanager
def making(url: str) -> Iterator[None]:
    """A block for one process at a time, where the database is PostgreSQL: to make tables that are not there.

    Two that make the same table there collide, whatever `IF NOT EXISTS` says.
    """
    there = engine(url)
    if there.dialect.name != "postgresql":
        yield
        return
    with there.connect() as con:  # the lock goes with the connection
        con.execute(sa.select(sa.func.pg_advisory_lock(MAKING)))
        yield


def trouble(url: str) -> str:
    """What is wrong with the database behind a URL, in a line; empty where it answers."""
    try:
        parsed = sa.make_url(url)
        if parsed.get_driver_name() == "asyncpg":  # Prefect's; we ask with our own
            parsed = parsed.set(drivername="postgresql+psycopg")
        with engine(parsed.render_as_string(hide_password=False)).connect():
            return ""
    except (ImportError, sa.exc.SQLAlchemyError) as error:
        return str(getattr(error, "orig", None) or error).splitlines()[0]
