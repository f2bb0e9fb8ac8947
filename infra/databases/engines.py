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
MAKING = 0x7472_6561_646C_65
"""Of PostgreSQL's advisory locks, ours."""


def parsed(url: str) -> sa.URL:
    """The address in its parts. Raises UsageError, which does not repeat it, for one that is none."""
    try:
        return sa.make_url(url)
    except (ValueError, sa.exc.ArgumentError):
        raise UsageError(
            "the address of a database cannot be read",
            "it is a SQLAlchemy URL, in whose password @ is written %40, : is %3A and / is %2F",
        ) from None  # what was said of it holds parts of the password


def masked_url(url: str) -> str:
    """The address for people: without a password, wherever it stands."""
    address = parsed(url)
    query = {name: value for name, value in address.query.items() if "password" not in name.lower()}
    return address.set(query=query).render_as_string(hide_password=True)


def make_engine(url: str) -> sa.Engine:
    """An engine that keeps no connection between uses.

    Stores are opened for a question or two and left; and a database that was started again meanwhile is no matter.
    """
    address = parsed(url)
    wait: dict[str, object] = {}
    if address.get_backend_name() == "sqlite":
        wait["timeout"] = BUSY_SECONDS
    elif address.get_driver_name() in LIBPQ and "connect_timeout" not in address.query:
        wait["connect_timeout"] = CONNECT_SECONDS  # else it is the system's: minutes
    return sa.create_engine(address, connect_args=wait, poolclass=sa.pool.NullPool)


def exclusive_transaction(con: sa.Connection) -> None:
    """From here on no other transaction that asks for this is at work; on SQLite whoever writes is alone anyway."""
    if con.dialect.name == "postgresql":
        con.execute(sa.select(sa.func.pg_advisory_xact_lock(MAKING)))


@contextmanager
def making(url: str) -> Iterator[None]:
    """A block for one process at a time, where the database is PostgreSQL: to make tables that are not there.

    Two that make the same table there collide, whatever `IF NOT EXISTS` says.
    """
    there = make_engine(url)
    if there.dialect.name != "postgresql":
        yield
        return
    with there.connect() as con:  # the lock goes with the connection
        con.execute(sa.select(sa.func.pg_advisory_lock(MAKING)))
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
