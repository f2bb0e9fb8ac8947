"""A SQLAlchemy engine for the database behind a URL: a SQLite file, or PostgreSQL."""

from __future__ import annotations

import sqlalchemy as sa

BUSY_SECONDS = 60
CONNECT_SECONDS = 10
LIBPQ = ("psycopg", "psycopg2")


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
