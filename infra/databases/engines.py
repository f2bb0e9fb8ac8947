"""A SQLAlchemy engine for the database behind a URL: a SQLite file, or PostgreSQL."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import sqlalchemy as sa

from treadle.tasks.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

BUSY_SECONDS = 60
CONNECT_SECONDS = 10
LIBPQ = ("psycopg", "psycopg2")
ADVISORY_LOCK = 0x7472_6561_646C_65
"""The key of treadle's advisory lock in PostgreSQL."""


def parsed(url: str) -> sa.URL:
    """The parsed database URL. Raises UsageError, which does not repeat the text, where it is no URL."""
    try:
        return sa.make_url(url)
    except (ValueError, sa.exc.ArgumentError):
        raise UsageError(
            "the address of a database cannot be read",
            "it is a SQLAlchemy URL, in whose password @ is written %40, : is %3A and / is %2F",
        ) from None  # the parser's message holds parts of the password


def masked_url(url: str) -> str:
    """The URL for people, without the passwords in its user part and its query."""
    address = parsed(url)
    query = {name: value for name, value in address.query.items() if "password" not in name.lower()}
    return address.set(query=query).render_as_string(hide_password=True)


def make_engine(url: str) -> sa.Engine:
    """An engine that keeps no connection between uses.

    Stores run few queries each, and the database may be restarted between two of them.
    """
    address = parsed(url)
    wait: dict[str, object] = {}
    if address.get_backend_name() == "sqlite":
        wait["timeout"] = BUSY_SECONDS
    elif address.get_driver_name() in LIBPQ and "connect_timeout" not in address.query:
        wait["connect_timeout"] = CONNECT_SECONDS  # else it is the system's: minutes
    return sa.create_engine(address, connect_args=wait, poolclass=sa.pool.NullPool)


def exclusive_transaction(con: sa.Connection) -> None:
    """Wait until no other transaction holds the advisory lock; SQLite needs none: it has one writer at a time."""
    if con.dialect.name == "postgresql":
        con.execute(sa.select(sa.func.pg_advisory_xact_lock(ADVISORY_LOCK)))


@contextmanager
def table_creation_lock(url: str) -> Iterator[None]:
    """Hold PostgreSQL's advisory lock in the block, so that one process at a time creates tables; no lock on SQLite.

    Two processes that create the same PostgreSQL table collide, even with `IF NOT EXISTS`.
    """
    engine = make_engine(url)
    if engine.dialect.name != "postgresql":
        yield
        return
    with engine.connect() as con:  # the lock goes with the connection
        con.execute(sa.select(sa.func.pg_advisory_lock(ADVISORY_LOCK)))
        yield


def trouble(url: str) -> str:
    """What is wrong with the database behind a URL, in a line; empty where it answers."""
    try:
        address = parsed(url)
        if address.get_driver_name() == "asyncpg":  # Prefect's; we ask with our own
            address = address.set(drivername="postgresql+psycopg")
        with make_engine(address.render_as_string(hide_password=False)).connect():
            return ""
    except UsageError as error:
        return error.message
    except (ImportError, sa.exc.SQLAlchemyError) as error:
        return f"{masked_url(url)}: {str(getattr(error, 'orig', None) or error).splitlines()[0]}"
